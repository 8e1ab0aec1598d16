"""Compare two files of per-example scores, whoever wrote them, with the function that decides a suite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data.score_files import ScoreFile, read_score_file
from harness.errors import InvalidInputError
from harness.gate.comparing import compare_scores, judge_comparison
from harness.records import Comparison, Score, ScoreResult, Status, Unscored
from harness.store.runs import MANIFEST, read_run
from harness.suite.schema import Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class FileComparison:
    """The decision on two score files, and what was read from each."""

    baseline: ScoreFile
    candidate: ScoreFile
    comparison: Comparison
    status: Status
    reason: str
    needs: str


def compare_files(
    baseline: Path,
    candidate: Path,
    *,
    scorer: str | None,
    systems: tuple[str | None, str | None],
    statistics: Statistics,
    seed: int,
) -> FileComparison:
    """Compare the scores of `candidate` with those of `baseline`, paired by example id.

    Raises:
        InvalidInputError: a file that cannot be read, or two files that do not score the same examples.
    """
    first = _read(baseline, scorer, systems[0])
    second = _read(candidate, scorer or first.scorer, systems[1])
    if first.scores.keys() != second.scores.keys():
        lone = sorted(first.scores.keys() ^ second.scores.keys())
        raise InvalidInputError(
            f"{baseline} and {candidate} do not score the same examples: {len(lone)} stand in one only, "
            f"the first is {lone[0]!r}; rows are never left out of a comparison"
        )
    comparison = replace(
        compare_scores(
            _results(second.scores),
            _results(first.scores),
            statistics=statistics,
            seed=seed,
            clusters={key: second.clusters[key] or first.clusters[key] for key in second.clusters},
        ),
        candidate=str(candidate),
        baseline=str(baseline),
        scorer=second.scorer,
    )
    status, reason, needs = judge_comparison(comparison, statistics)
    return FileComparison(
        baseline=first, candidate=second, comparison=comparison, status=status, reason=reason, needs=needs
    )


def _read(path: Path, scorer: str | None, system: str | None) -> ScoreFile:
    # A run folder stands for the scores of its candidate, once its evidence is found to be what the run bound.
    if (path / MANIFEST).is_file():
        candidate = next(fact.name for fact in read_run(path).manifest.systems if fact.role == "candidate")
        path, system = path / "scores.jsonl", system or candidate
    try:
        return read_score_file(path, scorer=scorer, system=system)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}:\n{error}") from None


def _results(scores: Mapping[str, float | None]) -> dict[str, ScoreResult]:
    return {key: Unscored("no score in the file") if value is None else Score(value) for key, value in scores.items()}
