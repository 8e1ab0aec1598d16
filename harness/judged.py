"""A judged run as it is stored: its evidence, what was decided on it, and its scores; nothing is computed anew."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path

from harness.errors import BrokenRunError, EvidenceRefusedError, InvalidInputError
from harness.records import ScoredAnswer
from harness.store.facts import from_plain
from harness.store.project import project_folders
from harness.store.runs import MANIFEST, STATUS, VERDICT, StoredRun, latest_run, read_run
from harness.strict_json import StrictJsonError, parse
from harness.suite.load import SUITE_FILE, load_suite, parse_suite
from harness.suite.schema import Suite
from harness.trust.digests import digest_file
from harness.trust.verdicts import SealedVerdict, parse_verdict

SCORES = "scores.jsonl"
MAX_LISTED = 10  # names in a message


def find_run(path: Path) -> StoredRun:
    """The run in a run folder, or the last finished run of the suite in a suite folder or file.

    Raises:
        InvalidInputError: neither a run nor a suite, an invalid suite, or one without a finished run.
        BrokenRunError: a run that did not finish or is damaged.
        EvidenceRefusedError: evidence that changed since the run.
    """
    if (path / MANIFEST).is_file() or (path / STATUS).is_file():
        return read_run(path)
    if not path.is_file() and not (path / SUITE_FILE).is_file():
        raise InvalidInputError(f"{path}: neither a run folder ({MANIFEST}) nor a suite ({SUITE_FILE}); {_near(path)}")
    loaded = load_suite(path)
    found = latest_run(project_folders(loaded.folder).reports, loaded.suite.suite)
    if found is None:
        raise InvalidInputError(f"{path}: no finished run of this suite; harness run {path} makes one")
    return found


def _near(path: Path) -> str:
    """What may have been meant: the runs and suites in a folder, or those beside it with such a name."""
    folder, start = (path, "") if path.is_dir() else (path.parent, path.name)
    names = sorted(e.name for e in folder.glob("*/") if (e / MANIFEST).is_file() or (e / SUITE_FILE).is_file())
    close = [name for name in names if name.startswith(start)] or difflib.get_close_matches(start, names)
    if not close:
        return "runs are kept in reports/SUITE/"
    return f"did you mean one of these?\n{_listed([str(folder / name) for name in close])}"


def suite_of(run: StoredRun) -> Suite:
    """The suite that a run was made by."""
    return parse_suite(run.suite_text, run.folder / SUITE_FILE, run.manifest.overrides, files=False).suite


def verdict_of(run: StoredRun) -> SealedVerdict:
    """The verdict on exactly this run's evidence.

    Raises:
        InvalidInputError: the run was not judged yet.
        EvidenceRefusedError: the verdict was changed, or is about other evidence.
    """
    verdict = read_verdict(run.folder / VERDICT)
    if verdict.manifest_digest != digest_file(run.folder / MANIFEST):
        raise EvidenceRefusedError(f"{run.folder / VERDICT}: about other evidence; `harness gate {run.folder}` judges")
    return verdict


def read_verdict(path: Path) -> SealedVerdict:
    """A verdict file, found to be as it was written.

    Raises:
        InvalidInputError: there is no verdict.
        EvidenceRefusedError: it cannot be read, is of another format, or was changed since it was written.
    """
    if not path.is_file():
        raise InvalidInputError(f"{path.parent}: not judged yet; `harness gate {path.parent}` judges it")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvidenceRefusedError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_verdict(content, str(path))


def read_scores(folder: Path, *mentions: str) -> tuple[ScoredAnswer, ...]:
    """The scores of a judged run, or only those whose row has each of these texts as a value.

    Raises:
        InvalidInputError: the run was not judged yet.
        BrokenRunError: a row that cannot be read.
    """
    path = folder / SCORES
    if not path.is_file():
        raise InvalidInputError(f"{folder}: not judged yet; `harness gate {folder}` judges it")
    # Rows are told apart before they are parsed: of ten thousand examples, one is asked for.
    needles = [json.dumps(text, ensure_ascii=False).encode("utf-8") for text in mentions]
    lines = (line for line in path.read_bytes().split(b"\n") if line and all(needle in line for needle in needles))
    try:
        return tuple(from_plain(ScoredAnswer, parse(line.decode("utf-8")), str(path)) for line in lines)
    except (UnicodeDecodeError, StrictJsonError) as error:
        raise BrokenRunError(f"{path}: not valid JSON: {error}; `harness gate {folder}` writes it again") from None


def pick(wanted: str, known: Sequence[str], what: str) -> str:
    """The one of the `known` names that is `wanted`, or that alone starts with it.

    Raises:
        InvalidInputError: none or several of them; with those that come close.
    """
    starting = [wanted] if wanted in known else [name for name in known if name.startswith(wanted)]
    if len(starting) == 1:
        return starting[0]
    if starting:
        raise InvalidInputError(f"{len(starting)} {what}s start with '{wanted}':\n{_listed(starting)}")
    close = difflib.get_close_matches(wanted, known, n=MAX_LISTED) or [name for name in known if wanted in name]
    if close:
        raise InvalidInputError(f"there is no {what} '{wanted}'; close to it:\n{_listed(close)}")
    raise InvalidInputError(f"there is no {what} '{wanted}'; there are:\n{_listed(known)}")


def _listed(names: Sequence[str]) -> str:
    more = [f"  and {len(names) - MAX_LISTED:,} more"] if len(names) > MAX_LISTED else []
    return "\n".join([*(f"  {name}" for name in names[:MAX_LISTED]), *more])
