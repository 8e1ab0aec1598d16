"""Load weights and tokenizer from a local folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from harness.engine.artefacts import ADAPTER_CONFIG, shards_of
from harness.engine.attention import refuse_other_attention
from harness.engine.ends import end_tokens
from harness.errors import InvalidInputError
from harness.limits import MODEL_JSON_BYTES, TEXT_BYTES, TOKENIZER_BYTES, WEIGHTS_BYTES

# What transformers reads of a folder, by name, and how much of it may be there.
READ_WHOLE = {
    **dict.fromkeys(("config.json", "generation_config.json", "model.safetensors.index.json"), MODEL_JSON_BYTES),
    **dict.fromkeys(("tokenizer*", "vocab*", "merges.txt", "*_tokens*.json", "*.model", "spiece*"), TOKENIZER_BYTES),
    **dict.fromkeys(("chat_template*", "additional_chat_templates/*"), TEXT_BYTES),
    "model*.safetensors": WEIGHTS_BYTES,
}


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


# What transformers says of files that are not what they should be, in one class or another.
LOADING_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError, SafetensorError)


def load(name: str, folder: Path) -> LoadedModel:
    """Load weights in float32 and the tokenizer; never runs code from the folder, never reads pickles.

    Raises:
        InvalidInputError: files that are over a limit, that lead out of the folder, or that transformers cannot load
            without code of their own.
        torch.OutOfMemoryError: the weights do not fit.
    """
    _refuse_oversized(folder)
    _refuse_elsewhere(folder)
    with _in_words(name, folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise InvalidInputError(f"{name}: the tokenizer has no chat template; use an instruct model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.end_ids = end_tokens(folder, int(tokenizer.eos_token_id))
    with _in_words(name, folder):
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True, attn_implementation="sdpa"
        )
    refuse_other_attention(model, name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return LoadedModel(model=model.to(device).eval(), tokenizer=tokenizer, base_folder=folder, name=name)


def _refuse_oversized(folder: Path) -> None:
    for pattern, most in READ_WHOLE.items():
        for path in sorted(folder.glob(pattern)):
            if path.is_file() and (size := path.stat().st_size) > most:
                raise InvalidInputError(f"{path}: {size:,} bytes, and such a file may have {most:,}")


def _refuse_elsewhere(folder: Path) -> None:
    """Weights are read from this folder alone, as its digest covers no other."""
    shards_of(folder)
    if (folder / ADAPTER_CONFIG).exists():
        raise InvalidInputError(
            f"{folder / ADAPTER_CONFIG}: with an adapter beside it, transformers loads the model that the adapter "
            "names and not this one; keep the adapter in a folder of its own"
        )


@contextlib.contextmanager
def _in_words(name: str, folder: Path) -> Iterator[None]:
    """Say which model it is that transformers cannot load."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except LOADING_FAULTS as error:
        why = str(error).strip().partition("\n")[0]
        raise InvalidInputError(
            f"{name}: transformers cannot load {folder}: {type(error).__name__}: {why}; name a model whose files are "
            "whole and whose architecture transformers has, since no code of a model is run"
        ) from error


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
