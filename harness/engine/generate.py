"""Answers token by token: finished rows make room for waiting ones, and what all prompts share is computed once.

The prompts are cut into *waves* by length; a wave is decoded as a whole and its shapes depend on its prompts and the
settings only. Inside a wave, keys and values live in preallocated slots: a row that ends is replaced by the last one,
and waiting rows are taken in as soon as a quarter of the slots is free.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from harness.clock import monotonic_seconds
from harness.engine.attention import Layers, shared_prefix_attention
from harness.engine.batching import cut_batches
from harness.engine.chat import stop_ids
from harness.engine.grammar import GrammarState, compile_grammar, forbidden
from harness.engine.meter import Meter
from harness.engine.slots import Slots

WAVE_BATCHES = 4  # batches whose rows may wait for each other's slots
SLOT_TOKENS = 32_768  # keys and values that a wave may hold; long prompts get fewer slots
MIN_SHARED_TOKENS = 16  # a shorter common beginning costs more as a pass of its own than it saves
NEAR_TIE = 1e-3  # a gap of two logits below which float32 rounding may pick the other token
STOP_WINDOW = 16  # tokens beyond the stop string's characters that are looked at for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a token is chosen: greedily at temperature 0; `seed` draws the rest."""

    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettings:
    """What shapes answers; all but the grammar of a constrained arm is the same for every system."""

    max_new_tokens: int
    batch_size: int
    stop: tuple[str, ...] = ()  # an answer ends before the first of these texts
    sampling: Sampling = Sampling()
    grammar: str | None = None  # llguidance's form of what an answer may be


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer: token ids without the end token, whether it ended by itself, and by which end token.

    `logprob` is that of the whole answer with its end, in nats, under the model's own distribution at temperature 1
    (within the grammar, where there is one). Where it is not finite the model computed numbers that are none, and what
    it wrote is no answer.

    `near_tie` says that at some token the two best logits were nearer to each other than float32 can tell apart
    reliably; another batch shape may then give another answer.
    """

    index: int  # which prompt it answers
    tokens: tuple[int, ...]
    text: str
    ended: bool
    end: int | None  # None where no end token was written: a stop text ended it, or the limit
    near_tie: bool
    logprob: float
    seconds: float

    @property
    def written(self) -> tuple[int, ...]:
        """The tokens with the end token, where it ended by one."""
        return self.tokens if self.end is None else (*self.tokens, self.end)


@dataclass(slots=True)
class _Row:
    """One prompt on its way to an answer."""

    index: int
    prompt: Sequence[int]
    draws: np.random.Generator | None
    grammar: GrammarState | None
    logprob: float = 0.0
    tokens: list[int] = field(default_factory=list)
    near_tie: bool = False
    ended: bool = False
    end: int | None = None


def plan_waves(prompts: Sequence[Sequence[int]], batch_size: int) -> list[list[int]]:
    """Indices of the prompts in waves of nearly equal size, shortest prompts first."""
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
    count = -(-len(order) // (batch_size * WAVE_BATCHES))
    cuts = [round(len(order) * step / count) for step in range(count + 1)] if count else []
    return [order[first:last] for first, last in pairwise(cuts)]


def forwarded_tokens(prompts: Sequence[Sequence[int]]) -> int:
    """How many prompt tokens go through the model for one wave."""
    shared = _common_beginning(prompts)
    return shared + sum(len(prompt) - shared for prompt in prompts)


@torch.inference_mode()
def generate_wave(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    settings: GenerationSettings,
    *,
    draws: Sequence[int],
    meter: Meter,
    before: Layers | None = None,
) -> list[Generation]:
    """Answer every prompt (token ids) of one wave; the result is in their order.

    `draws` numbers the repetitions of a prompt: the same prompt with another number is sampled anew. `before` holds
    keys and values that stand before every prompt. `seconds` is an equal share of the wave's time.

    Raises:
        ValueError: an empty prompt.
    """
    if not all(prompts):
        raise ValueError("a prompt must have at least one token")
    started = monotonic_seconds()
    grammar = None if settings.grammar is None else compile_grammar(tokenizer, settings.grammar)
    rows = [
        _Row(index, prompt, _generator(prompt, settings.sampling, draw), grammar.begin() if grammar else None)
        for index, (prompt, draw) in enumerate(zip(prompts, draws, strict=True))
    ]
    with shared_prefix_attention(model):
        _Wave(model, tokenizer, rows, settings, meter, before).run()
    share = (monotonic_seconds() - started) / max(1, len(rows))
    return [
        Generation(
            index=row.index,
            tokens=tuple(row.tokens),
            text=answer_text(tokenizer, row.tokens, settings.stop),
            ended=row.ended,
            end=row.end,
            near_tie=row.near_tie,
            logprob=row.logprob,
            seconds=share,
        )
        for row in rows
    ]


class _Wave:
    """The decoding of one wave."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        rows: Sequence[_Row],
        settings: GenerationSettings,
        meter: Meter,
        before: Layers | None,
    ) -> None:
        self._model, self._tokenizer, self._settings, self._meter = model, tokenizer, settings, meter
        self._waiting = deque(rows)
        self._active: list[_Row] = []
        self._ends = stop_ids(tokenizer)
        self._shared = _common_beginning([row.prompt for row in rows])
        longest = max(len(row.prompt) for row in rows) - self._shared
        self._capacity = longest + settings.max_new_tokens
        self._room = min(settings.batch_size, len(rows), max(1, SLOT_TOKENS // self._capacity))
        self._prefix = before
        self._slots: Slots | None = None
        if self._shared:
            self._prefix = compute_prefix(model, rows[0].prompt[: self._shared], meter, before)
        self._offset = prefix_length(self._prefix)  # of the first own token of every row

    def run(self) -> None:
        """Decode until every row has its answer."""
        while self._waiting or self._active:
            free = self._room - len(self._active)
            if self._waiting and (not self._active or free >= max(1, self._room // 4)):
                self._take_in(free)
            if self._active:
                self._step()

    def _take_in(self, free: int) -> None:
        taken = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
        # Waiting rows stand in the order of their lengths when a wave was planned, and are sorted here when not.
        taken.sort(key=lambda row: len(row.prompt))
        for first, last in cut_batches([len(row.prompt) - self._shared for row in taken]):
            self._prefill(taken[first:last])

    def _prefill(self, batch: list[_Row]) -> None:
        lengths = [len(row.prompt) - self._shared for row in batch]
        width = max(lengths)
        # Padding stands behind the prompt, where the causal order hides it from every token.
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        wanted = torch.zeros(len(batch), width, dtype=torch.bool)
        for place, row in enumerate(batch):
            ids[place, : lengths[place]] = torch.tensor(row.prompt[self._shared :])
            wanted[place, lengths[place] - 1] = True
        device, cache = self._model.device, DynamicCache()
        logits = self._model(
            input_ids=ids.to(device),
            position_ids=torch.arange(self._offset, self._offset + width, device=device).expand(len(batch), -1),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=wanted.to(device),
            prefix=self._prefix,
        ).logits
        self._meter.forwarded_tokens += sum(lengths)
        self._meter.head_rows += len(batch)
        if self._slots is None:
            self._slots = Slots(cache, self._room, self._capacity)
        self._slots.take_in(cache, lengths)
        first = len(self._active)
        self._active += batch
        self._choose(logits.reshape(len(batch), -1), first)

    def _step(self) -> None:
        assert self._slots is not None
        device = self._model.device
        mask = self._slots.begin_step(device)
        logits = self._model(
            input_ids=torch.tensor([[row.tokens[-1]] for row in self._active], device=device),
            attention_mask=mask,
            position_ids=(self._slots.positions + self._offset).unsqueeze(1),
            past_key_values=self._slots,
            use_cache=True,
            logits_to_keep=1,
            prefix=self._prefix,
        ).logits
        self._meter.decoded_rows += len(self._active)
        self._meter.head_rows += len(self._active)
        self._choose(logits[:, -1], 0)

    def _choose(self, logits: torch.Tensor, first: int) -> None:
        """Give the active rows from `first` on their next token and let go of those that are done."""
        chosen, done = self._active[first:], []
        if self._settings.grammar is not None:
            barred = forbidden([row.grammar for row in chosen if row.grammar], logits.shape[-1])
            logits = logits + torch.from_numpy(barred).to(logits.device)
        best = torch.topk(logits, 2, dim=-1)
        gaps = (best.values[:, 0] - best.values[:, 1]).tolist()
        tokens = best.indices[:, 0].tolist()
        for place, row in enumerate(chosen):
            if row.draws is None:
                row.near_tie = row.near_tie or gaps[place] < NEAR_TIE
            else:
                tokens[place] = _sample(logits[place], self._settings.sampling.temperature, row.draws)
        at = torch.tensor(tokens, device=logits.device).unsqueeze(1)
        logprobs = (logits.gather(1, at).squeeze(1) - torch.logsumexp(logits, dim=-1)).tolist()
        for place, row in enumerate(chosen):
            row.logprob += logprobs[place]
            if not math.isfinite(row.logprob):  # whatever would be chosen from here on means nothing
                done.append(first + place)
                continue
            if row.grammar is not None:
                row.grammar.accept(tokens[place])
            if self._is_done(row, tokens[place]):
                done.append(first + place)
        assert self._slots is not None
        for slot in reversed(done):
            if not math.isfinite(self._active[slot].logprob):
                self._slots.wipe(slot)
            self._active[slot] = self._active[-1]
            self._active.pop()
            self._slots.release(slot)

    def _is_done(self, row: _Row, token: int) -> bool:
        self._meter.generated_tokens += 1
        if token in self._ends:
            row.ended, row.end = True, token
            return True
        row.tokens.append(token)
        if self._settings.stop and self._stops(row):
            row.ended = True
            return True
        return len(row.tokens) >= self._settings.max_new_tokens

    def _stops(self, row: _Row) -> bool:
        """Whether the answer now holds a stop string."""
        window = STOP_WINDOW + max(map(len, self._settings.stop))
        return any(stop in _decode(self._tokenizer, row.tokens[-window:]) for stop in self._settings.stop)


@torch.inference_mode()
def compute_prefix(model: Any, ids: Sequence[int], meter: Meter, before: Layers | None = None) -> Layers:
    """Keys and values of a beginning that rows share, (1, heads, tokens, dim) for each layer; no logits.

    Those of `before`, which stand in front of it, are part of the result.
    """
    cache, first = DynamicCache(), prefix_length(before)
    body = getattr(model, model.base_model_prefix)
    positions = torch.arange(first, first + len(ids), device=model.device).unsqueeze(0)
    tokens = torch.tensor([list(ids)], device=model.device)
    body(input_ids=tokens, position_ids=positions, past_key_values=cache, use_cache=True, prefix=before)
    meter.forwarded_tokens += len(ids)
    layers = [(layer.keys, layer.values) for layer in cache.layers]
    if before is None:
        return layers
    return [
        (torch.cat([first_keys, keys], dim=2), torch.cat([first_values, values], dim=2))
        for (first_keys, first_values), (keys, values) in zip(before, layers, strict=True)
    ]


def prefix_length(layers: Layers | None) -> int:
    """How many tokens keys and values stand for."""
    return 0 if layers is None else int(layers[0][0].shape[2])


def _common_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts share, less one, since each row must read its own last position."""
    # In dictionary order: what the first and the last share, all share.
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))
    length = min(len(first), len(last))
    common = next((i for i in range(length) if first[i] != last[i]), length)
    common = min(common, min(map(len, prompts)) - 1)
    return common if len(prompts) > 1 and common >= MIN_SHARED_TOKENS else 0


def _generator(prompt: Sequence[int], sampling: Sampling, draw: int) -> np.random.Generator | None:
    """The row's own source of chance, so that no answer depends on its neighbours'; None when greedy."""
    if sampling.temperature == 0:
        return None
    identity = hashlib.sha256(repr((sampling.seed, draw, tuple(prompt))).encode()).digest()
    return np.random.default_rng(np.frombuffer(identity, dtype=np.uint32).tolist())


def _sample(logits: torch.Tensor, temperature: float, draws: np.random.Generator) -> int:
    """A token from softmax(logits / temperature), by the inverse of its distribution function."""
    chances = torch.softmax(logits.double() / temperature, dim=-1).cumsum(dim=-1)
    place = torch.searchsorted(chances, draws.random() * float(chances[-1]), right=True)
    return min(int(place), len(chances) - 1)


def answer_text(tokenizer: Any, tokens: Sequence[int], stop: Sequence[str]) -> str:
    """The text of an answer's tokens, up to the first stop string."""
    text = _decode(tokenizer, tokens)
    return text[: min([text.find(end) for end in stop if end in text], default=len(text))]


def _decode(tokenizer: Any, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False))
