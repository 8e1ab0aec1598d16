"""Attention over a prefix that all rows share, computed once for all of them, and over each row's own tokens.

Both parts are exact softmax attention; they are merged by their log-sum-exp, so the keys and values of the prefix
are neither copied nor repeated for the rows. Source: Juravsky et al. 2024, Hydragen (arXiv 2402.05099).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import AttentionInterface

from harness.errors import BrokenRunError, InvalidInputError

SHARED_PREFIX = "harness_shared_prefix"
NOT_PLAIN = ("softcap", "s_aux", "position_bias", "sliding_window")
Layers = Sequence[tuple[torch.Tensor, torch.Tensor]]  # keys and values of each layer, (1, heads, tokens, dim)


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    prefix: Layers | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of (rows, heads, tokens, dim) queries, in the signature that transformers calls.

    `attention_mask` is additive, (rows, 1, tokens, own keys); without it the own part is causal. Every query sees
    all of `prefix`. Returns (rows, tokens, heads, dim).

    Raises:
        BrokenRunError: the layer asks for something that is not plain attention.
    """
    if asked := [name for name in NOT_PLAIN if settings.get(name) is not None]:
        raise BrokenRunError(f"the model's attention needs {asked[0]}, which the engine does not have")
    rows, heads, tokens, dim = query.shape
    kv_heads = key.shape[1]
    # The query heads of one key head stand beside each other as if they were tokens, so that no key is repeated.
    packed = query.reshape(rows, kv_heads, -1, dim)
    if tokens == 1:
        mask = None if attention_mask is None else attention_mask.expand(rows, 1, heads // kv_heads, -1)
        own, own_lse = _with_lse(packed, key, value, mask=mask, causal=False, scale=scaling)
    else:
        repeat = heads // kv_heads
        keys, values = key.repeat_interleave(repeat, dim=1), value.repeat_interleave(repeat, dim=1)
        causal = attention_mask is None
        own, own_lse = _with_lse(query, keys, values, mask=attention_mask, causal=causal, scale=scaling)
    own, own_lse = own.reshape(rows, heads, tokens, dim), own_lse.reshape(rows, heads, tokens)
    if prefix is not None:
        folded = packed.transpose(0, 1).reshape(1, kv_heads, -1, dim)
        shared, lse = _with_lse(folded, *prefix[module.layer_idx], mask=None, causal=False, scale=scaling)
        shared = shared.reshape(kv_heads, rows, -1, dim).transpose(0, 1).reshape(rows, heads, tokens, dim)
        lse = lse.reshape(kv_heads, rows, -1).transpose(0, 1).reshape(rows, heads, tokens)
        own = torch.lerp(shared, own, torch.sigmoid(own_lse - lse).unsqueeze(-1).to(own.dtype))
    return own.transpose(1, 2).contiguous(), None


@contextlib.contextmanager
def shared_prefix_attention(model: Any) -> Iterator[None]:
    """Let a causal model attend by `attend`, and by its own attention again afterwards."""
    before = model.config._attn_implementation
    model.config._attn_implementation = SHARED_PREFIX
    try:
        yield
    finally:
        model.config._attn_implementation = before


def refuse_other_attention(model: Any, name: str) -> None:
    """Refuse a model whose layers do not all see every earlier token, which `attend` would give silently.

    Raises:
        InvalidInputError: naming the kind of layer.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"]) - {"full_attention"}
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if window is not None and not getattr(config, "layer_types", None):
        kinds.add("sliding_attention")
    if kinds:
        raise InvalidInputError(
            f"{name}: its layers are of kind {', '.join(sorted(kinds))}; the engine scores models with full "
            "attention in every layer (Llama, Qwen, SmolLM, Granite, Mistral from 0.2 on)"
        )


def _with_lse(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    mask: torch.Tensor | None,
    causal: bool,
    scale: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention and the log-sum-exp of its scores."""
    if query.device.type == "cpu":
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, lse = kernel(query, key, value, 0.0, causal, attn_mask=mask, scale=scale)
        return out, lse
    return plain_with_lse(query, key, value, mask=mask, causal=causal, scale=scale)


def plain_with_lse(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    mask: torch.Tensor | None,
    causal: bool,
    scale: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention and the log-sum-exp of its scores by their definition, where there is no kernel that gives both."""
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(ahead, -torch.inf)
    if mask is not None:
        scores = scores + mask
    lse = torch.logsumexp(scores.float(), dim=-1)
    return torch.exp(scores - lse.unsqueeze(-1)).to(value.dtype) @ value, lse


AttentionInterface.register(SHARED_PREFIX, attend)
