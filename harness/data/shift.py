"""Whether the test rows are drawn from what the training rows are drawn from: their lengths and their words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from harness.data.rules import Finding, finding
from harness.data.splits import prompt_key
from harness.records import Example

FEWEST_ROWS = 30  # of each set; fewer show nothing
# Kolmogorov-Smirnov at 0.1 % (Smirnov 1948: 1.95 times the root of (n + m) / nm), and a difference worth telling.
KS_FACTOR, LEAST_DISTANCE = 1.95, 0.2
# Words that are in no training row: twice the share expected, and five points more.
UNSEEN_FACTOR, UNSEEN_POINTS = 2.0, 0.05


def shifted(train: Sequence[Example], test: Sequence[Example], place: str) -> Iterator[Finding]:
    """Whether the lengths or the words of the test prompts differ from those trained on by more than chance.

    The share of words that a training set leaves unseen is expected to be that of the words it has once (Good 1953).
    """
    if min(len(train), len(test)) < FEWEST_ROWS:
        return
    trained, tested = ([prompt_key(row).split() for row in rows] for rows in (train, test))
    lengths = [np.sort([len(words) for words in rows]) for rows in (trained, tested)]
    distance = _distance(lengths[0], lengths[1])
    chance = KS_FACTOR * math.sqrt((len(train) + len(test)) / (len(train) * len(test)))
    if distance > max(chance, LEAST_DISTANCE):
        medians = [int(np.median(values)) for values in lengths]
        what = f"test prompts have {medians[1]} words in the median, training prompts {medians[0]}"
        yield finding("shift", place, f"{what} (Kolmogorov-Smirnov distance {distance:.2f})")
    known = Counter(word for words in trained for word in words)
    said = [word for words in tested for word in words]
    expected = sum(count == 1 for count in known.values()) / max(1, sum(known.values()))
    unseen = sum(word not in known for word in said) / max(1, len(said))
    if unseen > max(UNSEEN_FACTOR * expected, expected + UNSEEN_POINTS):
        what = f"{unseen:.0%} of the words of the test prompts are in no training prompt"
        yield finding("shift", place, f"{what}; {expected:.0%} are expected of rows like those trained on")


def _distance(left: np.ndarray, right: np.ndarray) -> float:
    """The largest difference of two sorted samples' cumulative shares, 0 to 1."""
    values = np.concatenate([left, right])
    shares = [np.searchsorted(sample, values, side="right") / len(sample) for sample in (left, right)]
    return float(np.max(np.abs(shares[0] - shares[1])))
