"""Learn to write: the answers of labelled rows (SFT), or every token of raw text (continued pre-training)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import TrainingArguments

from harness.engine.loading import LoadedModel
from harness.engine.loglikelihood import score_continuations
from harness.engine.meter import Meter
from harness.errors import InvalidInputError
from harness.suite.training import Train
from harness.train.adapters import Trainable
from harness.train.rows import TrainingRows, labelled, refuse_truncation, tokenise, tokenise_texts
from harness.train.shares import UpdateShare
from harness.train.trainer import CompletionTrainer


class Completions:
    """The mean over all trained tokens of their negative log-probability."""

    task_type = "CAUSAL_LM"
    labels: tuple[str, ...] = ()

    def __init__(self, base: LoadedModel, rows: TrainingRows, train: Train) -> None:
        """Tokenise the rows.

        Raises:
            InvalidInputError: too many rows over the length limit, or texts too short to learn from.
        """
        mix, cut_mix = tokenise(base, rows.mix, None, train.max_length)
        if train.objective == "continued_pretraining":
            task = tokenise_texts(base, rows.train, train.max_length)
            self._validation, cut, cut_validation = tokenise_texts(base, rows.validation, train.max_length), 0, 0
            if not task or not self._validation:
                raise InvalidInputError("train.rows: the texts are too short to train and to validate on; add text")
        else:
            task, cut = tokenise(base, rows.train, rows.system, train.max_length)
            self._validation, cut_validation = tokenise(base, rows.validation, rows.system, train.max_length)
        self.truncated = cut + cut_mix + cut_validation
        refuse_truncation(self.truncated, len(rows.train) + len(rows.mix) + len(rows.validation), train)
        self._rows = labelled(task + mix)
        self.validation_tokens = sum(len(row.answer) for row in self._validation)

    @property
    def epoch_rows(self) -> int:
        """Rows, or blocks of text, in an epoch."""
        return len(self._rows)

    def model(self, base: LoadedModel) -> Any:
        """The causal model itself."""
        return base.model

    def trainer(
        self, learning: Trainable, seed: int, arguments: dict[str, Any], callbacks: Sequence[Any], share: UpdateShare
    ) -> Any:
        """A Trainer whose head runs on the trained tokens only."""
        return CompletionTrainer(
            learning,
            seed=seed,
            rows=self._rows,
            validation=labelled(self._validation),
            share=share,
            args=TrainingArguments(**arguments),
            callbacks=list(callbacks),
        )

    def validation_loss(self, learning: Trainable, meter: Meter) -> float:
        """Nats per trained token of the validation rows."""
        pairs = [(row.prompt, row.answer) for row in self._validation]
        scored = score_continuations(learning.causal, pairs, meter=meter, before=learning.before())
        return -sum(item.logprob for item in scored) / self.validation_tokens
