"""How a candidate, or a baseline with a training of its own, is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.limits import ALPHA, RANK
from harness.suite.declaration import Declaration, Fraction, HalfOpenFraction, Number, RowsRef

LOW_RANK = ("lora", "rslora", "dora")  # methods that add a low-rank update to linear layers
# Objectives that general rows can be mixed into: a preference needs a rejected answer, a class its label.
MIXED = ("sft", "continued_pretraining")
VIRTUAL = ("prefix_tuning", "prompt_tuning")  # methods that train what stands before every prompt

LABELLED = "labelled rows"  # what `data.train` holds, and few-shot and retrieval arms learn from too


class EarlyStopping(Declaration):
    """Stop after `patience` measurements of the validation loss without a gain of more than `min_delta` nats."""

    patience: Annotated[int, Field(ge=1)] = 2
    min_delta: Annotated[Number, Field(ge=0)] = 0.0
    checks_per_epoch: Annotated[int, Field(ge=4)] = 4


class Train(Declaration):
    """A training: which weights (`method`), from what (`objective`), and for how long."""

    method: Literal["lora", "rslora", "dora", "prefix_tuning", "prompt_tuning", "full"] = "lora"
    objective: Literal["sft", "dpo", "continued_pretraining", "classification"] = "sft"
    rows: RowsRef | None = None  # instead of `data.train`: preferences for dpo, text for continued_pretraining
    quantize: Literal["4bit", "8bit"] | None = None  # the base model while training (QLoRA); it is judged unquantised
    rank: Annotated[int, Field(ge=1, le=RANK)] = 16
    alpha: Annotated[Number, Field(gt=0, le=ALPHA)] = 32.0
    dropout: HalfOpenFraction = 0.05
    targets: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"
    virtual_tokens: Annotated[int, Field(ge=1, le=1000)] = 16  # of prefix_tuning and prompt_tuning
    beta: Annotated[Number, Field(gt=0)] = 0.1  # of dpo: how much a distance from the base model costs
    learning_rate: Annotated[Number, Field(gt=0)] = 2e-4
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup: Fraction = 0.05
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0
    epochs: Annotated[int, Field(ge=1, le=100)] = 3
    batch_size: Annotated[int, Field(ge=1)] = 8
    gradient_accumulation: Annotated[int, Field(ge=1)] = 1
    max_length: Annotated[int, Field(ge=8)] = 1024
    max_truncated: Fraction = 0.0
    seeds: Annotated[int, Field(ge=1, le=20)] = 1  # candidates trained alike but for their seed, to judge the recipe
    early_stopping: EarlyStopping = EarlyStopping()

    @property
    def form(self) -> str:
        """What the rows are that the objective learns from, in words."""
        return {"dpo": "preferences", "continued_pretraining": "raw texts"}.get(self.objective, LABELLED)

    @property
    def is_labelled(self) -> bool:
        """Whether it learns from the suite's labelled rows, and so shares their validation rows."""
        return self.rows is None and self.form == LABELLED
