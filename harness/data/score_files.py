"""Read per-example scores from a file of this harness or of another tool; the content tells the format."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.data.score_documents import inspect_rows, is_inspect_log, is_promptfoo_results, promptfoo_rows
from harness.data.score_rows import LAYOUTS, ScoredRow
from harness.data.sources import raise_problems, read_json_lines, read_limited
from harness.errors import InvalidInputError
from harness.strict_json import StrictJsonError, canonical, parse

KNOWN_LAYOUTS = """\
  own: JSON Lines {"id": "a", "score": 1} or {"id": "a", "scores": {"acc": 1}}, or the scores.jsonl of a run
  lm-eval samples: JSON Lines of `--log_samples`, with "doc_id", "filtered_resps" and one key per metric
  inspect log: one JSON object with "eval" and "samples": [{"id": 1, "epoch": 1, "scores": {...}}]
  promptfoo results: one JSON object with "results": {"results": [{"success": true, "score": 1, "vars": {...}}]}"""

_STRING_OR_NAN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|\bNaN\b', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFile:
    """One system's scores by one scorer, from 0 to 1, per example id in file order.

    None in `scores` is an example without a score: failed, not graded, or left out by the scorer. `clusters`
    and `tags` have the same keys; the cluster None stands alone.
    """

    path: Path
    format: str  # "own", "lm-eval samples", "inspect log" or "promptfoo results"
    system: str | None  # None where the format names none
    scorer: str
    scorers: tuple[str, ...]  # all that the file has for this system
    digest: str  # SHA-256 of the file, or of a run's manifest
    scores: Mapping[str, float | None]
    clusters: Mapping[str, str | None]
    tags: Mapping[str, tuple[str, ...]]


def read_score_file(
    path: Path, *, scorer: str | None = None, system: str | None = None, cluster_by: str | None = None
) -> ScoreFile:
    """Read the scores of one scorer and one system; each may be left out where the file has only one.

    An example that was answered several times (Inspect's epochs) has the mean of its scores, and none when
    one of them is missing. `cluster_by` names the field whose value is the cluster, in place of the clusters
    that the format has: a key of the row, of lm-eval's `doc`, of Inspect's `metadata` or of promptfoo's `vars`.

    Raises:
        InvalidInputError: the file cannot be read, is empty or of no known layout; an id is given twice; a
            score is not a number from 0 to 1; `scorer` or `system` is not there or has to be chosen; or a row
            lacks the field `cluster_by`, or gives an example another cluster than the row before.
    """
    layout, digest, every = _read(path, cluster_by)
    return choose_scores(path, layout, digest, every, scorer=scorer, system=system)


def choose_scores(
    path: Path, layout: str, digest: str, every: Sequence[ScoredRow], *, scorer: str | None, system: str | None
) -> ScoreFile:
    """The scores of one scorer and one system among `every` row of what lies at `path`.

    Raises:
        InvalidInputError: as `read_score_file` does of what the rows say.
    """
    if not every:
        raise InvalidInputError(f"{path}: there are no rows")
    systems = tuple(dict.fromkeys(row.system for row in every if row.system is not None))
    chosen = _choose("system", system, systems, path) if systems or system is not None else None
    rows = [row for row in every if row.system == chosen]
    scorers = tuple(dict.fromkeys(name for row in rows for name in row.scores))
    name = _choose("scorer", scorer, scorers, path)
    return ScoreFile(
        path=path,
        format=layout,
        system=chosen,
        scorer=name,
        scorers=scorers,
        digest=digest,
        scores=_scores(rows, name, path),
        clusters=_clusters(rows),
        tags={row.id: row.tags for row in rows},
    )


def _read(path: Path, cluster_by: str | None) -> tuple[str, str, tuple[ScoredRow, ...]]:
    """The format, the digest of the bytes, and the rows."""
    content = read_limited(path)
    text = _text(content, path)
    first, _, rest = text.strip().partition("\n")
    if not first:
        raise InvalidInputError(f"{path}: the file is empty")
    # A row of JSON Lines ends on the line on which it began; the start of a pretty-printed object does not.
    if not rest or not first.rstrip().endswith("}"):
        value = _document(text, path)
        digest = hashlib.sha256(content).hexdigest()
        if is_inspect_log(value):
            return "inspect log", digest, inspect_rows(value, path.name, cluster_by)
        if is_promptfoo_results(value):
            return "promptfoo results", digest, promptfoo_rows(value, path.name, cluster_by)
        if rest or not isinstance(value, dict):
            raise _unknown(value, path)
    source = read_json_lines(path)
    for layout in LAYOUTS:
        if layout.keys <= set(source.rows[0].value):
            return layout.format, source.digest, layout.read(source, cluster_by)
    raise _unknown(source.rows[0].value, path)


def _text(content: bytes, path: Path) -> str:
    if content.startswith(b"PK\x03\x04"):
        raise InvalidInputError(
            f"{path}: a zip archive; an Inspect .eval log becomes JSON with `inspect log convert --to json`"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path}: not UTF-8 at byte {error.start + 1}") from None


def _document(text: str, path: Path) -> Any:
    # Inspect writes the constant NaN for "not scored"; as null it is a missing score.
    without_nan = _STRING_OR_NAN.sub(lambda found: "null" if found[0] == "NaN" else found[0], text)
    try:
        return parse(without_nan)
    except StrictJsonError as error:
        raise InvalidInputError(f"{path}: not valid JSON: {error}") from None


def _unknown(value: Any, path: Path) -> InvalidInputError:
    found = f"an object with {', '.join(list(value)[:8]) or 'nothing'}" if isinstance(value, dict) else "no object"
    return InvalidInputError(f"{path}: not a known score file (found {found}). Known are:\n{KNOWN_LAYOUTS}")


def _choose(kind: str, wanted: str | None, there: Sequence[str], path: Path) -> str:
    if wanted is not None and wanted in there:
        return wanted
    if wanted is None and len(there) == 1:
        return there[0]
    problem = (
        f"has no {kind} {wanted!r}" if wanted is not None else f"has {len(there)} {kind}s, name the one to compare"
    )
    listed = "\n".join(f"  {name}" for name in there) or f"  (no {kind} at all)"
    raise InvalidInputError(f"{path}: {problem}; there are:\n{listed}")


def _scores(rows: Sequence[ScoredRow], scorer: str, path: Path) -> dict[str, float | None]:
    seen: dict[tuple[str, int, str], str] = {}
    values: dict[str, dict[int, float | None]] = {}  # id -> epoch -> score
    problems: list[str] = []
    for row in rows:
        key = row.id, row.epoch, row.part
        if key in seen:
            problems.append(f"{row.where}: the id {row.id!r} is there already, see {seen[key]}")
        seen.setdefault(key, row.where)
        epochs = values.setdefault(row.id, {})
        epochs.setdefault(row.epoch, None)
        try:
            if scorer in row.scores:
                epochs[row.epoch] = _number(row.scores[scorer])
        except ValueError as error:
            problems.append(f"{row.where}: `{scorer}` {error}")
    raise_problems(problems)
    most = max(map(len, values.values()))
    short = [f"{key!r} has {len(epochs)}" for key, epochs in values.items() if len(epochs) < most]
    if short:
        raise InvalidInputError(f"{path}: epochs are missing: other samples have {most}, but {', '.join(short[:5])}")
    return {key: _mean(tuple(epochs.values())) for key, epochs in values.items()}


def _clusters(rows: Sequence[ScoredRow]) -> dict[str, str | None]:
    clusters: dict[str, str | None] = {}
    problems: list[str] = []
    for row in rows:
        if clusters.setdefault(row.id, row.cluster) != row.cluster:
            problems.append(
                f"{row.where}: {row.id!r} is of cluster {row.cluster!r} here and of {clusters[row.id]!r} before"
            )
    raise_problems(problems)
    return clusters


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, bool | int | float):
        raise ValueError(f"is not a number: {canonical(value)[:60]}")
    if not 0 <= value <= 1:
        raise ValueError(f"is {value}; a score lies between 0 and 1, higher is better")
    return float(value)


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return fmean(present) if len(present) == len(values) else None
