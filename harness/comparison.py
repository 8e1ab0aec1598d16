"""Compare two files of per-example scores, whoever wrote them, or two runs, with the function that decides a suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.assembly import assemble_evidence
from harness.data.score_files import ScoreFile, choose_scores, read_score_file
from harness.data.score_rows import ScoredRow, refuse_other_clusters
from harness.errors import InvalidInputError
from harness.findings import Comparison, Status
from harness.gate.comparing import compare_scores, judge_comparison
from harness.gate.deciding import STATUS_DECISIONS
from harness.gate.sequential import bet_on_gain, judge_early
from harness.judged import suite_of, verdict_of
from harness.records import Prediction, Score, ScoredAnswer, ScoreResult, Unscored
from harness.report.view_compare import ComparedRun, RunComparison
from harness.scoring.apply import corpus_of
from harness.scoring.declared import scorers_of
from harness.stats.sequential import SequentialResult, permutation
from harness.store.runs import MANIFEST, StoredRun, read_run
from harness.suite.checks import BetterThan
from harness.suite.schema import Statistics
from harness.trust.digests import digest_file


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """What is asked of two files. A negative `min_gain` is a margin: less than that much worse is good enough."""

    statistics: Statistics
    seed: int = 0  # of the resamples, and in a mode that may stop early of the order of the examples
    min_gain: float = 0.0
    scorer: str | None = None
    systems: tuple[str | None, str | None] = (None, None)  # of the baseline file and of the candidate file
    cluster_by: str | None = None  # the field of each row that names its cluster


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """A run with the scores of its test answers, made anew: what it binds is its answers, and not `scores.jsonl`."""

    stored: StoredRun
    scores: tuple[ScoredAnswer, ...]


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
    runs: tuple[ScoredRun, ScoredRun] | None  # of the two, when both are runs

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
            give them the same clusters; two runs that asked or scored otherwise; a corpus metric; or clusters in a
            mode that may stop early.
        BrokenRunError: a run whose evidence is incomplete.
        EvidenceRefusedError: a run whose evidence changed.
    """
    scored = tuple(_score_run(path) if (path / MANIFEST).is_file() else None for path in (baseline, candidate))
    runs = (scored[0], scored[1]) if scored[0] and scored[1] else None
    scorer = settings.scorer or (_asked_scorer(runs) if runs else None)
    first = _read(baseline, scored[0], scorer, settings.systems[0], settings.cluster_by)
    second = _read(candidate, scored[1], scorer or first.scorer, settings.systems[1], settings.cluster_by)
    _refuse_corpus_metric(second)
    if runs:
        _refuse_other_questions(runs)
        if unlike := _unlike(runs, second.scorer):
            raise InvalidInputError(f"{baseline} and {candidate}: {unlike}")
    clusters = _same_examples(first, second)
    groups = len({key if name is None else (name,) for key, name in clusters.items()})
    early, used = None, tuple(second.scores)
    if settings.statistics.mode != "fixed":
        _refuse_clusters(second, groups, settings.statistics.mode)
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
        runs=runs,
    )


def _score_run(folder: Path) -> ScoredRun:
    run = read_run(folder)
    if run.manifest.shard is not None:
        raise InvalidInputError(f"{folder}: shard {run.manifest.shard} of a run; `harness merge` puts them together")
    scores, _ = assemble_evidence(run, suite_of(run))
    return ScoredRun(run, tuple(item for item in scores if item.dataset == "test"))


def _asked_scorer(runs: tuple[ScoredRun, ScoredRun]) -> str | None:
    """The scorer of the gains that both suites ask for; None where they ask for gains by several."""
    asked = {check.scorer for run in runs for check in suite_of(run.stored).checks if isinstance(check, BetterThan)}
    return asked.pop() if len(asked) == 1 else None


def _read(
    path: Path, run: ScoredRun | None, scorer: str | None, system: str | None, cluster_by: str | None
) -> ScoreFile:
    # A run folder stands for the scores of its candidate.
    try:
        if run is None:
            return read_score_file(path, scorer=scorer, system=system, cluster_by=cluster_by)
        refuse_other_clusters(path, cluster_by)
        system = system or suite_of(run.stored).candidate
        return choose_scores(path, "own", digest_file(path / MANIFEST), _rows(run), scorer=scorer, system=system)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}:\n{error}") from None


def _rows(run: ScoredRun) -> list[ScoredRow]:
    examples = {example.id: example for example in run.stored.examples["test"]}
    return [
        ScoredRow(
            where=str(run.stored.folder),
            id=item.example_id,
            scores={item.scorer: item.result.value if isinstance(item.result, Score) else None},
            system=item.system,
            part=item.scorer,
            cluster=examples[item.example_id].cluster,
            tags=examples[item.example_id].tags,
        )
        for item in run.scores
    ]


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


def _refuse_other_questions(runs: tuple[ScoredRun, ScoredRun]) -> None:
    """An id stands for one question with one reference, in both runs."""
    first, second = ({e.id: (e.messages, e.target) for e in run.stored.examples["test"]} for run in runs)
    unlike = [key for key in first if key in second and first[key] != second[key]]
    if unlike:
        raise InvalidInputError(
            f"{runs[0].stored.folder} and {runs[1].stored.folder} do not ask the same: {len(unlike)} of {len(first)} "
            f"examples have another question or reference, the first is {unlike[0]!r}"
        )


