"""How often the tests ship a candidate that does not deserve it: A/A simulations, fast and thorough."""

import numpy as np
import pytest

from harness.stats.noninferiority import relative_noninferiority
from harness.stats.paired import compare_binary, compare_bounded, compare_clustered, compare_corpus
from harness.stats.proportion import upper_bound

ALPHA = 0.05


def binary(rng):
    right = rng.random((2, 150)) < rng.beta(2, 1, 150)  # the same questions are hard for both
    return compare_binary(right[0], right[1], alpha=ALPHA, min_gain=0.0).p_value <= ALPHA


def bounded(rng):
    scores = np.clip(rng.normal(rng.beta(2, 1, 40), 0.3, (2, 40)), 0, 1)
    result = compare_bounded(scores[0], scores[1], alpha=ALPHA, min_gain=0.0, seed=7, resamples=399)
    return result.p_value <= ALPHA


def clustered(rng):
    labels = [str(item // 15) for item in range(20 * 15)]
    share = rng.beta(1, 1, (2, 20)).repeat(15, axis=1)  # a document is good or bad for a system as a whole
    right = rng.random((2, 300)) < share
    result = compare_clustered(right[0], right[1], labels, alpha=ALPHA, min_gain=0.0, seed=7, resamples=399)
    return result.p_value <= ALPHA


def corpus(rng):
    hits = rng.binomial(8, 0.6, (2, 60))
    stats = np.stack([hits, rng.binomial(4, 0.4, (2, 60)), 8 - hits], axis=-1)
    result = compare_corpus(
        stats[0],
        stats[1],
        lambda total: 2 * total[0] / (2 * total[0] + total[1] + total[2]),
        alpha=ALPHA,
        seed=7,
        resamples=399,
    )
    return result.p_value <= ALPHA


def exactly_at_the_margin(rng):
    strata = np.repeat(np.arange(20), 20)
    shares = np.arange(1, 21) / 210
    accuracy = np.linspace(0.5, 0.9, 20)[strata]
    baseline = rng.random(400) < accuracy
    kept = rng.random(400) < 0.93
    recovered = rng.random(400) < accuracy * 0.02 / (1 - accuracy)  # so that 95 % of the accuracy is kept
    candidate = np.where(baseline, kept, recovered)
    result = relative_noninferiority(
        candidate,
        baseline,
        [str(stratum) for stratum in strata],
        {str(stratum): float(share) for stratum, share in enumerate(shares)},
        margin=0.05,
        alpha=ALPHA,
    )
    return result.low > 0


SIMULATIONS = [binary, bounded, clustered, corpus, exactly_at_the_margin]


@pytest.mark.parametrize("ships", SIMULATIONS)
def test_few_undeserving_candidates_ship_when_simulated_500_times(ships):
    rng = np.random.default_rng(20)
    shipped = sum(ships(rng) for _ in range(500))
    assert 0 < shipped <= 42  # 25 expected at 5 %; more than 42 has a chance of 0.0006


@pytest.mark.slow
@pytest.mark.parametrize("ships", SIMULATIONS)
def test_upper_bound_of_the_ship_rate_is_6_percent_when_simulated_10_000_times(ships):
    rng = np.random.default_rng(21)
    shipped = sum(ships(rng) for _ in range(10_000))
    assert upper_bound(int(shipped), 10_000, 0.05) <= 0.06


def test_items_ship_too_often_when_their_clusters_are_ignored():
    rng, shipped = np.random.default_rng(20), 0
    for _ in range(300):
        share = rng.beta(1, 1, (2, 20)).repeat(15, axis=1)
        right = rng.random((2, 300)) < share
        shipped += compare_binary(right[0], right[1], alpha=ALPHA, min_gain=0.0).p_value <= ALPHA
    assert shipped > 45  # the reason `clustered` exists: more than 15 % instead of 5 %
