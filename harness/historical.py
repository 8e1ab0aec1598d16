"""What every stored run of a suite found, check by check and example by example, oldest first; nothing is judged anew.

Runs are read from their sealed verdicts and their stored scores: those under reports/, and under baselines/ those
promoted ones whose run folder is gone. Only runs on one test set by one scorer stand side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from harness.errors import HarnessError
from harness.files import in_use
from harness.findings import CheckResult, Decision
from harness.judged import read_scores, read_verdict
from harness.records import RunManifest, Score, ScoredAnswer, ScoreResult
from harness.store.baselines import OUTCOMES, BaselineRecord, list_baselines
from harness.store.facts import from_plain, read_record, read_records
from harness.store.ledger import LEDGER, Look, read_looks
from harness.store.runs import MANIFEST, SHARDS, VERDICT
from harness.suite.checks import BetterThan
from harness.suite.load import SUITE_FILE, LoadedSuite, parse_suite
from harness.suite.schema import Suite
from harness.trust.verdicts import SealedVerdict

RUN_OWN = ("suite", "inputs", "ground", "adapter:")  # digests that no two candidates are expected to share
WITHIN_BASE = "base:"  # the files of the base model, which has a digest of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRun:
    """One run that stands beside the others. `differs` names what it had unlike the newest run, beyond its adapter."""

    run_id: str
    judged: str  # ISO 8601, UTC
    decision: Decision
    promoted: str  # its name in the registry; empty when it is not there
    in_force: bool
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """One run that cannot stand beside the others, and why."""

    run_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """What one check found in each run; None in those that did not have it."""

    check: str
    results: tuple[CheckResult | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """One example on which the candidates changed between right and wrong; None where it was not answered."""

    example_id: str
    changes: int  # between consecutive runs that answered it
    right: tuple[bool | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Every run of a suite; `results` of trends and `right` of flips are in the order of the runs."""

    suite: str
    test_digest: str  # of the newest run; empty without any
    scorer: str  # right is a score of 1 by it
    runs: tuple[HistoryRun, ...]
    left_out: tuple[LeftOut, ...]
    trends: tuple[Trend, ...]
    examples: int
    flips: tuple[Flip, ...]  # the most changes first
    looks: tuple[Look, ...]  # every look in the ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """One verdict, and where the scores behind it lie: in a run folder, or beside the record of the registry."""

    verdict: SealedVerdict
    folder: Path
    record: BaselineRecord | None = None


def suite_history(loaded: LoadedSuite, *, reports: Path, registry: Path) -> History:
    """Everything that is stored of a suite's runs.

    Raises:
        BrokenRunError: the registry or the ledger is damaged; a damaged run is only left out.
    """
    suite = loaded.suite
    scorer = next((check.scorer for check in suite.checks if isinstance(check, BetterThan)), "exact_match")
    left_out: list[LeftOut] = []
    promoted = [(record, on) for record, on in list_baselines(registry) if record.suite == suite.suite]
    stored = _stored(reports / suite.suite, registry / suite.suite, [record for record, _ in promoted], left_out)
    stored.sort(key=lambda item: item.verdict.run_id)  # an id begins with its time
    test = str(suite.data.test)
    newest = next((item.verdict for item in reversed(stored) if test in item.verdict.digests), None)
    test_digest = newest.digests[test] if newest else ""
    runs: list[_Stored] = []
    outcomes: list[Mapping[str, ScoreResult]] = []
    for item in stored:
        found = _comparable(item, loaded, test_digest, scorer)
        if isinstance(found, str):
            left_out.append(LeftOut(run_id=item.verdict.run_id, reason=found))
        else:
            runs.append(item)
            outcomes.append(found)
    looks = read_looks(registry / suite.suite / LEDGER)
    left_out += _only_looked(looks, {item.verdict.run_id for item in stored} | {item.run_id for item in left_out})
    return History(
        suite=suite.suite,
        test_digest=test_digest,
        scorer=scorer,
        runs=tuple(_run(item, newest, promoted) for item in runs if newest),
        left_out=tuple(left_out),
        trends=_trends([item.verdict for item in runs]),
        examples=len({key for found in outcomes for key in found}),
        flips=_flips(outcomes),
        looks=looks,
    )


def _stored(reports: Path, registry: Path, records: Sequence[BaselineRecord], left_out: list[LeftOut]) -> list[_Stored]:
    """Every verdict on the suite that can be read; the others go to `left_out`."""
    found = []
    for folder in sorted(folder for folder in reports.glob("*/") if folder.name != SHARDS):
        if not (folder / MANIFEST).is_file():
            reason = "still going on" if in_use(folder) else "did not finish"
            left_out.append(LeftOut(run_id=folder.name, reason=reason))
            continue
        try:
            found.append(_Stored(verdict=read_verdict(folder / VERDICT), folder=folder))
        except HarnessError as error:
            left_out.append(LeftOut(run_id=folder.name, reason=str(error)))
    known = {item.verdict.run_id for item in found}
    for record in records:
        if record.run_id not in known:
            folder = registry / record.name
            known.add(record.run_id)
            try:
                found.append(_Stored(verdict=read_verdict(folder / VERDICT), folder=folder, record=record))
            except HarnessError as error:
                left_out.append(LeftOut(run_id=record.run_id, reason=str(error)))
    return found


