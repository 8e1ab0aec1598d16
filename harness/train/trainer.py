"""transformers' Trainer, fed so little is wasted: rows of like length together, the head on trained tokens only."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import Trainer

IGNORED = -100  # the label of a token that is not trained
SORTED_BATCHES = 50  # rows are shuffled, and sorted by length within so many batches, as in transformers' own sampler


class CompletionTrainer(Trainer):
    """A Trainer of rows {"input_ids", "labels"}; `trained_tokens` counts the tokens it has read, without padding."""

    def __init__(self, *, seed: int, **settings: Any) -> None:
        super().__init__(data_collator=collate, **settings)
        self.trained_tokens = 0
        self._seed = seed

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        lengths = [len(row["input_ids"]) for row in self.train_dataset]
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroupedBatches(lengths, size, self._seed)

    def training_step(self, model: Any, inputs: dict[str, Any], *arguments: Any, **settings: Any) -> torch.Tensor:
        """Count the batch's own tokens, and train on it."""
        self.trained_tokens += int(inputs.pop("tokens"))
        return super().training_step(model, inputs, *arguments, **settings)


class LengthGroupedBatches(Sampler[int]):
    """Row numbers in an order whose consecutive batches hold rows of like length, in another order each epoch.

    transformers' LengthGroupedSampler sorts nothing when there are fewer than eight batches, and puts the longest
    rows first in each group; here the batches are shuffled after the rows were grouped.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths, self._size, self._seed, self._epoch = list(lengths), batch_size, seed, 0

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        chance = random.Random(f"batches {self._seed} {self._epoch}")
        self._epoch += 1
        order = chance.sample(range(len(self._lengths)), len(self._lengths))
        group = self._size * SORTED_BATCHES
        full: list[list[int]] = []
        rest: list[list[int]] = []
        for first in range(0, len(order), group):
            rows = sorted(order[first : first + group], key=lambda row: self._lengths[row])
            batches = [rows[start : start + self._size] for start in range(0, len(rows), self._size)]
            # Only the last batch of all may be short, since the loader cuts where the size says.
            (full if len(batches[-1]) == self._size else rest).append(batches.pop())
            full += batches
        chance.shuffle(full)
        yield from (row for batch in full + rest for row in batch)


def collate(rows: Sequence[Mapping[str, list[int]]]) -> dict[str, torch.Tensor]:
    """A batch padded on the right, which the causal order hides, with the positions that predict a trained token.

    `shift_labels` are the trained tokens, one after the other; `logits_to_keep` marks the position before each.
    """
    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED)
    for place, row in enumerate(rows):
        ids[place, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
        labels[place, : len(row["labels"])] = torch.tensor(row["labels"])
    predicting = torch.zeros(len(rows), width, dtype=torch.bool)
    predicting[:, :-1] = labels[:, 1:] != IGNORED
    return {
        "input_ids": ids,
        "labels": labels,
        "shift_labels": labels[:, 1:][predicting[:, :-1]],
        "logits_to_keep": predicting,
        "tokens": torch.tensor(sum(len(row["input_ids"]) for row in rows)),
    }
