"""transformers' Trainer, fed so little is wasted, counting what it reads and able to go on after an interruption."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer

from harness.engine.batching import cut_batches
from harness.errors import BrokenRunError
from harness.files import make_folder
from harness.train.adapters import Trainable
from harness.train.processes import Processes
from harness.train.rows import IGNORED
from harness.train.saving import saving
from harness.train.shares import SharedBatches, UpdateShare

SORTED_BATCHES = 50  # rows are shuffled, and sorted by length within so many batches, as in transformers' own sampler
LEARNED = "learned.safetensors"  # in a checkpoint


class Recipe:
    """What every trainer here has in common; a mixin in front of transformers' or TRL's Trainer."""

    trained_tokens = 0  # tokens read so far, without padding
    lengths: Sequence[int]  # of the training rows, in tokens
    seed: int
    learning: Trainable
    share: UpdateShare

    def get_train_dataloader(self) -> DataLoader[Any]:
        """This process's rows; accelerate by itself would deal out whole batches, and some rows twice."""
        order = LengthGroupedBatches(self.lengths, self.share.rows, self.seed)
        rows = self.train_dataset  # type: ignore[attr-defined]
        loader = DataLoader(
            rows,
            batch_sampler=SharedBatches(order, self.share, idle=len(self.lengths)),
            collate_fn=self.data_collator,  # type: ignore[attr-defined]
            pin_memory=self.args.dataloader_pin_memory,  # type: ignore[attr-defined]
        )
        return prepare_data_loader(loader, num_processes=1, process_index=0)  # a share is not to be shared again

    def whole_state(self) -> dict[str, torch.Tensor]:
        """A copy of what learns, whole in the main process, wherever its parts lie; all processes ask at once.

        Raises:
            BrokenRunError: parts of it were not gathered, so it could not be saved.
        """
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled  # type: ignore[attr-defined]
        if not sharded:
            return self.learning.state()
        found = self.accelerator.get_state_dict(self.model_wrapped)  # type: ignore[attr-defined]
        if not self.accelerator.is_main_process:  # type: ignore[attr-defined]
            return {}  # what the others are given depends on the library
        return gathered(found or {}, self.learning.names)

    def training_step(self, model: Any, inputs: dict[str, Any], *arguments: Any, **settings: Any) -> torch.Tensor:
        """Count the batch's own tokens, and train on it."""
        tokens = inputs.pop("tokens") if "tokens" in inputs else inputs["attention_mask"].sum()
        self.trained_tokens += int(tokens)
        return super().training_step(model, inputs, *arguments, **settings)  # type: ignore[misc]

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """A checkpoint holds what learns and no copy of the base model, whatever the method."""
        assert output_dir is not None
        if not self.args.should_save:  # type: ignore[attr-defined]
            return  # another process does
        make_folder(Path(output_dir))
        save_file(self.learning.state(), Path(output_dir) / LEARNED)

    def _save_checkpoint(self, *arguments: Any, **settings: Any) -> None:
        with saving(Path(self.args.output_dir)):  # type: ignore[attr-defined]
            super()._save_checkpoint(*arguments, **settings)  # type: ignore[misc]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.learning.restore(load_file(Path(resume_from_checkpoint) / LEARNED))


def gathered(found: Mapping[str, torch.Tensor], names: Collection[str]) -> dict[str, torch.Tensor]:
    """The named weights of a whole state, in float32.

    Raises:
        BrokenRunError: some are not in it.
    """
    if missing := sorted(set(names) - found.keys()):
        raise BrokenRunError(f"{len(missing)} of {len(names)} weights were not gathered, the first is {missing[0]}")
    return {name: found[name].detach().float().cpu() for name in names}


class CompletionTrainer(Recipe, Trainer):
    """A Trainer of rows {"input_ids", "labels"}; the output head runs on trained tokens only."""

    def __init__(
        self,
        learning: Trainable,
        *,
        seed: int,
        rows: Sequence[Mapping[str, Any]],
        validation: Sequence[Mapping[str, Any]],
        share: UpdateShare,
        collator: Callable[[Sequence[Mapping[str, Any]]], dict[str, torch.Tensor]] | None = None,
        **settings: Any,
    ) -> None:
        self.learning, self.seed, self.share = learning, seed, share
        self.lengths, self._validation = [len(row["input_ids"]) for row in rows], validation
        # The inputs of prompt tuning stand in front of each row, where nothing is read.
        skipped = learning.virtual_inputs
        self._collator = collator or (lambda batch: collate(batch, skipped=skipped))
        super().__init__(
            model=learning.model, train_dataset=[*rows, silent(rows)], data_collator=self._collator, **settings
        )

    @torch.no_grad()
    def shared_loss(self, items: int, processes: Processes) -> tuple[float, int]:
        """The mean loss over the `items` of the validation rows, and their tokens; each process computes some.

        The model is called as in training, by all processes equally often, as it must be when its weights are sharded.
        """
        ordered = sorted(self._validation, key=lambda row: len(row["input_ids"]))
        runs = cut_batches([len(row["input_ids"]) for row in ordered])
        batches = [ordered[first:last] for first, last in runs[processes.index :: processes.count]]
        batches += [[silent(ordered)]] * (math.ceil(len(runs) / processes.count) - len(batches))
        whole = torch.tensor(items, device=self.args.device)
        loss, tokens = 0.0, 0
        for batch in batches:
            inputs = self._prepare_inputs(self._collator(batch))
            tokens += int(inputs.pop("tokens"))
            # What comes back is the sum over this batch, over all items, times the processes.
            loss += float(self.compute_loss(self.model_wrapped, inputs, num_items_in_batch=whole))
        return processes.total(loss) / processes.count, processes.total(tokens)


def silent(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The shortest row without a label, for a process that has none left: what it adds to loss and gradient is 0."""
    row = min(rows, key=lambda row: len(row["input_ids"]))
    labels = {"labels": [IGNORED] * len(row["input_ids"])} if "labels" in row else {"label": IGNORED}
    return {"input_ids": row["input_ids"], **labels}


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
        "tokens": torch.tensor(sum(len(row["input_ids"]) for row in rows if row["labels"][-1] != IGNORED)),
    }


def pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Rows of token ids as one tensor (rows, longest), padded on the right."""
    filled = torch.full((len(rows), max(map(len, rows))), value, dtype=torch.long)
    for place, row in enumerate(rows):
        filled[place, : len(row)] = torch.tensor(row, dtype=torch.long)
    return filled
