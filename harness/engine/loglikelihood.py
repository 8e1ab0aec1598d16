"""Log-probabilities of continuations, each shared prefix computed once.

Requests with a common beginning form a *group*: a few-shot block is run once and its keys and values serve every
question after it. Inside a group, the requests of one question (same context, other choices) form one *row*: the
context once, then each choice as a branch that sees the context and itself but not the other branches. Only the
positions that predict a scored token go through the output head. The sum of log-probabilities equals that of one
full forward pass per request up to the rounding of float32 sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import torch

from harness.engine.attention import Layers, shared_prefix_attention
from harness.engine.batching import PASS_TOKENS, cut_batches
from harness.engine.generate import compute_prefix, prefix_length
from harness.engine.meter import Meter

Tokens = tuple[int, ...]
T = TypeVar("T")
MOST_NESTED = 200  # prefixes within prefixes that are looked at
MIN_SHARED_TOKENS = 64  # a shorter prefix costs more as a pass of its own than it saves


@dataclass(frozen=True, slots=True)
class Scored:
    """Sum of log-probabilities of a continuation in nats, and whether greedy decoding would have written it."""

    logprob: float
    is_greedy: bool


@dataclass(slots=True)
class _Row:
    """One context with the branches that continue it."""

    context: Tokens
    branches: dict[Tokens, list[int]] = field(default_factory=dict)  # continuation -> indices of its requests

    def size(self, skip: int) -> int:
        return len(self.context) - skip + sum(len(branch) - 1 for branch in self.branches)


@dataclass(frozen=True, slots=True)
class ScoringUnit:
    """Rows that are computed together, whatever else is asked: one prefix and its rows, or one batch without."""

    prefix: Tokens
    rows: tuple[_Row, ...]

    @property
    def requests(self) -> tuple[tuple[int, ...], ...]:
        """For each of its scores the indices of the requests that it answers; equal requests share one."""
        return tuple(tuple(indices) for row in self.rows for indices in row.branches.values())

    @property
    def tokens(self) -> tuple[tuple[Tokens, tuple[Tokens, ...]], ...]:
        """All that its scores depend on beside the model: each row's context and branches."""
        return tuple((row.context, tuple(row.branches)) for row in self.rows)

    @property
    def forwarded_tokens(self) -> int:
        """How many tokens go through the model for it."""
        return len(self.prefix) + sum(row.size(len(self.prefix)) for row in self.rows)


def score_continuations(
    model: Any, requests: Sequence[tuple[Sequence[int], Sequence[int]]], *, meter: Meter, before: Layers | None = None
) -> list[Scored]:
    """Score (context ids, continuation ids) pairs; both non-empty. The result is in the order of the requests.

    `before` holds keys and values that stand before every context.

    Raises:
        ValueError: an empty context or continuation.
    """
    units = plan_units(requests)
    return in_order_of_requests(units, [score_unit(model, unit, meter=meter, before=before) for unit in units])


def in_order_of_requests(units: Sequence[ScoringUnit], scores: Sequence[Sequence[T]]) -> list[T]:
    """The scores of all units, one for each request."""
    results = {
        index: score
        for unit, found in zip(units, scores, strict=True)
        for indices, score in zip(unit.requests, found, strict=True)
        for index in indices
    }
    return [results[index] for index in range(len(results))]


