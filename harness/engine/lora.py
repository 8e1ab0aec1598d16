"""Low-rank updates added to a base layer's output by two small products, without merging and without module walks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import Linear, LoraLayer

Update = tuple[torch.Tensor, torch.Tensor, float]  # (in, rank), (rank, out), scaling


@dataclass(slots=True)
class ActiveAdapter:
    """Which adapter the layers add; None: the base model alone."""

    label: str | None = None


def switchable(peft_model: Any) -> ActiveAdapter | None:
    """Let every adapted layer add the adapter that the returned switch names; None: not all of them are plain LoRA.

    PEFT's own forward pass adds full-width temporaries and asks each layer for its state; this one gives the same
    sums. Layers that are more than a low-rank product (DoRA, LoRA of embeddings, biases of their own) stay PEFT's.
    """
    layers = [module for module in peft_model.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        vars(layer).pop("forward", None)  # of an earlier switch, which knows nothing of what was attached since
    plain = all(_is_plain(layer) for layer in layers)
    biased = any(getattr(config, "bias", "none") != "none" for config in peft_model.peft_config.values())
    if not layers or not plain or biased or peft_model.modules_to_save:
        return None
    active = ActiveAdapter()
    for layer in layers:
        updates = {
            label: (layer.lora_A[label].weight.t(), layer.lora_B[label].weight.t(), float(layer.scaling[label]))
            for label in layer.lora_A
        }
        layer.forward = partial(_forward, layer.base_layer, updates, active)
    return active


def _is_plain(layer: Any) -> bool:
    return (
        type(layer) is Linear
        and type(layer.base_layer) is torch.nn.Linear
        and not layer.merged
        and not layer.lora_variant
        and not layer.fan_in_fan_out
        and all(module.bias is None for module in layer.lora_B.values())
    )


def _forward(base: torch.nn.Linear, updates: dict[str, Update], active: ActiveAdapter, x: torch.Tensor) -> torch.Tensor:
    out = torch.nn.functional.linear(x, base.weight, base.bias)
    update = updates.get(active.label) if active.label is not None else None
    if update is not None:
        down, up, scaling = update
        out.view(-1, out.shape[-1]).addmm_(x.reshape(-1, x.shape[-1]) @ down, up, alpha=scaling)
    return out
