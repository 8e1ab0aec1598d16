"""Answers token by token: finished rows make room for waiting ones, and what all prompts share is computed once.

The prompts are cut into *waves* by length; a wave is decoded as a whole and its shapes depend on its prompts and the
settings only. Inside a wave, keys and values live in preallocated slots: a row that ends is replaced by the last one,
and waiting rows are taken in as soon as a quarter of the slots is free.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin

from harness.clock import monotonic_seconds
from harness.engine.attention import Layers, shared_prefix_attention
from harness.engine.batching import cut_batches
from harness.engine.chat import stop_ids
from harness.engine.meter import Meter

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
    """What shapes answers, for every system alike."""

    max_new_tokens: int
    batch_size: int
    stop: tuple[str, ...] = ()  # an answer ends before the first of these texts
    sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer: token ids without the end token, and whether it ended by itself.

    `near_tie` says that at some token the two best logits were nearer to each other than float32 can tell apart
    reliably; another batch shape may then give another answer.
    """

    index: int  # which prompt it answers
    tokens: tuple[int, ...]
    text: str
    ended: bool
    near_tie: bool
    seconds: float


@dataclass(slots=True)
class _Row:
    """One prompt on its way to an answer."""

    index: int
    prompt: Sequence[int]
    draws: np.random.Generator | None
    tokens: list[int] = field(default_factory=list)
    near_tie: bool = False
    ended: bool = False


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
) -> list[Generation]:
    """Answer every prompt (token ids) of one wave; the result is in their order.

    `draws` numbers the repetitions of a prompt: the same prompt with another number is sampled anew. `seconds` is an
    equal share of the wave's time.

    Raises:
        ValueError: an empty prompt.
    """
    if not all(prompts):
        raise ValueError("a prompt must have at least one token")
    started = monotonic_seconds()
    rows = [
        _Row(index, prompt, _generator(prompt, settings.sampling, draw))
        for index, (prompt, draw) in enumerate(zip(prompts, draws, strict=True))
    ]
    with shared_prefix_attention(model):
        _Wave(model, tokenizer, rows, settings, meter).run()
    share = (monotonic_seconds() - started) / max(1, len(rows))
    return [
        Generation(
            index=row.index,
            tokens=tuple(row.tokens),
            text=answer_text(tokenizer, row.tokens, settings.stop),
            ended=row.ended,
            near_tie=row.near_tie,
            seconds=share,
        )
        for row in rows
    ]


class _Slots(Cache):
    """Keys and values of the rows being decoded, one slot a row, in buffers that never grow."""

    def __init__(self, like: Cache, slots: int, capacity: int) -> None:
        self.lengths: list[int] = []  # tokens in each used slot
        self.positions = torch.empty(0, dtype=torch.long)  # where the next token of each row goes
        self.width = 0
        super().__init__(layers=[_SlotLayer(self, layer.keys, slots, capacity) for layer in like.layers])

    def begin_step(self, device: torch.device) -> torch.Tensor:
        """Make room for one token in every slot; returns the additive mask (rows, 1, 1, width)."""
        self.positions = torch.tensor(self.lengths, device=device)
        self.lengths = [length + 1 for length in self.lengths]
        self.width = max(self.lengths)
        hidden = torch.arange(self.width, device=device) > self.positions.unsqueeze(1)
        mask = torch.zeros(hidden.shape, device=device).masked_fill_(hidden, -torch.inf)
        return mask[:, None, None, :]

    def take_in(self, cache: Cache, lengths: Sequence[int]) -> None:
        """Copy the rows of a prefill, (rows, heads, tokens, dim), into the next free slots."""
        first, width = len(self.lengths), max(lengths)
        for mine, theirs in zip(self.layers, cache.layers, strict=True):
            mine.keys[first : first + len(lengths), :, :width] = theirs.keys
            mine.values[first : first + len(lengths), :, :width] = theirs.values
        self.lengths += lengths

    def release(self, slot: int) -> None:
        """Give a slot free by moving the last row into it."""
        last, length = len(self.lengths) - 1, self.lengths[-1]
        if slot != last:
            for layer in self.layers:
                layer.keys[slot, :, :length] = layer.keys[last, :, :length]
                layer.values[slot, :, :length] = layer.values[last, :, :length]
        self.lengths[slot] = length
        self.lengths.pop()


