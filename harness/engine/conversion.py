"""From a quantised GGUF file to float32 safetensors, once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from harness.files import write_json


def convert_gguf(gguf: Path, target: Path, source: Mapping[str, str | int]) -> None:
    """Write a GGUF model as float32 safetensors with its tokenizer; `source` says where it comes from."""
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # A model loaded from GGUF refuses save_pretrained and training, so its weights go into a fresh one whose
    # configuration no longer says that it is quantised.
    settings = {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    # The folder is a temporary one, made durable and put in place by `harness.files.new_folder`.
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    write_json(target / "source.json", dict(source))
