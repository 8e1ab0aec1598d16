"""Compare two systems on the same examples and decide the gain; missing scores count against the candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.errors import BrokenRunError
from harness.findings import Comparison, Status
from harness.gate.evidence import Evidence
from harness.records import BEST, WORST, Example, Score, ScoreResult
from harness.scoring.apply import Corpus, corpus_of
from harness.stats.paired import PairedResult, compare_corpus, compare_paired
from harness.stats.power import examples_needed
from harness.suite.schema import Statistics


def compare_scores(
    candidate: Mapping[str, ScoreResult],
    baseline: Mapping[str, ScoreResult],
    *,
    statistics: Statistics,
    seed: int,
    min_gain: float = 0.0,
    mid_p: bool = False,
    clusters: Mapping[str, str | None] | None = None,
) -> Comparison:
    """Compare two systems by example id, with the test that the scores (0 to 1, higher better) call for.

    The p-values are about a gain of more than `min_gain`, which may be negative (see `judge_comparison`). A
    missing score of the candidate counts as the worst, one of the baseline as the best; `imputed` counts the
    pairs in which that happened. `clusters` maps ids to groups of examples that are not independent.

    Raises:
        BrokenRunError: the two sides do not have the same ids; rows are never left out of a comparison.
        ValueError: no examples, or a score outside 0 to 1.
    """
    if candidate.keys() != baseline.keys():
        lone = sorted(candidate.keys() ^ baseline.keys())
        raise BrokenRunError(f"{len(lone)} examples were scored on one side only, the first is {lone[0]!r}")
    pairs = [(candidate[key], baseline[key]) for key in candidate]
    result = compare_paired(
        [mine.value if isinstance(mine, Score) else WORST for mine, _ in pairs],
        [other.value if isinstance(other, Score) else BEST for _, other in pairs],
        alpha=statistics.alpha,
        min_gain=min_gain,
        mid_p=mid_p,
        seed=seed,
        clusters=[clusters.get(key) for key in candidate] if clusters else None,
        resamples=statistics.resamples,
    )
    return _comparison(result, imputed=_imputed(pairs))


def judge_comparison(
    comparison: Comparison, statistics: Statistics, *, min_gain: float = 0.0
) -> tuple[Status, str, str]:
    """Status, the sentence with the numbers, and what would settle it: the one place where a gain is decided.

    A negative `min_gain` is a margin: it passes when the candidate is shown to be less than that much worse.
    """
    delta, alpha = comparison.delta, statistics.alpha
    gain = (
        f"{100 * delta.value:+.1f} points on {comparison.scorer} against {comparison.baseline} "
        f"[{100 * delta.low:+.1f}, {100 * delta.high:+.1f}] over {comparison.n} examples, "
        f"{comparison.wins} better and {comparison.losses} worse"
    )
    numbers = (delta.value, delta.low, delta.high, comparison.p_value, comparison.p_reverse)
    if not all(map(math.isfinite, numbers)):
        return "undecided", f"the comparison with {comparison.baseline} is not a finite number", ""
    if comparison.imputed > statistics.max_unscored * comparison.n:
        share = f"{comparison.imputed} of {comparison.n} pairs lack a score, over {statistics.max_unscored:.1%}"
        return "undecided", f"{share}: {gain}", "find out why answers failed, and run again"
    lost = comparison.imputed
    counted = f"; {lost} missing score{'s were' if lost > 1 else ' was'} counted against the candidate" if lost else ""
    if comparison.p_value <= alpha:
        return "pass", f"{claim('pass', min_gain)}: {gain} (p = {comparison.p_value:.2g}){counted}", ""
    if comparison.p_reverse <= alpha:
        reason = f"{claim('fail', min_gain)}: {gain} (p = {comparison.p_reverse:.2g} that it is not){counted}"
        return "fail", reason, ""
    reason = f"{claim('undecided', min_gain)}: {gain} (p = {comparison.p_value:.2g}){counted}"
    return "undecided", reason, _more_examples(comparison, statistics, min_gain)


def claim(status: Status, min_gain: float) -> str:
    """What a status says of the candidate, in words, when a gain of more than `min_gain` is asked."""
    size = f"{100 * abs(min_gain):g} point{'' if math.isclose(abs(min_gain), 0.01) else 's'}"
    if min_gain < 0:
        words = (f"not worse by {size} or more", f"worse by {size} or more", f"not shown to be less than {size} worse")
    elif min_gain > 0:
        words = (f"better by more than {size}", f"less than {size} better", f"no gain of more than {size} shown")
    else:
        words = ("better", "worse", "no difference shown")
    return dict(zip(("pass", "fail", "undecided"), words, strict=True))[status]


def compare_systems(
    evidence: Evidence,
    *,
    scorer: str,
    baseline: str,
    statistics: Statistics,
    min_gain: float = 0.0,
    mid_p: bool = False,
    tag: str | None = None,
) -> Comparison:
    """Compare candidate and baseline on the test set, or on its examples with `tag`.

    Corpus metrics are compared by their corpus scores, all others by `compare_scores`.
    """
    examples = [example for example in evidence.examples["test"] if tag is None or tag in example.tags]
    ours, theirs = (
        {example.id: evidence.scores[name, "test", scorer][example.id] for example in examples}
        for name in (evidence.candidate, baseline)
    )
    corpus = corpus_of(scorer)
    if corpus is not None:
        result = _compare_corpus(evidence, corpus, baseline, examples, statistics)
        comparison = _comparison(result, imputed=_imputed([(ours[key], theirs[key]) for key in ours]))
    else:
        comparison = compare_scores(
            ours,
            theirs,
            statistics=statistics,
            seed=evidence.seed,
            min_gain=min_gain,
            mid_p=mid_p,
            clusters={example.id: example.cluster for example in examples},
        )
    return replace(comparison, candidate=evidence.candidate, baseline=baseline, scorer=scorer, tag=tag)


def _comparison(result: PairedResult, *, imputed: int) -> Comparison:
    return Comparison(
        candidate="candidate",
        baseline="the baseline",
        scorer="score",
        n=result.n,
        delta=result.delta,
        wins=result.wins,
        losses=result.losses,
        p_value=result.p_value,
        p_reverse=result.p_reverse,
        imputed=imputed,
        method=result.method,
    )


def _imputed(pairs: Sequence[tuple[ScoreResult, ScoreResult]]) -> int:
    return sum(not (isinstance(mine, Score) and isinstance(other, Score)) for mine, other in pairs)


def _more_examples(comparison: Comparison, statistics: Statistics, min_gain: float) -> str:
    """How many examples would settle it: for a margin at no true difference, else at `min_effect` above the bar.

    Above a bar that leaves less room than `min_effect` it is the largest gain there is.
    """
    changing = (comparison.wins + comparison.losses) / comparison.n
    distance = -min_gain if min_gain < 0 else min(statistics.min_effect, 1 - min_gain)
    needed = examples_needed(distance, max(changing, distance + min_gain), statistics.alpha)
    if min_gain < 0:
        size = f"to show it of a candidate that is as good takes about {needed:,} examples"
        enough = "the candidate is likely somewhat worse"
    else:
        size = f"a true gain of {100 * (min_gain + distance):.1f} points takes about {needed:,} examples"
        enough = "the gain is likely smaller than that"
    if needed > comparison.n:
        return f"{size} (80 % power): {needed - comparison.n:,} more, as a fresh set"
    return f"{size} (80 % power), which this set has: {enough}"


def _compare_corpus(
    evidence: Evidence, corpus: Corpus, baseline: str, examples: Sequence[Example], statistics: Statistics
) -> PairedResult:
    ours, theirs = evidence.answers[evidence.candidate, "test"], evidence.answers[baseline, "test"]
    wanted = [example.target or "" for example in examples]
    # A missing answer of the candidate is empty, one of the baseline is the reference itself.
    mine = ["" if (answer := ours[example.id]).error is not None else answer.text for example in examples]
    other = [
        target if (answer := theirs[example.id]).error is not None else answer.text
        for example, target in zip(examples, wanted, strict=True)
    ]
    candidate, compute = corpus(mine, wanted)
    reference, _ = corpus(other, wanted)
    return compare_corpus(
        candidate,
        reference,
        lambda totals: compute(totals.astype(np.int64)),
        alpha=statistics.alpha,
        seed=evidence.seed,
        clusters=[example.cluster for example in examples],
        resamples=statistics.resamples,
    )
