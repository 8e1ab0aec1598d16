"""Batches cost least: found against a search over every way to cut."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engine.batching import BATCH_TOKENS, PASS_TOKENS, cut_batches


def cost(sizes: list[int], cuts: list[tuple[int, int]]) -> int:
    return sum((last - first) * max(1, sizes[last - 1]) + PASS_TOKENS for first, last in cuts)


@given(st.lists(st.integers(1, 900), min_size=1, max_size=8).map(sorted))
def test_no_other_cut_costs_less_when_every_one_is_tried(sizes: list[int]) -> None:
    found = cut_batches(sizes)
    assert [place for run in found for place in range(*run)] == list(range(len(sizes)))
    best = float("inf")
    for count in range(len(sizes)):
        for inner in combinations(range(1, len(sizes)), count):
            edges = [0, *inner, len(sizes)]
            cuts = list(pairwise(edges))
            fits = all((b - a) * sizes[b - 1] <= BATCH_TOKENS or b - a == 1 for a, b in cuts)
            best = min(best, cost(sizes, cuts)) if fits else best
    assert cost(sizes, found) == best


def test_a_row_wider_than_a_batch_goes_alone() -> None:
    assert cut_batches([10, BATCH_TOKENS + 1]) == [(0, 1), (1, 2)]


def test_rows_of_one_size_share_a_batch_until_it_is_full() -> None:
    runs = cut_batches([128] * 40)
    assert len(runs) == 3 and max(last - first for first, last in runs) <= BATCH_TOKENS // 128


@pytest.mark.parametrize("sizes", [[], [5]])
def test_few_rows_need_few_batches(sizes: list[int]) -> None:
    assert len(cut_batches(sizes)) == len(sizes)