def plan_units(requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[ScoringUnit]:
    """Which requests are computed together; depends on the requests only.

    Raises:
        ValueError: an empty context or continuation.
    """
    units: list[ScoringUnit] = []
    loose: list[_Row] = []
    for prefix, members in _groups(_rows(requests)):
        if prefix:
            units.append(ScoringUnit(prefix, tuple(members)))
        else:
            loose += members
    return units + [ScoringUnit((), tuple(batch)) for batch in _batches(loose, 0)]


@torch.inference_mode()
def score_unit(model: Any, unit: ScoringUnit, *, meter: Meter, before: Layers | None = None) -> list[Scored]:
    """The scores of a unit, in the order of `unit.requests`."""
    results: dict[int, Scored] = {}  # by the first of the requests that share a score
    skip = len(unit.prefix)
    with shared_prefix_attention(model):
        layers = compute_prefix(model, unit.prefix, meter, before) if unit.prefix else before
        for batch in _batches(unit.rows, skip):
            results.update(_score_batch(model, batch, skip, layers, meter))
            meter.forwarded_tokens += sum(row.size(skip) for row in batch)
    return [results[indices[0]] for indices in unit.requests]


def _rows(requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[_Row]:
    rows: dict[Tokens, _Row] = {}
    for index, (context, continuation) in enumerate(requests):
        if not context or not continuation:
            raise ValueError("a context and its continuation must each have at least one token")
        row = rows.setdefault(tuple(context), _Row(tuple(context)))
        row.branches.setdefault(tuple(continuation), []).append(index)
    return [rows[context] for context in sorted(rows)]


def _groups(rows: list[_Row]) -> list[tuple[Tokens, list[_Row]]]:
    """The sorted rows in runs with the prefix that each run computes once, so that most tokens are saved."""
    # At least one token stays with each row, since a row must read its own last position.
    shared = [
        min(_common(one.context, other.context), len(one.context) - 1, len(other.context) - 1)
        for one, other in pairwise(rows)
    ]
    _, runs = _best_runs(shared, 0, len(rows), depth=0)
    return [(rows[first].context[:length], rows[first:last]) for first, last, length in runs]


def _best_runs(shared: list[int], first: int, last: int, *, depth: int) -> tuple[int, list[tuple[int, int, int]]]:
    """Tokens saved by the best cut of rows first to last, and its runs (first, last, prefix length).

    A run shares what its least similar neighbours share; it is either kept whole or cut at all of those places.
    """
    if last - first <= 1:
        return 0, [(first, last, 0)] if last > first else []
    least = min(shared[first : last - 1])
    worth = least >= MIN_SHARED_TOKENS
    whole = ((last - first - 1) * least - PASS_TOKENS, [(first, last, least)]) if worth else (0, None)
    if worth and depth == MOST_NESTED:
        return whole[0], [(first, last, least)]
    saved, runs, start = 0, list[tuple[int, int, int]](), first
    for end in [place + 1 for place in range(first, last - 1) if shared[place] == least] + [last]:
        more, found = _best_runs(shared, start, end, depth=depth + 1)
        saved, runs, start = saved + more, runs + found, end
    if whole[1] is not None and whole[0] >= saved:
        return whole[0], whole[1]
    return saved, runs


def _common(left: Tokens, right: Tokens) -> int:
    length = min(len(left), len(right))
    return next((index for index in range(length) if left[index] != right[index]), length)


def _batches(rows: Sequence[_Row], skip: int) -> list[list[_Row]]:
    ordered = sorted(rows, key=lambda row: row.size(skip))
    return [ordered[first:last] for first, last in cut_batches([row.size(skip) for row in ordered])]


def _score_batch(model: Any, rows: list[_Row], skip: int, prefix: Layers | None, meter: Meter) -> dict[int, Scored]:
    width = max(row.size(skip) for row in rows)
    device = model.device
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    positions = torch.zeros(len(rows), width, dtype=torch.long)
    seen = torch.zeros(len(rows), 1, width, width, dtype=torch.bool)
    reads: list[tuple[int, list[int], Tokens, list[int]]] = []
    for index, row in enumerate(rows):
        _lay_out(row, skip, index, ids, positions, seen[index, 0], reads)
    # Padding sees itself, since a position that sees nothing turns into NaN.
    seen |= torch.eye(width, dtype=torch.bool)
    wanted = torch.zeros(len(rows), width, dtype=torch.bool)
    for index, places, _, _ in reads:
        wanted[index, places] = True
    slot = torch.full((len(rows), width), -1, dtype=torch.long)
    slot[wanted] = torch.arange(int(wanted.sum()))
    # Rows whose branches are single tokens are plain text with padding behind it, which the causal order hides.
    branching = any(len(branch) > 1 for row in rows for branch in row.branches)
    mask = torch.zeros(seen.shape).masked_fill_(~seen, -torch.inf).to(device) if branching else None
    first = prefix_length(prefix) - skip  # tokens that stand before every context
    logits = model(
        input_ids=ids.to(device),
        attention_mask=mask,
        position_ids=positions.to(device) + first,
        use_cache=False,
        logits_to_keep=wanted.to(device),
        prefix=prefix,
    ).logits
    meter.head_rows += int(wanted.sum())
    logprobs = torch.log_softmax(logits.float().reshape(-1, logits.shape[-1]), dim=-1)
    best = logprobs.argmax(dim=-1)
    results: dict[int, Scored] = {}
    for index, places, targets, requests in reads:
        at = slot[index, places].to(device)
        chosen = torch.tensor(targets, device=device)
        total = float(logprobs[at, chosen].sum())
        greedy = bool((best[at] == chosen).all())
        results[requests[0]] = Scored(total, greedy)
    return results


def _lay_out(
    row: _Row,
    skip: int,
    index: int,
    ids: torch.Tensor,
    positions: torch.Tensor,
    seen: torch.Tensor,
    reads: list[tuple[int, list[int], Tokens, list[int]]],
) -> None:
    """Write one row: the rest of the context, then each branch without its last token, which predicts nothing."""
    context = row.context[skip:]
    end = len(context)
    ids[index, :end] = torch.tensor(context)
    positions[index, :end] = torch.arange(skip, skip + end)
    seen[:end, :end] = torch.ones(end, end, dtype=torch.bool).tril()
    for continuation, requests in row.branches.items():
        length = len(continuation) - 1
        stop = end + length
        ids[index, end:stop] = torch.tensor(continuation[:-1], dtype=torch.long)
        positions[index, end:stop] = torch.arange(length) + skip + len(context)
        seen[end:stop, : len(context)] = True
        seen[end:stop, end:stop] = torch.ones(length, length, dtype=torch.bool).tril()
        reads.append((index, [len(context) - 1, *range(end, stop)], continuation, requests))
        end = stop
