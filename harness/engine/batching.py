"""Which rows go through the model together, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence

BATCH_TOKENS = 2048  # padded tokens of one pass; more would only take more memory
PASS_TOKENS = 64  # what one more pass costs beside its tokens, in tokens: the weights are read once more


def cut_batches(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Cut rows, sorted by size in tokens, into runs (first, last) that cost least.

    A run costs its number of rows times its widest row, and one pass; a single row may be wider than a batch. Found
    exactly, by dynamic programming over the place of the last cut.
    """
    cost = [0.0] + [float("inf")] * len(sizes)
    cut = [0] * (len(sizes) + 1)
    for last in range(1, len(sizes) + 1):
        width = max(1, sizes[last - 1])
        for first in range(last - 1, -1, -1):
            padded = (last - first) * width
            if padded > BATCH_TOKENS and last - first > 1:
                break
            if cost[first] + padded + PASS_TOKENS < cost[last]:
                cost[last], cut[last] = cost[first] + padded + PASS_TOKENS, first
    runs = []
    last = len(sizes)
    while last:
        runs.append((cut[last], last))
        last = cut[last]
    return runs[::-1]
