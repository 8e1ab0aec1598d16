"""Load weights and tokenizer from a local folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from harness.engine.attention import refuse_other_attention
from harness.errors import InvalidInputError


@dataclass(slots=True)
class LoadedModel:
    """A base model in memory. `model` may carry adapters later; `base_folder` holds its pristine files."""

    model: Any
    tokenizer: Any
    base_folder: Path
    name: str

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device


def load(name: str, folder: Path) -> LoadedModel:
    """Load weights in float32 and the tokenizer; never runs code from the folder, never reads pickles."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise InvalidInputError(f"{name}: the tokenizer has no chat template; use an instruct model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True, attn_implementation="sdpa"
    )
    refuse_other_attention(model, name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return LoadedModel(model=model.to(device).eval(), tokenizer=tokenizer, base_folder=folder, name=name)


def load_quantised(base: LoadedModel, bits: str) -> LoadedModel:
    """A copy of the base model in 4-bit NormalFloat or in 8 bits, to train an adapter on (QLoRA, arXiv 2305.14314)."""
    settings = (
        BitsAndBytesConfig(load_in_8bit=True)
        if bits == "8bit"
        else BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )
    )
    model = AutoModelForCausalLM.from_pretrained(
        base.base_folder,
        dtype=torch.float32,
        trust_remote_code=False,
        use_safetensors=True,
        attn_implementation="sdpa",
        quantization_config=settings,
    )
    return replace(base, model=model.eval())
