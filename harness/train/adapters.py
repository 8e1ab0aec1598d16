"""Which weights a method trains: a PEFT adapter around the base model, or a copy of the whole model."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model

from harness.engine.artefacts import ADAPTER_CONFIG, MODEL_CONFIG
from harness.engine.attention import Layers
from harness.engine.virtual import virtual_layers
from harness.errors import InvalidInputError
from harness.files import remove, write_json
from harness.suite.training import LOW_RANK, VIRTUAL, Train
from harness.train.saving import saving


class Trainable:
    """A model in training: the weights that learn, how they are kept, and how they are saved."""

    def __init__(self, base_model: Any, train: Train, *, base_name: str, task_type: str = "CAUSAL_LM") -> None:
        """Wrap `base_model`, or copy it for a full fine-tuning; `release` leaves it as it was.

        Raises:
            InvalidInputError: `targets` are no layers that a LoRA can be added to.
        """
        self._base, self._name, self._method = base_model, base_name, train.method
        if train.method == "full":
            self.model = copy.deepcopy(base_model).requires_grad_(True)
        else:
            self.model = _with_adapter(base_model, peft_config(train, task_type))
        # What a saved state holds, by name, before processes share the weights out.
        self.names = tuple(self.model.state_dict() if train.method == "full" else self.parameters)
        counted = [(weight.numel(), weight.requires_grad) for weight in self.model.parameters()]
        # How many weights learn, and how many there are, those of an adapter included.
        self.counts = sum(number for number, learns in counted if learns), sum(number for number, _ in counted)

    @property
    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Name -> what learns."""
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    @property
    def causal(self) -> Any:
        """The model that answers, as the engine calls it."""
        return self.model if self._method == "full" else self.model.get_base_model()

    @property
    def virtual_inputs(self) -> int:
        """How many inputs of prompt tuning stand in front of each row in training."""
        return int(self.model.active_peft_config.num_virtual_tokens) if self._method == "prompt_tuning" else 0

    def before(self) -> Layers | None:
        """The keys and values that stand before every prompt, as they are now."""
        if self._method not in VIRTUAL:
            return None
        embeddings = self.model.get_prompt_embedding_to_save("default")
        return virtual_layers(self.causal, embeddings.detach(), self._method.upper())

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of what learns."""
        return {name: weight.detach().clone() for name, weight in self.parameters.items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Put a state back."""
        with torch.no_grad():
            for name, weight in self.parameters.items():
                weight.copy_(state[name])

    def save(self, target: Path, state: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write configuration and weights, those of a state if given, and nothing of where the base model lies."""
        if self._method == "full":
            with saving(target):
                self.model.save_pretrained(target, state_dict=state)
            remove([target / "generation_config.json"])
            _settle(target / MODEL_CONFIG, "_name_or_path", None)
            return
        with saving(target):
            self.model.save_pretrained(target, state_dict=state, save_embedding_layers=False)
        remove([target / "README.md"])
        _settle(target / ADAPTER_CONFIG, "base_model_name_or_path", self._name)

    def release(self) -> None:
        """Take the adapter off the base model again."""
        if self._method in LOW_RANK:
            self.model.unload()
        vars(self._base).pop("forward", None)  # TRL puts its own in front
        self._base.requires_grad_(False).eval()


def peft_config(train: Train, task_type: str) -> Any:
    """The PEFT configuration of a declared method."""
    if train.method == "prefix_tuning":
        return PrefixTuningConfig(task_type=task_type, num_virtual_tokens=train.virtual_tokens)
    if train.method == "prompt_tuning":
        return PromptTuningConfig(task_type=task_type, num_virtual_tokens=train.virtual_tokens)
    return LoraConfig(
        task_type=task_type,
        r=train.rank,
        lora_alpha=train.alpha,
        lora_dropout=train.dropout,
        target_modules=train.targets,
        use_rslora=train.method == "rslora",
        use_dora=train.method == "dora",
    )


def _with_adapter(base_model: Any, config: Any) -> Any:
    """The base model with an adapter around it; targets were not compared with it where its files do not name them."""
    try:
        return get_peft_model(base_model, config)
    except ValueError as error:
        if not isinstance(config, LoraConfig):
            raise
        modules, named = base_model.named_modules(), config.target_modules
        shown = named if isinstance(named, str) else ", ".join(sorted(named))
        known = {name.rpartition(".")[2] for name, module in modules if isinstance(module, torch.nn.Linear)}
        raise InvalidInputError(
            f"train.targets: {shown}: no LoRA can be added there; linear layers of "
            f"the base model: {', '.join(sorted(known - {'lm_head'}))} ({shorten(str(error), 200)})"
        ) from None


def _settle(path: Path, key: str, value: str | None) -> None:
    """Write `value` where a configuration says from where the base model came, and its modules in one order."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop(key, None)
    if isinstance(modules := config.get("target_modules"), list):
        config["target_modules"] = sorted(modules)  # PEFT keeps a set, whose order every process draws anew
    write_json(path, config if value is None else {**config, key: value})