class _SlotLayer(CacheLayerMixin):
    """One layer of the slots."""

    def __init__(self, slots: _Slots, like: torch.Tensor, count: int, capacity: int) -> None:
        super().__init__()
        self._slots = slots
        shape = (count, like.shape[1], capacity, like.shape[3])
        # Zeros, since what is masked out is still multiplied, and left-over memory may hold NaN.
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing is left to do."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one token a row, (rows, heads, 1, dim), and return what each row may see, up to the widest."""
        rows, width = len(key_states), self._slots.width
        at = torch.arange(rows, device=key_states.device)
        self.keys[at, :, self._slots.positions] = key_states[:, :, 0]
        self.values[at, :, self._slots.positions] = value_states[:, :, 0]
        return self.keys[:rows, :, :width], self.values[:rows, :, :width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Keys and offset of a mask that transformers would make."""
        return self._slots.width, 0

    def get_seq_length(self) -> int:
        """Tokens of the longest row."""
        return max(self._slots.lengths, default=0)

    def get_max_length(self) -> int:
        """Tokens that a slot holds."""
        return int(self.keys.shape[2])


class _Wave:
    """The decoding of one wave."""

    def __init__(
        self, model: Any, tokenizer: Any, rows: Sequence[_Row], settings: GenerationSettings, meter: Meter
    ) -> None:
        self._model, self._tokenizer, self._settings, self._meter = model, tokenizer, settings, meter
        self._waiting = deque(rows)
        self._active: list[_Row] = []
        self._ends = stop_ids(tokenizer)
        self._shared = _common_beginning([row.prompt for row in rows])
        longest = max(len(row.prompt) for row in rows) - self._shared
        self._capacity = longest + settings.max_new_tokens
        self._room = min(settings.batch_size, len(rows), max(1, SLOT_TOKENS // self._capacity))
        self._prefix: Layers | None = None
        self._slots: _Slots | None = None
        if self._shared:
            self._prefix = compute_prefix(model, rows[0].prompt[: self._shared], meter)

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
            position_ids=torch.arange(self._shared, self._shared + width, device=device).expand(len(batch), -1),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=wanted.to(device),
            prefix=self._prefix,
        ).logits
        self._meter.forwarded_tokens += sum(lengths)
        self._meter.head_rows += len(batch)
        if self._slots is None:
            self._slots = _Slots(cache, self._room, self._capacity)
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
            position_ids=(self._slots.positions + self._shared).unsqueeze(1),
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
        best = torch.topk(logits, 2, dim=-1)
        gaps = (best.values[:, 0] - best.values[:, 1]).tolist()
        greedy = best.indices[:, 0].tolist()
        done = []
        for place, row in enumerate(self._active[first:]):
            if row.draws is None:
                token = greedy[place]
                row.near_tie = row.near_tie or gaps[place] < NEAR_TIE
            else:
                token = _sample(logits[place], self._settings.sampling.temperature, row.draws)
            if self._is_done(row, token):
                done.append(first + place)
        assert self._slots is not None
        for slot in reversed(done):
            self._active[slot] = self._active[-1]
            self._active.pop()
            self._slots.release(slot)

    def _is_done(self, row: _Row, token: int) -> bool:
        self._meter.generated_tokens += 1
        if token in self._ends:
            row.ended = True
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
def compute_prefix(model: Any, ids: Sequence[int], meter: Meter) -> Layers:
    """Keys and values of a beginning that rows share, (1, heads, tokens, dim) for each layer; no logits."""
    cache = DynamicCache()
    body = getattr(model, model.base_model_prefix)
    body(input_ids=torch.tensor([list(ids)], device=model.device), past_key_values=cache, use_cache=True)
    meter.forwarded_tokens += len(ids)
    return [(layer.keys, layer.values) for layer in cache.layers]


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
