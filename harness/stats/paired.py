"""Compare a candidate with a baseline on the same examples; the test follows from the data.

`p_value` decides and `p_reverse` is the same test in the other direction; the interval shows the size. Each
of its ends is a one-sided bound at alpha, and none excludes a min_gain that its p-value does not reject. No
result depends on the order of the examples, except through the resamples that a seed draws from a corpus.

A min_gain above 0 asks for more than any gain. Below 0 it is a margin: rejecting "delta <= -0.05" shows that
the candidate is less than 5 points worse (non-inferiority). Where systems may be exchanged the mean is 0, so
what is exact by exchanging them holds at 0 only; at any other bar the tests take more with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.findings import Estimate
from harness.stats.mean_tests import (
    ROUNDING,
    Floats,
    MeanTest,
    chunk_sizes,
    cluster_bootstrap,
    cluster_t,
    constant_difference,
    more_conservative,
    paired_t,
    sign_flip,
    sign_patterns,
    studentised_bootstrap,
    tail_count,
    with_p_at_least,
)
from harness.stats.paired_proportions import (
    mcnemar_exact,
    mcnemar_midp,
    tango_exact_p_value,
    tango_interval,
    tango_p_value,
)

DEFAULT_RESAMPLES = 9999
UNIT_RANGE = 1.0  # scores lie in [0, 1] unless they are seen to range wider


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedResult:
    """How much better the candidate is, and how sure that is. Positive `delta` is candidate better."""

    n: int
    delta: Estimate
    wins: int  # candidate better on this many examples
    losses: int
    p_value: float  # one-sided, H0: delta <= min_gain
    p_reverse: float  # one-sided, H0: delta >= min_gain
    method: str


def compare_paired(  # noqa: PLR0913  two arms and one keyword per choice, each handed on to the test it belongs to
    candidate: ArrayLike,
    baseline: ArrayLike,
    *,
    alpha: float,
    min_gain: float = 0.0,
    seed: int,
    clusters: Sequence[str | None] | None = None,
    resamples: int = DEFAULT_RESAMPLES,
    mid_p: bool = False,
) -> PairedResult:
    """Compare two equally long arrays (n,) of scores, higher better, by the test their values call for.

    Clustered when some cluster holds more than one example (None: the example stands alone); else binary when
    every score is 0 or 1; else bounded. `mid_p` concerns the binary test only.

    Raises:
        ValueError: no pairs, unequal lengths, a score that is not finite, or alpha or min_gain out of range.
    """
    first, second = paired_scores(candidate, baseline)
    if clusters is not None and np.max(_cluster_index(clusters, len(first))) + 1 < len(first):
        return compare_clustered(
            first, second, clusters, alpha=alpha, min_gain=min_gain, seed=seed, resamples=resamples
        )
    if _is_binary(first) and _is_binary(second):
        return compare_binary(first, second, alpha=alpha, min_gain=min_gain, mid_p=mid_p)
    return compare_bounded(first, second, alpha=alpha, min_gain=min_gain, seed=seed, resamples=resamples)


def compare_binary(
    candidate: ArrayLike, baseline: ArrayLike, *, alpha: float, min_gain: float, mid_p: bool = False
) -> PairedResult:
    """Compare 0/1 scores: exact McNemar; with a min_gain, above or below 0, Tango's score test.

    The score test's p-value is the larger of the normal and the exact one, so that it errs at most as often as
    alpha says, by enumeration; what McNemar's test says of 0 is kept at the bars beyond it. `mid_p` takes
    McNemar's mid-p-value instead of the exact one: more power, at most slightly above alpha.

    Raises:
        ValueError: as `compare_paired`, or a score other than 0 and 1, or a min_gain outside [-1, 1].

    Source: McNemar 1947; Tango 1998; Hsueh, Liu & Chen 2001 (exact); Fagerland et al. 2013 (mid-p).
    """
    first, second = paired_scores(candidate, baseline)
    _require_rates(alpha, min_gain)
    if not (_is_binary(first) and _is_binary(second)):
        raise ValueError("a binary comparison needs scores of 0 and 1")
    n, both = len(first), int(first @ second)
    wins, losses = int(first.sum()) - both, int(second.sum()) - both
    neither = n - both - wins - losses
    low, high = tango_interval(both, wins, losses, neither, 1 - 2 * alpha)
    mcnemar, kind = (mcnemar_midp, "mid-p") if mid_p else (mcnemar_exact, "exact")
    test = MeanTest(low=low, high=high, p_value=mcnemar(wins, losses), p_reverse=mcnemar(losses, wins))
    method = f"{kind} one-sided McNemar; Tango score interval"
    if min_gain != 0:
        here, mirrored = (both, wins, losses, neither, min_gain), (both, losses, wins, neither, -min_gain)
        p_value, p_reverse = (max(tango_p_value(*table), tango_exact_p_value(*table)) for table in (here, mirrored))
        test = _beside_zero(replace(test, p_value=p_value, p_reverse=p_reverse), test, bar=min_gain)
        method = f"Tango score test of a difference above {min_gain:g}, exact, and {kind} McNemar; Tango score interval"
    return _result(first - second, (wins - losses) / n, test, alpha=alpha, bar=min_gain, method=method)


def compare_bounded(
    candidate: ArrayLike,
    baseline: ArrayLike,
    *,
    alpha: float,
    min_gain: float,
    seed: int,
    resamples: int = DEFAULT_RESAMPLES,
) -> PairedResult:
    """Compare real-valued scores: the most conservative of paired t, studentised bootstrap and sign-flip.

    The sign-flip gives no interval but guards a sample in which few examples changed: the other two would
    ship 3 gains in 200 ties. When all differences are equal there is no variance to go by: the exact sign
    test gives the p-values (1 both ways at min_gain itself), with a min_gain raised to what n equal pairs
    leave possible, which also widens the interval. What a sample with spread does not show at all, such as a
    total loss on 1 example in 200, none of these tests can see.

    Raises:
        ValueError: as `compare_paired`, or too few resamples to reach alpha.

    Source: Miller 2024 (paired standard errors); Efron & Tibshirani 1993 (bootstrap-t); Fisher 1935.
    """
    first, second = paired_scores(candidate, baseline)
    _require_rates(alpha, min_gain)
    # Sorted, so that the resamples do not depend on the order of the examples.
    differences, reach = np.sort(first - second), _reach(first, second)
    mean = float(np.mean(differences))
    if np.ptp(differences) <= ROUNDING * reach:
        test, at_zero = (
            constant_difference(mean, len(differences), bar=bar, alpha=alpha, reach=reach) for bar in (min_gain, 0.0)
        )
        test = _beside_zero(test, at_zero, bar=min_gain)
        method = "exact sign test (all differences are equal); interval widened"
        return _result(differences, mean, test, alpha=alpha, bar=min_gain, method=method)
    test = more_conservative(
        paired_t(differences, bar=min_gain, alpha=alpha),
        studentised_bootstrap(differences, bar=min_gain, alpha=alpha, reach=reach, seed=seed, resamples=resamples),
    )
    test = with_p_at_least(test, *sign_flip(differences - min_gain, seed=seed, resamples=resamples))
    method = f"paired t, studentised bootstrap and sign-flip ({resamples} resamples, seed {seed}), the largest p"
    return _result(differences, mean, test, alpha=alpha, bar=min_gain, method=method)


def compare_clustered(
    candidate: ArrayLike,
    baseline: ArrayLike,
    clusters: Sequence[str | None],
    *,
    alpha: float,
    min_gain: float,
    seed: int,
    resamples: int = DEFAULT_RESAMPLES,
) -> PairedResult:
    """Compare scores whose examples come in clusters: the larger p of cluster sign-flip and cluster-t.

    `clusters` names the cluster of each example (None: it stands alone). The mean is over examples, the
    variance over clusters. Up to 15 clusters every sign pattern is enumerated, beyond `resamples` are drawn.
    With a min_gain the studentised bootstrap over clusters is a third test: a few clusters that are lost as a
    whole are skew, which the other two take for chance (19 % errors at 5 % of 60 clusters; with it 4 %).

    Raises:
        ValueError: as `compare_paired`, or not one cluster name per pair.

    Source: Cameron & Miller 2015; Cameron, Gelbach & Miller 2008 (bootstrap).
    """
    first, second = paired_scores(candidate, baseline)
    _require_rates(alpha, min_gain)
    differences, index = first - second, _cluster_index(clusters, len(first))
    sums = np.bincount(index, weights=differences).astype(np.float64)
    sizes = np.bincount(index).astype(np.float64)
    order = np.lexsort((sizes, sums))  # so that the drawn signs do not depend on the order of the examples
    sums, sizes = sums[order], sizes[order]
    reach = _reach(first, second)

    def against(bar: float) -> MeanTest:
        test = cluster_t(sums, sizes, bar=bar, alpha=alpha, reach=reach)
        return with_p_at_least(test, *sign_flip(sums - bar * sizes, seed=seed, resamples=resamples))

    test, tests = against(min_gain), "cluster sign-flip and cluster-t"
    if min_gain != 0:
        p_values = cluster_bootstrap(sums, sizes, bar=min_gain, reach=reach, seed=seed, resamples=resamples)
        test = _beside_zero(with_p_at_least(test, *p_values), against(0.0), bar=min_gain)
        tests = "cluster sign-flip, cluster bootstrap and cluster-t"
    method = f"{tests} over {len(sums)} clusters, the larger p; cluster-t interval"
    mean = float(np.mean(differences))
    return _result(differences, mean, test, alpha=alpha, bar=min_gain, method=method)


def compare_corpus(
    candidate_stats: ArrayLike,
    baseline_stats: ArrayLike,
    compute: Callable[[Floats], Floats],
    *,
    alpha: float,
    seed: int,
    clusters: Sequence[str | None] | None = None,
    resamples: int = DEFAULT_RESAMPLES,
) -> PairedResult:
    """Compare a corpus metric by a paired bootstrap over examples; higher metrics are better.

    The statistics are two arrays (n, k), one row of sufficient statistics per example; `compute` turns sums of
    rows (..., k) into metrics (...). Each p-value is the largest of the shifted-null bootstrap, the percentile
    bootstrap and the exchange of the systems' rows, which guards a sample in which few rows differ: identical
    systems give 1. Rows of one cluster are drawn and exchanged together (None: the row stands alone). `wins` and
    `losses` are counted by the metric of single examples.

    Raises:
        ValueError: no rows, unequal shapes, values or metrics that are not finite, not one cluster name per row,
            or too few resamples.

    Source: Koehn 2004; Noreen 1989 (shift, approximate randomisation), as in sacrebleu.
    """
    first, second = np.asarray(candidate_stats, dtype=float), np.asarray(baseline_stats, dtype=float)
    _require_pairs(first, second, dimensions=2)
    _require_rates(alpha, 0.0)
    tail = tail_count(alpha, resamples)

    def deltas(candidates: Floats, baselines: Floats) -> Floats:
        found = compute(candidates) - compute(baselines)
        if not np.all(np.isfinite(found)):
            raise ValueError("the corpus metric must be finite")
        return found

    by_row, units = deltas(first, second), "rows"
    if clusters is not None and (index := _cluster_index(clusters, len(first))).max() + 1 < len(first):
        first, second = _summed(first, index), _summed(second, index)
        units = f"{len(first)} clusters"
    total = first.sum(axis=0), second.sum(axis=0)
    observed = float(deltas(total[0][None], total[1][None])[0])
    resampled = np.concatenate(
        [deltas(times @ first, times @ second) for times in _resample_counts(len(first), seed, resamples)]
    )
    changed = np.any(first != second, axis=1)
    # Half the sum of both systems, plus or minus half their difference: -1 exchanges the two rows.
    middle, half = (total[0] + total[1]) / 2, (first - second)[changed] / 2
    exchanged = np.concatenate(
        [
            deltas(middle + signs @ half, middle - signs @ half)
            for signs in sign_patterns(len(half), seed=seed, resamples=resamples)
        ]
    )
    test = with_p_at_least(
        _bootstrap_test(np.sort(resampled), observed, tail),
        float(np.mean(exchanged >= observed - ROUNDING)),
        float(np.mean(exchanged <= observed + ROUNDING)),
    )
    method = f"paired bootstrap and exchange of {units} ({resamples} resamples, seed {seed}), the largest p"
    return _result(by_row, observed, test, alpha=alpha, bar=0.0, method=method)


def paired_scores(candidate: ArrayLike, baseline: ArrayLike) -> tuple[Floats, Floats]:
    """Return both as float arrays (n,).

    Raises:
        ValueError: no pairs, unequal lengths, more than one dimension, or a score that is not finite.
    """
    first, second = np.asarray(candidate, dtype=float), np.asarray(baseline, dtype=float)
    _require_pairs(first, second, dimensions=1)
    return first, second


def _resample_counts(n: int, seed: int, resamples: int) -> Iterator[Floats]:
    """Chunks (rows, n) of how often each example is drawn into each resample."""
    rng = np.random.default_rng(seed)
    for rows in chunk_sizes(resamples, n):
        cells = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(cells.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _bootstrap_test(deltas: Floats, observed: float, tail: int) -> MeanTest:
    """The more conservative of the shifted-null and the percentile test over sorted resampled deltas."""
    shifted, patterns = deltas - float(np.mean(deltas)), len(deltas) + 1
    hits = max(np.count_nonzero(shifted >= observed), np.count_nonzero(deltas <= 0))
    reverse_hits = max(np.count_nonzero(shifted <= observed), np.count_nonzero(deltas >= 0))
    return MeanTest(
        low=min(float(deltas[tail - 1]), observed - float(shifted[-tail])),
        high=max(float(deltas[-tail]), observed - float(shifted[tail - 1])),
        p_value=(1 + hits) / patterns,
        p_reverse=(1 + reverse_hits) / patterns,
    )


def _beside_zero(test: MeanTest, at_zero: MeanTest, *, bar: float) -> MeanTest:
    """The test at the bar, in order with that at 0: what is better is also not worse, and nothing gains by asking more.

    At the bar alone another method may say otherwise: an exchange of systems is exact at 0 and says nothing beyond.
    """
    if bar > 0:
        p_value, p_reverse = max(test.p_value, at_zero.p_value), min(test.p_reverse, at_zero.p_reverse)
    else:
        p_value, p_reverse = min(test.p_value, at_zero.p_value), max(test.p_reverse, at_zero.p_reverse)
    return replace(test, p_value=p_value, p_reverse=p_reverse)


def _result(
    differences: Floats, value: float, test: MeanTest, *, alpha: float, bar: float, method: str
) -> PairedResult:
    n = len(differences)
    delta = Estimate(
        value=value,
        # The bar belongs to the interval when the test does not reject it, whatever made the interval.
        low=test.low if test.p_value <= alpha else min(test.low, bar),
        high=test.high if test.p_reverse <= alpha else max(test.high, bar),
        confidence=1 - 2 * alpha,
        n=n,
        method=method,
    )
    return PairedResult(
        n=n,
        delta=delta,
        wins=int(np.count_nonzero(differences > 0)),
        losses=int(np.count_nonzero(differences < 0)),
        p_value=test.p_value,
        p_reverse=test.p_reverse,
        method=method,
    )


def _summed(statistics: Floats, index: NDArray[np.int64]) -> Floats:
    """The rows (n, k) summed by the number of their cluster, (clusters, k)."""
    sums = np.zeros((int(index.max()) + 1, statistics.shape[1]))
    np.add.at(sums, index, statistics)
    return sums


def _is_binary(scores: Floats) -> bool:
    return bool(np.all((scores == 0) | (scores == 1)))


def _reach(first: Floats, second: Floats) -> float:
    """The largest difference one pair could show, judged by the range of all scores seen."""
    return max(UNIT_RANGE, float(np.ptp(np.concatenate((first, second)))))


def _cluster_index(clusters: Sequence[str | None], n: int) -> NDArray[np.int64]:
    """The number of each example's cluster, (n,)."""
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} cluster names for {n} pairs")
    keys = [number if name is None else name for number, name in enumerate(clusters)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.int64)


def _require_pairs(first: Floats, second: Floats, *, dimensions: int) -> None:
    if first.ndim != dimensions or first.shape != second.shape:
        raise ValueError(f"unequal or wrong shapes: candidate {first.shape}, baseline {second.shape}")
    if len(first) == 0:
        raise ValueError("a comparison needs at least one pair")
    if not (np.all(np.isfinite(first)) and np.all(np.isfinite(second))):
        raise ValueError("every score must be finite")


def _require_rates(alpha: float, min_gain: float) -> None:
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, not {alpha}")
    if not isfinite(min_gain):
        raise ValueError(f"min_gain must be finite, not {min_gain}")
