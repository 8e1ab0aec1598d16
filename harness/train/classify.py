"""Learn to choose a class: a head on the last token of the prompt, beside a low-rank update of the model."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, TrainingArguments

from harness.engine.batching import cut_batches
from harness.engine.loading import LoadedModel
from harness.engine.meter import Meter
from harness.errors import InvalidInputError
from harness.records import Example
from harness.suite.training import Train
from harness.train.adapters import Trainable
from harness.train.rows import IGNORED, TrainingRows, refuse_truncation, tokenise_prompts
from harness.train.shares import UpdateShare
from harness.train.trainer import CompletionTrainer, pad

HEAD = "score"  # as every decoder of transformers calls it


class Classes:
    """The mean over rows of the negative log-probability of their class."""

    task_type = "SEQ_CLS"

    def __init__(self, base: LoadedModel, rows: TrainingRows, train: Train) -> None:
        """Tokenise the prompts and number the classes, which are the different answers of the training rows.

        Raises:
            InvalidInputError: one class only, a validation row of another class, or too many rows over the limit.
        """
        self.labels = tuple(sorted({str(example.target) for example in rows.train}))
        if len(self.labels) < 2:
            raise InvalidInputError("train.objective: classification needs training rows of two different answers")
        self._number = {label: number for number, label in enumerate(self.labels)}
        self._rows, cut = self._tokenise(base, rows.train, rows.system, train)
        self._validation, cut_validation = self._tokenise(base, rows.validation, rows.system, train)
        self.truncated = cut + cut_validation
        refuse_truncation(self.truncated, len(rows.train) + len(rows.validation), train)
        self.validation_tokens = len(self._validation)
        self._pad = int(base.tokenizer.pad_token_id)

    def _tokenise(
        self, base: LoadedModel, examples: Sequence[Example], system: str | None, train: Train
    ) -> tuple[list[dict[str, Any]], int]:
        for example in examples:
            if example.target not in self._number:
                raise InvalidInputError(
                    f"{example.source}: the answer {example.target!r} is not that of any training row, "
                    "so it is no class that can be learned"
                )
        prompts, cut = tokenise_prompts(base, examples, system, train.max_length)
        numbers = [self._number[str(example.target)] for example in examples]
        return [{"input_ids": ids, "label": n} for ids, n in zip(prompts, numbers, strict=True)], cut

    @property
    def epoch_rows(self) -> int:
        """Rows in an epoch."""
        return len(self._rows)

    def model(self, base: LoadedModel) -> Any:
        """The base model's own body under a new head; nothing is loaded again."""
        config = copy.deepcopy(base.model.config)
        config.num_labels, config.pad_token_id = len(self.labels), int(base.tokenizer.pad_token_id)
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config)
        if not isinstance(getattr(model, HEAD, None), torch.nn.Linear):
            raise InvalidInputError(f"{base.name}: its architecture has no head `{HEAD}` for classification")
        setattr(model, model.base_model_prefix, getattr(base.model, base.model.base_model_prefix))
        head = torch.nn.Linear(config.hidden_size, len(self.labels), bias=False)
        torch.nn.init.normal_(head.weight, std=config.initializer_range)
        setattr(model, HEAD, head.to(base.device, base.model.dtype))
        return model

    def trainer(
        self, learning: Trainable, seed: int, arguments: dict[str, Any], callbacks: Sequence[Any], share: UpdateShare
    ) -> Any:
        """Transformers' Trainer with the usual cross-entropy."""
        return CompletionTrainer(
            learning,
            seed=seed,
            rows=self._rows,
            validation=self._validation,
            share=share,
            args=TrainingArguments(**arguments),
            callbacks=list(callbacks),
            collator=self._collate,
            compute_loss_func=_loss,
        )

    def _collate(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        ids = pad([row["input_ids"] for row in rows], self._pad)
        mask = pad([[1] * len(row["input_ids"]) for row in rows], 0)
        labels = torch.tensor([row["label"] for row in rows])
        tokens = mask[labels != IGNORED].sum()
        return {"input_ids": ids, "attention_mask": mask, "labels": labels, "tokens": tokens}

    @torch.inference_mode()
    def validation_loss(self, learning: Trainable, meter: Meter) -> float:
        """Nats per validation row."""
        rows = sorted(self._validation, key=lambda row: len(row["input_ids"]))
        total = 0.0
        for first, last in cut_batches([len(row["input_ids"]) for row in rows]):
            batch = {name: value.to(learning.causal.device) for name, value in self._collate(rows[first:last]).items()}
            meter.forwarded_tokens += int(batch.pop("tokens"))
            total += float(learning.model(**batch).loss) * (last - first)
        return total / len(rows)


def _loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor) -> torch.Tensor:
    """The mean over all rows of an update, of which these are some; the model's own is that over a batch."""
    logits = outputs.logits.float()
    return torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") / num_items_in_batch
