"""transformers' Trainer, fed so little is wasted, counting what it reads and able to go on after an interruption."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import Sampler
from transformers import Trainer

from harness.files import make_folder
from harness.train.adapters import Trainable
from harness.train.rows import IGNORED
from harness.train.saving import saving

SORTED_BATCHES = 50  # rows are shuffled, and sorted by length within so many batches, as in transformers' own sampler
LEARNED = "learned.safetensors"  # in a checkpoint


class Recipe:
    """What every trainer here has in common; a mixin in front of transformers' or TRL's Trainer."""

    trained_tokens = 0  # tokens read so far, without padding
    lengths: Sequence[int]  # of the training rows, in tokens
    seed: int
    learning: Trainable

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        arguments = self.args  # type: ignore[attr-defined]
        size = arguments.train_batch_size * arguments.gradient_accumulation_steps
        return LengthGroupedBatches(self.lengths, size, self.seed)

    def training_step(self, model: Any, inputs: dict[str, Any], *arguments: Any, **settings: Any) -> torch.Tensor:
        """Count the batch's own tokens, and train on it."""
        tokens = inputs.pop("tokens") if "tokens" in inputs else inputs["attention_mask"].sum()
        self.trained_tokens += int(tokens)
        return super().training_step(model, inputs, *arguments, **settings)  # type: ignore[misc]

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """A checkpoint holds what learns and no copy of the base model, whatever the method."""
        assert output_dir is not None
        make_folder(Path(output_dir))
        save_file(self.learning.state(), Path(output_dir) / LEARNED)

    def _save_checkpoint(self, *arguments: Any, **settings: Any) -> None:
        with saving(Path(self.args.output_dir)):  # type: ignore[attr-defined]
            super()._save_checkpoint(*arguments, **settings)  # type: ignore[misc]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.learning.restore(load_file(Path(resume_from_checkpoint) / LEARNED))


class CompletionTrainer(Recipe, Trainer):
    """A Trainer of rows {"input_ids", "labels"}; the output head runs on trained tokens only."""

    def __init__(self, learning: Trainable, *, seed: int, rows: Sequence[Mapping[str, Any]], **settings: Any) -> None:
        self.learning, self.seed = learning, seed
        self.lengths = [len(row["input_ids"]) for row in rows]
        # The inputs of prompt tuning stand in front of each row, where nothing is read.
        skipped = learning.virtual_inputs
        settings.setdefault("data_collator", lambda batch: collate(batch, skipped=skipped))
        super().__init__(model=learning.model, train_dataset=list(rows), **settings)


class LengthGroupedBatches(Sampler[int]):
    """Row numbers in an order whose consecutive batches hold rows of like length, in another order each epoch.

    transformers' LengthGroupedSampler sorts nothing when there are fewer than eight batches, and puts the longest
    rows first in each group; here the batches are shuffled after the rows were grouped.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths, self._size, self._seed, self._epoch = list(lengths), batch_size, seed, 0

    def __len__(self) -> int:
        return len(self._lengths)

    def set_epoch(self, epoch: int) -> None:
        """Which epoch is drawn; the Trainer says so, also when it goes on in the middle of one."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        chance = random.Random(f"batches {self._seed} {self._epoch}")
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


def collate(rows: Sequence[Mapping[str, list[int]]], *, skipped: int = 0) -> dict[str, torch.Tensor]:
    """A batch padded on the right, which the causal order hides, with the positions that predict a trained token.

    `shift_labels` are the trained tokens, one after the other; `logits_to_keep` marks the position before each,
    behind `skipped` positions that the model puts in front of every row.
    """
    ids = pad([row["input_ids"] for row in rows], 0)
    labels = pad([row["labels"] for row in rows], IGNORED)
    predicting = torch.zeros(len(rows), skipped + ids.shape[1], dtype=torch.bool)
    predicting[:, skipped : skipped + ids.shape[1] - 1] = labels[:, 1:] != IGNORED
    return {
        "input_ids": ids,
        "labels": labels,
        "shift_labels": labels[:, 1:][labels[:, 1:] != IGNORED],
        "logits_to_keep": predicting,
        "tokens": torch.tensor(sum(len(row["input_ids"]) for row in rows)),
    }


def pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Rows of token ids as one tensor (rows, longest), padded on the right."""
    filled = torch.full((len(rows), max(map(len, rows))), value, dtype=torch.long)
    for place, row in enumerate(rows):
        filled[place, : len(row)] = torch.tensor(row, dtype=torch.long)
    return filled
