"""How often the tests ship a candidate that does not deserve it: A/A simulations, fast and thorough."""

from bisect import bisect_left
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom

from harness.scoring.classes import macro_f1_statistics
from harness.scoring.overlap import corpus_statistics
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
        lambda totals: 2 * totals[..., 0] / (2 * totals[..., 0] + totals[..., 1] + totals[..., 2]),
        alpha=ALPHA,
        seed=7,
        resamples=399,
    )
    return result.p_value <= ALPHA


WORDS = np.array(["the", "a", "cat", "dog", "sat", "ran", "on", "in", "mat", "house", "red", "green", "small", "old"])


@cache
def two_answers(metric, sentences=400):
    """Statistics (2, sentences, k) of two answers to each reference, made alike, and the metric they add up to."""
    rng = np.random.default_rng(19)
    references = rng.choice(WORDS, (sentences, 8))
    answers = np.where(rng.random((2, sentences, 8)) < 0.3, rng.choice(WORDS, (2, sentences, 8)), references)
    targets = [" ".join(words) for words in references]
    parts = [corpus_statistics(metric, [" ".join(words) for words in arm], targets) for arm in answers]
    return np.stack([statistics for statistics, _ in parts]), parts[0][1]


def sentences(rng, metric):
    """A coin says of each sentence which of its two answers is the candidate's."""
    statistics, compute = two_answers(metric)
    drawn, first = rng.integers(statistics.shape[1], size=40), rng.integers(2, size=40)
    result = compare_corpus(
        statistics[first, drawn],
        statistics[1 - first, drawn],
        lambda totals: compute(totals.astype(np.int64)),
        alpha=ALPHA,
        seed=7,
        resamples=199,
    )
    return result.p_value <= ALPHA


def bleu(rng):
    return sentences(rng, "bleu")


def chrf(rng):
    return sentences(rng, "chrf")


def classified(rng, examples, shares, right, clusters=None):
    """Two systems that name the right class where `right` (2, examples) says so, else any class or none."""
    targets = rng.choice(len(shares), examples, p=shares)
    answers = np.where(right(rng, targets), targets, rng.integers(-1, len(shares), (2, examples)))
    parts = [macro_f1_statistics([str(a) for a in arm], [str(t) for t in targets]) for arm in answers]
    result = compare_corpus(
        parts[0][0],
        parts[1][0],
        lambda totals: parts[0][1](totals.astype(np.int64)),
        alpha=ALPHA,
        seed=7,
        clusters=clusters,
        resamples=399,
    )
    return result.p_value <= ALPHA


def macro_f1(rng):
    """20 classes, the rarest expected less than once; the same examples are hard for both."""
    shares = 1 / np.arange(1, 21) / np.sum(1 / np.arange(1, 21))
    return classified(rng, 60, shares, lambda rng, targets: rng.random((2, 60)) < rng.beta(2, 1, 60))


def macro_f1_of_unlike_systems(rng):
    """Equal on average over four equal classes, but each system is good at two of them."""
    chances = np.array([[0.9, 0.8, 0.5, 0.4], [0.5, 0.4, 0.9, 0.8]])
    return classified(rng, 100, [0.25] * 4, lambda rng, targets: rng.random((2, 100)) < chances[:, targets])


def macro_f1_in_clusters(rng):
    """20 documents of 15 examples; a document is good or bad for a system as a whole."""
    shares = rng.beta(1, 1, (2, 20)).repeat(15, axis=1)
    labels = [str(item // 15) for item in range(300)]
    return classified(rng, 300, [0.5, 0.3, 0.2], lambda rng, targets: rng.random((2, 300)) < shares, labels)


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


SIMULATIONS = [
    binary,
    bounded,
    clustered,
    corpus,
    bleu,
    chrf,
    macro_f1,
    macro_f1_of_unlike_systems,
    macro_f1_in_clusters,
    exactly_at_the_margin,
]


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


def exact_ship_rate(n, min_gain, changing):
    """The chance to ship a candidate that gains exactly `min_gain`, summed over every number of wins and losses."""
    win, loss, rate = (changing + min_gain) / 2, (changing - min_gain) / 2, 0.0

    def ships(wins, losses):
        candidate, baseline = (np.repeat(row, [wins, losses, n - wins - losses]) for row in ([1, 0, 1], [0, 1, 1]))
        return compare_binary(candidate, baseline, alpha=ALPHA, min_gain=min_gain).p_value <= ALPHA

    for losses in range(n + 1):
        chance, others = binom.pmf(losses, n, loss), n - losses
        if chance > 1e-5:
            fewest = bisect_left(range(others + 1), True, key=lambda wins, losses=losses: ships(wins, losses))
            rate += chance * binom.sf(fewest - 1, others, win / (1 - loss))
    return rate


@pytest.mark.parametrize(
    ("n", "min_gain", "times"),
    [(50, 0.1, 1), (50, 0.1, 1.5), (100, 0.02, 1), (100, 0.02, 2), (100, 0.1, 1), (200, 0.01, 2)],
)
def test_at_most_5_percent_ship_when_the_gain_is_exactly_the_minimum_and_few_examples_change(n, min_gain, times):
    """The normal approximation ships up to 7 % of them: where nearly every change is a win, and those are few."""
    assert 0.001 < exact_ship_rate(n, min_gain, times * min_gain) <= 0.0505
