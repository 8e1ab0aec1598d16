"""Compare two files of per-example scores, whoever wrote them, with the function that decides a suite."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data.score_files import ScoreFile, read_score_file
from harness.errors import InvalidInputError
from harness.gate.comparing import compare_scores, judge_comparison
from harness.gate.sequential import bet_on_gain, judge_early
from harness.records import Comparison, Score, ScoreResult, Status, Unscored
from harness.scoring.apply import is_corpus
from harness.stats.sequential import SequentialResult, permutation
from harness.store.runs import MANIFEST, read_run
from harness.suite.schema import Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """What is asked of two files. A negative `min_gain` is a margin: less than that much worse is good enough."""

    statistics: Statistics
    seed: int = 0  # of the resamples, and in a mode that may stop early of the order of the examples
    min_gain: float = 0.0
    scorer: str | None = None
    systems: tuple[str | None, str | None] = (None, None)  # of the baseline file and of the candidate file
    cluster_by: str | None = None  # the field of each row that names its cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class FileComparison:
    """The decision on two score files, and what was read from each."""

    settings: CompareSettings
    baseline: ScoreFile
    candidate: ScoreFile
    comparison: Comparison  # of the examples used
    early: SequentialResult | None  # what the bets found, in a mode that may stop early
    clusters: int  # independent groups of examples in the files; an example without a cluster is one
    status: Status
    reason: str
    needs: str

    @property
    def n(self) -> int:
        """All examples of the files."""
        return len(self.candidate.scores)

    @property
    def fixed_test(self) -> bool:
        """Whether the p-values of the comparison had a say: not where bets decided, nor where they are all there is."""
        return self.early is None or (self.early.decision == "undecided" and self.settings.statistics.mode == "hybrid")

    @property
    def method(self) -> str:
        """How it was decided."""
        methods = (self.early.method if self.early else "", self.comparison.method if self.fixed_test else "")
        return "; then ".join(filter(None, methods))


def compare_files(baseline: Path, candidate: Path, settings: CompareSettings) -> FileComparison:
    """Compare the scores of `candidate` with those of `baseline`, paired by example id.

    In a mode that may stop early the examples are read in one random order, which the seed draws, and those
    after the deciding look are left unused.

    Raises:
        InvalidInputError: a file that cannot be read; two files that do not score the same examples or do not
            give them the same clusters; or clusters or a corpus metric in a mode that may stop early.
    """
    first = _read(baseline, settings.scorer, settings.systems[0], settings.cluster_by)
    second = _read(candidate, settings.scorer or first.scorer, settings.systems[1], settings.cluster_by)
    clusters = _same_examples(first, second)
    groups = len({key if name is None else (name,) for key, name in clusters.items()})
    early, used = None, tuple(second.scores)
    if settings.statistics.mode != "fixed":
        _refuse_early(second, groups, settings.statistics.mode)
        early, used = _bet(first, second, settings)
    comparison = replace(
        compare_scores(
            _results(second, used),
            _results(first, used),
            statistics=settings.statistics,
            seed=settings.seed,
            min_gain=settings.min_gain,
            clusters=clusters,
        ),
        candidate=str(candidate),
        baseline=str(baseline),
        scorer=second.scorer,
    )
    status, reason, needs = _judge(early, comparison, settings)
    return FileComparison(
        settings=settings,
        baseline=first,
        candidate=second,
        comparison=comparison,
        early=early,
        clusters=groups,
        status=status,
        reason=reason,
        needs=needs,
    )


def _read(path: Path, scorer: str | None, system: str | None, cluster_by: str | None) -> ScoreFile:
    # A run folder stands for the scores of its candidate, once its evidence is found to be what the run bound.
    if (path / MANIFEST).is_file():
        candidate = next(fact.name for fact in read_run(path).manifest.systems if fact.role == "candidate")
        path, system = path / "scores.jsonl", system or candidate
    try:
        return read_score_file(path, scorer=scorer, system=system, cluster_by=cluster_by)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}:\n{error}") from None


def _same_examples(first: ScoreFile, second: ScoreFile) -> dict[str, str | None]:
    """The cluster of each example, once both files are found to speak of the same ones."""
    if first.scores.keys() != second.scores.keys():
        lone = sorted(first.scores.keys() ^ second.scores.keys())
        raise InvalidInputError(
            f"{first.path} and {second.path} do not score the same examples: {len(lone)} stand in one only, "
            f"the first is {lone[0]!r}; rows are never left out of a comparison"
        )
    pairs = {key: (first.clusters[key], second.clusters[key]) for key in second.clusters}
    unlike = [key for key, (one, other) in pairs.items() if one and other and one != other]
    if unlike:
        one, other = pairs[unlike[0]]
        raise InvalidInputError(
            f"{first.path} and {second.path} give {len(unlike)} examples different clusters: {unlike[0]!r} is of "
            f"{one!r} in the first and of {other!r} in the second"
        )
    return {key: other or one for key, (one, other) in pairs.items()}


def _refuse_early(scores: ScoreFile, groups: int, mode: str) -> None:
    """What a mode that may stop early cannot do: it bets on one independent example after the other."""
    if groups < len(scores.scores):
        raise InvalidInputError(
            f"mode {mode} bets on independent examples, and these {len(scores.scores):,} come in {groups:,} "
            "clusters; use mode fixed"
        )
    # Only a run's scores have a system and are of this harness's scorers; another file may name its own "bleu".
    of_run = scores.format == "own" and scores.system is not None
    if of_run and is_corpus(scores.scorer):
        raise InvalidInputError(
            f"mode {mode} bets on the examples one by one, and {scores.scorer} is a corpus metric; use mode fixed"
        )


def _bet(first: ScoreFile, second: ScoreFile, settings: CompareSettings) -> tuple[SequentialResult, tuple[str, ...]]:
    """What the bets settle on the examples in random order, and the examples that they used."""
    ids = sorted(second.scores)  # so that the order of the rows in the files changes nothing
    order = tuple(ids[index] for index in permutation(len(ids), settings.seed))
    ours, theirs = (list(_results(scores, order).values()) for scores in (second, first))
    result = bet_on_gain(ours, theirs, min_gain=settings.min_gain, statistics=settings.statistics, pool=len(order))
    return result, order[: result.n_used]


def _judge(
    early: SequentialResult | None, comparison: Comparison, settings: CompareSettings
) -> tuple[Status, str, str]:
    statistics, min_gain = settings.statistics, settings.min_gain
    if early is None:
        return judge_comparison(comparison, statistics, min_gain=min_gain)
    return judge_early(early, comparison, statistics, min_gain=min_gain)


def _results(scores: ScoreFile, ids: Iterable[str]) -> dict[str, ScoreResult]:
    return {key: _result(scores.scores[key]) for key in ids}


def _result(value: float | None) -> ScoreResult:
    return Unscored("no score in the file") if value is None else Score(value)
