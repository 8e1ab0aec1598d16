"""Keys and values of rows that are being decoded, in buffers that never grow: a row that ends makes room at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin


class Slots(Cache):
    """Keys and values of the rows being decoded, one slot a row, in buffers that never grow."""

    def __init__(self, like: Cache, slots: int, capacity: int) -> None:
        self.lengths: list[int] = []  # tokens in each used slot
        self.positions = torch.empty(0, dtype=torch.long)  # where the next token of each row goes
        self.width = 0
        super().__init__(layers=[SlotLayer(self, layer.keys, slots, capacity) for layer in like.layers])

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

    def wipe(self, slot: int) -> None:
        """Zero a slot whose numbers are none: what is masked out is still multiplied, also by the next row in it."""
        for layer in self.layers:
            layer.keys[slot], layer.values[slot] = 0, 0

    def release(self, slot: int) -> None:
        """Give a slot free by moving the last row into it."""
        last, length = len(self.lengths) - 1, self.lengths[-1]
        if slot != last:
            for layer in self.layers:
                layer.keys[slot, :, :length] = layer.keys[last, :, :length]
                layer.values[slot, :, :length] = layer.values[last, :, :length]
        self.lengths[slot] = length
        self.lengths.pop()


class SlotLayer(CacheLayerMixin):
    """One layer of the slots."""

    def __init__(self, slots: Slots, like: torch.Tensor, count: int, capacity: int) -> None:
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