def _unlike(runs: tuple[ScoredRun, ScoredRun], scorer: str) -> str:
    """Why the scores of this name are not by the same scorer; empty when they are."""
    suites = [suite_of(run.stored) for run in runs]
    declared = [next((spec for spec in suite.declared_scorers if spec.name == scorer), None) for suite in suites]
    if declared[0] != declared[1]:
        return f"{scorer} is declared otherwise in the two suites"
    if scorers_of(suites[0])[scorer].needs_schema and runs[0].stored.schema != runs[1].stored.schema:
        return f"{scorer} judges by the JSON Schema, which is another in the two runs"
    return ""


def _refuse_corpus_metric(scores: ScoreFile) -> None:
    """The file has the scores of single answers, whose mean is another number than the corpus score of that name."""
    # Only a run's scores have a system and are of this harness's scorers; another file may name its own "bleu".
    of_run = scores.format == "own" and scores.system is not None
    if of_run and corpus_of(scores.scorer) is not None:
        raise InvalidInputError(
            f"{scores.path}: {scores.scorer} is a corpus metric, and a run's scores of single answers do not add up to "
            "one; compare by another scorer, or declare a `better_than` check in the suite"
        )


def _refuse_clusters(scores: ScoreFile, groups: int, mode: str) -> None:
    """What a mode that may stop early cannot do: it bets on one independent example after the other."""
    if groups < len(scores.scores):
        raise InvalidInputError(
            f"mode {mode} bets on independent examples, and these {len(scores.scores):,} come in {groups:,} "
            "clusters; use mode fixed"
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


def describe_runs(found: FileComparison) -> RunComparison:
    """Everything that a page on two compared runs shows: both of them, and their paired difference by each scorer.

    Raises:
        InvalidInputError: the two are not runs, one was not judged, or the comparison may have stopped early.
        EvidenceRefusedError: a verdict that is not about its run's evidence.
    """
    if found.runs is None:
        raise InvalidInputError("the page shows two runs; a score file has neither answers nor checks to show")
    if found.early is not None:
        raise InvalidInputError(f"the page shows whole test sets; mode {found.settings.statistics.mode} may stop early")
    baseline, candidate = (
        _compared_run(run, scores) for run, scores in zip(found.runs, (found.baseline, found.candidate), strict=True)
    )
    comparisons, left_out = [found.comparison], []
    for scorer in dict.fromkeys([*found.candidate.scorers, *found.baseline.scorers]):
        if scorer == found.candidate.scorer:
            continue
        if why := _not_compared(found, scorer):
            left_out.append(why)
        else:
            comparisons.append(_compare_by(found, scorer, baseline.scores[scorer], candidate.scores[scorer]))
    return RunComparison(
        baseline=baseline,
        candidate=candidate,
        examples=found.runs[1].stored.examples["test"],
        scorer=found.candidate.scorer,
        decision=STATUS_DECISIONS[found.status],
        reason=found.reason,
        needs=found.needs,
        comparisons=tuple(comparisons),
        left_out=tuple(left_out),
    )


def _compared_run(scored: ScoredRun, file: ScoreFile) -> ComparedRun:
    run = scored.stored
    verdict, system = verdict_of(run), file.system or suite_of(run).candidate
    scores: dict[str, dict[str, ScoreResult]] = {}
    for item in scored.scores:
        if item.system == system:
            scores.setdefault(item.scorer, {})[item.example_id] = item.result
    return ComparedRun(
        manifest=run.manifest,
        suite_text=run.suite_text,
        system=system,
        decision=verdict.decision,
        sentence=verdict.sentence,
        judged=verdict.judged,
        checks=verdict.checks,
        answers={p.example_id: p for p in run.predictions if _is_first(p, system)},
        scores=scores,
    )


def _is_first(answer: Prediction, system: str) -> bool:
    return (answer.system, answer.dataset, answer.sample) == (system, "test", 0)


def _not_compared(found: FileComparison, scorer: str) -> str:
    """Why the runs have no paired difference by a scorer; empty when they have one."""
    assert found.runs is not None
    if scorer not in found.baseline.scorers or scorer not in found.candidate.scorers:
        return f"{scorer} has scores in one of the runs only"
    if corpus_of(scorer) is not None:
        return f"{scorer} is a corpus metric, to which the scores of single answers do not add up"
    return _unlike(found.runs, scorer)


def _compare_by(
    found: FileComparison, scorer: str, theirs: Mapping[str, ScoreResult], ours: Mapping[str, ScoreResult]
) -> Comparison:
    settings = found.settings
    comparison = compare_scores(
        ours,
        theirs,
        statistics=settings.statistics,
        seed=settings.seed,
        min_gain=settings.min_gain,
        clusters=_same_examples(found.baseline, found.candidate),
    )
    return replace(comparison, candidate=found.comparison.candidate, baseline=found.comparison.baseline, scorer=scorer)
