"""Learn from preferences: direct preference optimisation by TRL (Rafailov et al. 2023, arXiv 2305.18290)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from harness.engine.loading import LoadedModel
from harness.engine.loglikelihood import score_continuations
from harness.engine.meter import Meter
from harness.suite.training import Train
from harness.train.adapters import Trainable
from harness.train.rows import TokenisedPair, TrainingRows, refuse_truncation, tokenise_pairs
from harness.train.shares import UpdateShare
from harness.train.trainer import Recipe

Logprobs = list[tuple[float, float]]  # of the chosen and of the rejected answer


class Preferences:
    """The mean over pairs of -log sigmoid(beta x (log-ratio of the chosen - log-ratio of the rejected answer)).

    A log-ratio is that of the model in training to the base model, whose log-probabilities are computed once.
    """

    task_type = "CAUSAL_LM"
    labels: tuple[str, ...] = ()

    def __init__(self, base: LoadedModel, rows: TrainingRows, train: Train, meter: Meter) -> None:
        """Tokenise the pairs and score them with the base model.

        Raises:
            InvalidInputError: too many pairs over the length limit.
        """
        self._pairs, cut = tokenise_pairs(base, rows.train, rows.system, train.max_length)
        self._validation, cut_validation = tokenise_pairs(base, rows.validation, rows.system, train.max_length)
        self.truncated = cut + cut_validation
        refuse_truncation(self.truncated, len(rows.train) + len(rows.validation), train)
        self.validation_tokens = sum(len(p.chosen.answer) + len(p.rejected.answer) for p in self._validation)
        self._base, self._beta = base, train.beta
        self._reference = _logprobs(base.model, self._pairs, meter)
        self._validation_reference = _logprobs(base.model, self._validation, meter)

    @property
    def epoch_rows(self) -> int:
        """Pairs in an epoch."""
        return len(self._pairs)

    def model(self, base: LoadedModel) -> Any:
        """The causal model itself."""
        return base.model

    def trainer(
        self, learning: Trainable, seed: int, arguments: dict[str, Any], callbacks: Sequence[Any], share: UpdateShare
    ) -> Any:
        """TRL's trainer on pairs that are already tokens, with the reference already known."""
        rows = [
            {
                "prompt_ids": pair.chosen.prompt,
                "chosen_ids": pair.chosen.answer,
                "rejected_ids": pair.rejected.answer,
                "ref_chosen_logps": chosen,
                "ref_rejected_logps": rejected,
            }
            for pair, (chosen, rejected) in zip(self._pairs, self._reference, strict=True)
        ]
        # Dropout is what the suite says; TRL would turn it off.
        config = DPOConfig(**arguments, beta=self._beta, max_length=None, disable_dropout=False)
        trainer = PreferenceTrainer(
            learning,
            seed=seed,
            share=share,
            lengths=[p.chosen.length + p.rejected.length for p in self._pairs],
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=self._base.tokenizer,
            callbacks=list(callbacks),
        )
        return trainer

    def validation_loss(self, learning: Trainable, meter: Meter) -> float:
        """Nats per pair of the validation rows."""
        found = _logprobs(learning.causal, self._validation, meter)
        margins = [
            (chosen - reference_chosen) - (rejected - reference_rejected)
            for (chosen, rejected), (reference_chosen, reference_rejected) in zip(
                found, self._validation_reference, strict=True
            )
        ]
        return sum(_softplus(-self._beta * margin) for margin in margins) / len(margins)


class PreferenceTrainer(Recipe, DPOTrainer):
    """TRL's DPOTrainer on our tokens, our batches and our checkpoints."""

    def __init__(
        self, learning: Trainable, *, seed: int, lengths: Sequence[int], share: UpdateShare, **settings: Any
    ) -> None:
        self.learning, self.seed, self.lengths, self.share = learning, seed, lengths, share
        super().__init__(model=learning.model, **settings)
        # TRL adds a copy of the adapter as its reference; ours starts without effect, so the base model is that.
        learning.model.delete_adapter("ref")
        self.precompute_ref_logps = True

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


def _logprobs(model: Any, pairs: Sequence[TokenisedPair], meter: Meter) -> Logprobs:
    rows = [row for pair in pairs for row in (pair.chosen, pair.rejected)]
    scored = score_continuations(model, [(row.prompt, row.answer) for row in rows], meter=meter)
    found = [item.logprob for item in scored]
    return list(zip(found[::2], found[1::2], strict=True))


def _softplus(x: float) -> float:
    """log(1 + exp(x)) without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x))) if math.isfinite(x) else x
