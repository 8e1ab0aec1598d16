"""Which PEFT method a declaration names."""

from __future__ import annotations

from typing import Any

from peft import LoraConfig

from harness.errors import InvalidInputError
from harness.suite.schema import Train


def adapter_config(train: Train) -> Any:
    """The PEFT configuration of a declared adapter.

    Raises:
        InvalidInputError: a target that cannot be served un-merged as a LoRA.
    """
    if isinstance(train.targets, list) and "lm_head" in train.targets:
        raise InvalidInputError("train.targets: `lm_head` cannot be a target: servers do not load such adapters")
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=train.rank,
        lora_alpha=train.alpha,
        lora_dropout=train.dropout,
        target_modules=train.targets,
        bias=train.bias,
    )