def _comparable(item: _Stored, loaded: LoadedSuite, test_digest: str, scorer: str) -> Mapping[str, ScoreResult] | str:
    """The candidate's score of each test example; or why the run cannot stand beside the newest."""
    suite = loaded.suite
    digest = item.verdict.digests.get(str(suite.data.test))
    if digest is None:
        return f"had no test set named {suite.data.test}"
    if digest != test_digest:
        return f"on another test set ({digest[:12]})"
    try:
        if (other := _other_scorer(item, loaded, scorer)) is not None:
            return other
        found = [answer for answer in _scores(item, suite.candidate, scorer) if answer.dataset == "test"]
    except (HarnessError, OSError, UnicodeDecodeError) as error:
        return str(error)
    scores = {a.example_id: a.result for a in found if (a.system, a.scorer) == (suite.candidate, scorer)}
    return scores or f"has no scores of {suite.candidate} by {scorer}"


def _other_scorer(item: _Stored, loaded: LoadedSuite, scorer: str) -> str | None:
    """Why a declared scorer is not what the suite declares now; None when it is, or is one of the harness's own."""
    wanted = _declaration(loaded.suite, scorer)
    if wanted is None or item.verdict.suite_digest == loaded.digest:
        return None
    if item.record is None:
        text = (item.folder / SUITE_FILE).read_text(encoding="utf-8")
        overrides = read_record(RunManifest, item.folder / MANIFEST).overrides
    else:
        text, overrides = loaded.text, item.record.overrides
    judged_by = parse_suite(text, item.folder / SUITE_FILE, overrides, files=False)
    if judged_by.digest != item.verdict.suite_digest:
        return f"the suite that it was judged by is not stored, and with it how {scorer} was declared"
    return None if _declaration(judged_by.suite, scorer) == wanted else f"by another {scorer}"


def _declaration(suite: Suite, scorer: str) -> object | None:
    return next((spec for spec in suite.declared_scorers if spec.name == scorer), None)


def _scores(item: _Stored, candidate: str, scorer: str) -> Sequence[ScoredAnswer]:
    if item.record is None:
        return read_scores(item.folder, candidate, scorer)
    path = item.folder / OUTCOMES
    rows = (row for row in read_records(dict, path) if row.get("kind") == "score")
    return [from_plain(ScoredAnswer, {**row, "system": candidate}, str(path)) for row in rows]


def _run(item: _Stored, newest: SealedVerdict, promoted: Sequence[tuple[BaselineRecord, bool]]) -> HistoryRun:
    verdict = item.verdict
    own = [(record, on) for record, on in promoted if record.run_id == verdict.run_id]
    return HistoryRun(
        run_id=verdict.run_id,
        judged=verdict.judged,
        decision=verdict.decision,
        promoted=", ".join(record.name for record, _ in own),
        in_force=any(on for _, on in own),
        differs=_differs(verdict, newest),
    )


def _differs(verdict: SealedVerdict, newest: SealedVerdict) -> tuple[str, ...]:
    names = sorted({*verdict.digests, *newest.digests})
    unlike = [name for name in names if verdict.digests.get(name) != newest.digests.get(name)]
    version = [f"harness {verdict.tool_version}"] if verdict.tool_version != newest.tool_version else []
    return (*(name for name in unlike if not name.startswith((*RUN_OWN, WITHIN_BASE))), *version)


def _trends(verdicts: Sequence[SealedVerdict]) -> tuple[Trend, ...]:
    """Each check by kind and name (and by place, where several share it), those of the newest run first."""
    found = [dict(_keyed(verdict.checks)) for verdict in verdicts]
    keys = dict.fromkeys(key for checks in reversed(found) for key in checks)
    return tuple(Trend(check=key[1], results=tuple(checks.get(key) for checks in found)) for key in keys)


def _keyed(checks: Sequence[CheckResult]) -> Iterator[tuple[tuple[str, str, int], CheckResult]]:
    seen: Counter[tuple[str, str]] = Counter()
    for check in checks:
        yield (check.kind, check.name, seen[check.kind, check.name]), check
        seen[check.kind, check.name] += 1


def _flips(outcomes: Sequence[Mapping[str, ScoreResult]]) -> tuple[Flip, ...]:
    flips = []
    for key in dict.fromkeys(key for found in outcomes for key in found):
        right = tuple(_is_right(found[key]) if key in found else None for found in outcomes)
        changes = sum(before != after for before, after in pairwise(each for each in right if each is not None))
        if changes:
            flips.append(Flip(example_id=key, changes=changes, right=right))
    return tuple(sorted(flips, key=lambda flip: (-flip.changes, flip.example_id)))


def _is_right(result: ScoreResult) -> bool:
    return isinstance(result, Score) and result.value == 1.0


def _only_looked(looks: Sequence[Look], known: set[str]) -> list[LeftOut]:
    return [
        LeftOut(run_id=look.run_id, reason=f"only its look at the test set is recorded ({look.decision}): it is gone")
        for look in looks
        if look.run_id not in known
    ]
