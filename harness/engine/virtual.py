"""What prefix tuning and prompt tuning train: keys and values that stand before every prompt."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

from harness.engine.attention import Layers


@torch.inference_mode()
def virtual_layers(model: Any, embeddings: torch.Tensor, peft_type: str) -> Layers:
    """Keys and values, (1, heads, virtual tokens, dim) for each layer of the causal `model`.

    `embeddings` is what PEFT stores: for PREFIX_TUNING (tokens, layers x 2 x heads x dim), the keys and values
    themselves, after the rotation of positions (Li & Liang 2021); for PROMPT_TUNING (tokens, hidden), the inputs
    that take the first positions (Lester et al. 2021).
    """
    embeddings = embeddings.to(model.device, model.dtype)
    if peft_type == "PROMPT_TUNING":
        cache = DynamicCache()
        body = getattr(model, model.base_model_prefix)
        body(inputs_embeds=embeddings.unsqueeze(0), past_key_values=cache, use_cache=True)
        return [(layer.keys, layer.values) for layer in cache.layers]
    config = model.config.get_text_config()
    heads, dim = config.num_key_value_heads, _head_dim(config)
    stacked = embeddings.view(len(embeddings), config.num_hidden_layers, 2, heads, dim).permute(1, 2, 3, 0, 4)
    return [(keys.unsqueeze(0).contiguous(), values.unsqueeze(0).contiguous()) for keys, values in stacked]


def stored_shape(model: Any, peft_type: str, tokens: int) -> tuple[int, int]:
    """The shape of the one tensor that PEFT stores for so many virtual tokens of this model."""
    config = model.config.get_text_config()
    if peft_type == "PROMPT_TUNING":
        return tokens, int(config.hidden_size)
    return tokens, int(config.num_hidden_layers * 2 * config.num_key_value_heads * _head_dim(config))


def _head_dim(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
