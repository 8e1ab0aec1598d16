"""Krippendorff's alpha against its published example, another library's code and its definition over pairs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, permutations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nltk.metrics.agreement import AnnotationTask

from harness.stats.agreement import ordinal_agreement

# Krippendorff 2011: four observers, twelve units, None where an observer gave no value.
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)
PUBLISHED = [[value for value in unit if value is not None] for unit in zip(*OBSERVERS, strict=True)]
UNITS = st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=0, max_size=5), min_size=1, max_size=12)


def ordinal(values: Sequence[int], one: int, other: int) -> float:
    """The squared ordinal distance, from the values that were given."""
    low, high = min(one, other), max(one, other)
    counts = Counter(values)
    between = sum(counts[value] for value in counts if low <= value <= high)
    return (between - (counts[low] + counts[high]) / 2) ** 2


def by_definition(units: Sequence[Sequence[int]]) -> float:
    """Observed over expected disagreement, each an average over ordered pairs of single values."""
    shared = [unit for unit in units if len(unit) > 1]
    values = [value for unit in shared for value in unit]
    within = sum(ordinal(values, *pair) / (len(unit) - 1) for unit in shared for pair in permutations(unit, 2))
    among = sum(ordinal(values, *pair) for pair in permutations(values, 2))
    return 1 - (within / len(values)) / (among / (len(values) * (len(values) - 1)))


def test_the_published_example_is_reproduced() -> None:
    found = ordinal_agreement(PUBLISHED)
    assert found.alpha is not None
    assert round(found.alpha, 3) == 0.815
    assert found.units == 11, "the unit that one observer judged is passed over"


@given(UNITS)
def test_alpha_is_its_definition_over_pairs(units: list[list[int]]) -> None:
    assume(len({value for unit in units if len(unit) > 1 for value in unit}) > 1)
    found = ordinal_agreement(units)
    assert found.alpha == pytest.approx(by_definition(units), abs=1e-12)
    pairs = [pair for unit in units for pair in combinations(unit, 2)]
    assert (found.agreeing, found.pairs) == (sum(one == other for one, other in pairs), len(pairs))
    assert found.share == pytest.approx(found.agreeing / found.pairs)
    assert type(found.agreeing) is int and type(found.pairs) is int


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=3, max_size=3), min_size=2, max_size=10))
def test_alpha_is_that_of_nltk(units: list[list[int]]) -> None:
    values = [value for unit in units for value in unit]
    assume(len(set(values)) > 1)
    rows = [(f"r{rater}", f"u{number}", value) for number, unit in enumerate(units) for rater, value in enumerate(unit)]
    task = AnnotationTask(data=rows, distance=lambda one, other: ordinal(values, one, other))
    assert ordinal_agreement(units).alpha == pytest.approx(task.alpha(), abs=1e-12)


def test_a_tie_against_a_win_disagrees_less_than_a_loss_against_a_win() -> None:
    agreed = [[-1, -1], [0, 0], [1, 1], [1, 1], [-1, -1]]
    near, far = ordinal_agreement([*agreed, [0, 1]]), ordinal_agreement([*agreed, [-1, 1]])
    assert near.alpha is not None and far.alpha is not None
    assert far.alpha < near.alpha < 1
    assert near.share == far.share == 5 / 6


def test_equal_ratings_are_perfect_agreement_unless_nothing_varies() -> None:
    assert ordinal_agreement([[1, 1], [-1, -1, -1]]).alpha == 1.0
    constant = ordinal_agreement([[1, 1], [1, 1]])
    assert (constant.alpha, constant.share) == (None, 1.0)


def test_opposite_ratings_are_worse_than_chance() -> None:
    found = ordinal_agreement([[1, -1], [-1, 1]])
    assert found.alpha == pytest.approx(-0.5)
    assert found.share == 0.0


@pytest.mark.parametrize("units", [[], [[]], [[1], [0]]])
def test_agreement_is_refused_when_nothing_was_judged_twice(units: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="two values"):
        ordinal_agreement(units)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        ordinal_agreement([[1.0, value], [0.0, 1.0]])
