"""Adapters and base models in the files that PEFT and transformers write, made without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

HIDDEN, INNER, HEADS, KEYS, LAYERS, VOCABULARY = 8, 16, 2, 4, 2, 12
LINEAR = {  # of a layer: (outputs, inputs)
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (KEYS, HIDDEN),
    "self_attn.v_proj": (KEYS, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}
PREFIX = "base_model.model."
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
Shapes = dict[str, tuple[int, ...]]


def base_shapes(*, layers: int = LAYERS, tied: bool = True, biases: bool = False) -> Shapes:
    """The weights of a small Llama; with biases those of a small Qwen2."""
    shapes: Shapes = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for layer in range(layers):
        place = f"model.layers.{layer}"
        shapes |= {f"{place}.{name}.weight": shape for name, shape in LINEAR.items()}
        shapes |= {f"{place}.{name}.weight": (HIDDEN,) for name in ("input_layernorm", "post_attention_layernorm")}
        if biases:
            shapes |= {f"{place}.self_attn.{name}.bias": (LINEAR[f"self_attn.{name}"][0],) for name in ("q_proj",)}
    return shapes if tied else shapes | {"lm_head.weight": (VOCABULARY, HIDDEN)}


def model_config(*, tied: bool = True, architecture: str = "LlamaForCausalLM") -> dict[str, Any]:
    """What config.json says of it."""
    return {
        "architectures": [architecture],
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "model_type": "llama",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": 1,
        "tie_word_embeddings": tied,
        "vocab_size": VOCABULARY,
    }


def lora_config(**changes: Any) -> dict[str, Any]:
    """A whole adapter_config.json of peft 0.21; a change to `...` leaves the key out."""
    whole = {
        "alora_invocation_tokens": None,
        "alpha_pattern": {},
        "arrow_config": None,
        "auto_mapping": None,
        "base_model_name_or_path": "small",
        "bias": "none",
        "corda_config": None,
        "ensure_weight_tying": False,
        "eva_config": None,
        "exclude_modules": None,
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "kasa_config": None,
        "layer_replication": None,
        "layers_pattern": None,
        "layers_to_transform": None,
        "loftq_config": {},
        "lora_alpha": 8,
        "lora_bias": False,
        "lora_dropout": 0.05,
        "lora_ga_config": None,
        "megatron_config": None,
        "megatron_core": "megatron.core",
        "modules_to_save": None,
        "monteclora_config": None,
        "peft_type": "LORA",
        "peft_version": "0.21.2",
        "qalora_group_size": 16,
        "r": 2,
        "rank_pattern": {},
        "revision": None,
        "target_modules": ["q_proj", "v_proj"],
        "target_parameters": None,
        "task_type": "CAUSAL_LM",
        "trainable_token_indices": None,
        "use_bdlora": None,
        "use_dora": False,
        "use_qalora": False,
        "use_rslora": False,
        "velora_config": None,
    }
    return {key: value for key, value in (whole | changes).items() if value is not ...}


def virtual_config(kind: str, **changes: Any) -> dict[str, Any]:
    """A whole adapter_config.json of prefix or prompt tuning."""
    own = {"encoder_hidden_size": HIDDEN, "prefix_projection": False, "init_weights": None}
    if kind == "PROMPT_TUNING":
        own = dict.fromkeys(("prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"))
        own |= {"prompt_tuning_init": "RANDOM"}
    whole = {
        "auto_mapping": None,
        "base_model_name_or_path": "small",
        "inference_mode": True,
        "modules_to_save": None,
        "num_attention_heads": 1,
        "num_layers": LAYERS,
        "num_transformer_submodules": 1,
        "num_virtual_tokens": 3,
        "peft_type": kind,
        "peft_version": "0.21.2",
        "revision": None,
        "task_type": "CAUSAL_LM",
        "token_dim": HIDDEN,
        **own,
    }
    return whole | changes


def lora_shapes(*names: str, rank: int = 2, layers: int | range = LAYERS) -> Shapes:
    """The tensors of a LoRA on these linear layers (`q_proj`) of each layer."""
    shapes: Shapes = {}
    for layer in range(layers) if isinstance(layers, int) else layers:
        for path, (outputs, inputs) in LINEAR.items():
            if path.rpartition(".")[2] in names:
                place = f"{PREFIX}model.layers.{layer}.{path}"
                shapes |= {f"{place}.lora_A.weight": (rank, inputs), f"{place}.lora_B.weight": (outputs, rank)}
    return shapes


def random_tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Numbers for them, always the same."""
    chance = np.random.default_rng(1)
    return {name: chance.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def encode(array: np.ndarray, dtype: str) -> bytes:
    """The bytes of an array in a data type of safetensors; numpy has no bfloat16, which is half of a float32."""
    if dtype == "BF16":
        return (np.ascontiguousarray(array, dtype="<f4").view("<u4") >> 16).astype("<u2").tobytes()
    kinds = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I32": "<i4", "F8_E4M3": "u1"}
    return np.ascontiguousarray(array).astype(kinds[dtype]).tobytes()


def safetensors(
    tensors: Mapping[str, np.ndarray],
    *,
    dtype: str = "F32",
    metadata: Any = None,
    dtypes: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], bytes]:
    """The header and the data of a file; `dtypes` are those of single tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"} if metadata is None else metadata}
    data = b""
    for name, array in tensors.items():
        kind = (dtypes or {}).get(name, dtype)
        content = encode(array, kind)
        header[name] = {
            "dtype": kind,
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    return header, data


def write_file(path: Path, header: dict[str, Any] | bytes, data: bytes) -> None:
    """A safetensors file; a header in bytes is written as it is."""
    content = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes(len(content).to_bytes(8, "little") + content + data)


def write_base(folder: Path, shapes: Shapes | None = None, *, shards: int = 1, **config: Any) -> Path:
    """A base model of zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: np.zeros(shape, dtype=np.float32) for name, shape in (shapes or base_shapes()).items()}
    (folder / "config.json").write_text(json.dumps(model_config() | config))
    if shards == 1:
        write_file(folder / "model.safetensors", *safetensors(whole))
        return folder
    places = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: whole[name] for index, name in enumerate(whole) if index % shards == shard}
        places |= dict.fromkeys(part, file)
        write_file(folder / file, *safetensors(part))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def write_adapter(
    folder: Path, config: dict[str, Any] | None = None, shapes: Shapes | None = None, **settings: Any
) -> Path:
    """An adapter; without more a LoRA on q_proj and v_proj."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config or lora_config(), indent=2))
    tensors = random_tensors(shapes if shapes is not None else lora_shapes("q_proj", "v_proj"))
    write_file(folder / WEIGHTS, *safetensors(tensors, **settings))
    return folder
