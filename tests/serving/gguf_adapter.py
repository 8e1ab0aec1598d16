"""A PEFT LoRA adapter of a Llama model as the GGUF that llama.cpp loads beside the model."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

# PEFT's module -> GGUF's tensor (llama.cpp, convert_lora_to_gguf.py); the demo's adapter has no others.
NAMES = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output"}


def write_gguf_adapter(adapter: Path, model: Path, target: Path) -> Path:
    """Write the adapter in `adapter`, made for the Llama model in `model`, as one GGUF file."""
    config = json.loads((model / "config.json").read_text())
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_type("adapter")
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(
        gguf.Keys.Adapter.LORA_ALPHA, float(json.loads((adapter / "adapter_config.json").read_text())["lora_alpha"])
    )
    for name, tensor in sorted(load_file(adapter / "adapter_model.safetensors").items()):
        *_, layer, _, module, matrix, _ = name.split(".")  # ...layers.0.self_attn.q_proj.lora_A.weight
        heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
        if matrix == "lora_B" and module in heads:
            tensor = _interleave(tensor, heads[module])
        writer.add_tensor(f"blk.{layer}.{NAMES[module]}.weight.{matrix.lower()}", np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _interleave(rows: np.ndarray, heads: int) -> np.ndarray:
    """The order of a head's rows in GGUF, where the two halves that RoPE turns together alternate."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
