"""What an adapter_config.json may say: each key of PEFT's that is judged, with what it may hold; all else is refused.

The keys are those of LoraConfig, PrefixTuningConfig and PromptTuningConfig of peft 0.21. What changes the base model,
or needs more than the tensors of the adapter, may only be there with the value that switches it off.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engine.artefacts import VIRTUAL_TYPES
from harness.errors import InvalidInputError
from harness.limits import ALPHA, MODULE_NAMES, RANK, VIRTUAL_TOKENS
from harness.trust.weight_files import shown

MOST_LETTERS = 1000  # of a text
LAYERS_PATTERNS = 10
ALL_LINEAR = "all-linear"

_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")  # of a module: no regular expression but itself
_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LIBRARY = re.compile(r"transformers\.models(\.[a-z0-9_]+)+")

Rule = tuple[Callable[[Any], bool], str]  # whether a value is right, and what it must be


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """A LoRA, rsLoRA or DoRA adapter as its configuration describes it; module names match as PEFT matches them."""

    rank: int
    targets: frozenset[str] | None  # None: all linear layers
    excluded: frozenset[str] = frozenset()
    layers: frozenset[int] = frozenset()  # empty: all
    layers_patterns: tuple[str, ...] = ()
    # Module -> (place in the file, its own rank); where several fit, the first counts.
    ranks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    dora: bool = False
    lora_bias: bool = False
    trains_biases: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Virtual:
    """Prefix tuning or prompt tuning: one tensor that stands before every prompt."""

    peft_type: str
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """A configuration that was found to be judged as it stands."""

    method: LowRank | Virtual
    base_name: str | None  # what it says of its base model; noted, never trusted
    is_classifier: bool


def read_config(path: Path, value: Any) -> AdapterConfig:
    """The adapter that the JSON value of a file describes.

    Raises:
        InvalidInputError: naming the file, the key and what it must be.
    """
    if not isinstance(value, dict):
        raise InvalidInputError(f"{path}: must be a JSON object")
    kind = value.get("peft_type")
    if not isinstance(kind, str) or kind not in _RULES:
        raise InvalidInputError(f"{path}: `peft_type` is {shown(kind)}; it must be one of {', '.join(_RULES)}")
    rules = _RULES[kind]
    for key, item in value.items():
        if key in rules:
            test, words = rules[key]
            if not test(item):
                raise InvalidInputError(f"{path}: `{key}` is {shown(item)}; it must be {words}")
        elif not _is_off(item):
            raise InvalidInputError(
                f"{path}: `{shown(key)}` is {shown(item)}, and no setting of {kind} that is judged; take it out"
            )
    for key in _REQUIRED[kind]:
        if value.get(key) is None:
            raise InvalidInputError(f"{path}: `{key}` is missing")
    if kind == "LORA":
        _refuse_combinations(path, value)
    return AdapterConfig(
        method=_low_rank(value) if kind == "LORA" else Virtual(peft_type=kind, tokens=value["num_virtual_tokens"]),
        base_name=value.get("base_model_name_or_path") or None,
        is_classifier=value.get("task_type") == "SEQ_CLS",
    )


def _refuse_combinations(path: Path, value: Mapping[str, Any]) -> None:
    """What PEFT refuses as well."""
    layers, patterns = value.get("layers_to_transform"), value.get("layers_pattern")
    if value["target_modules"] == ALL_LINEAR and (layers is not None or patterns is not None):
        raise InvalidInputError(f"{path}: `layers_to_transform` needs names in `target_modules`, not `{ALL_LINEAR}`")
    if patterns and layers is None:
        raise InvalidInputError(f"{path}: `layers_pattern` needs `layers_to_transform`")
    if value.get("lora_bias") and (value.get("use_dora") or isinstance(value.get("init_lora_weights"), str)):
        raise InvalidInputError(f"{path}: `lora_bias` goes neither with `use_dora` nor with another beginning")


def _low_rank(value: Mapping[str, Any]) -> LowRank:
    layers, patterns = value.get("layers_to_transform"), value.get("layers_pattern") or []
    targets = value["target_modules"]
    return LowRank(
        rank=value["r"],
        targets=None if targets == ALL_LINEAR else frozenset(targets),
        excluded=frozenset(value.get("exclude_modules") or ()),
        layers=frozenset([layers] if isinstance(layers, int) else layers or ()),
        layers_patterns=(patterns,) if isinstance(patterns, str) else tuple(patterns),
        ranks={name: (place, rank) for place, (name, rank) in enumerate(value.get("rank_pattern", {}).items())},
        dora=bool(value.get("use_dora")),
        lora_bias=bool(value.get("lora_bias")),
        trains_biases=value.get("bias", "none") != "none",
    )


def _is_off(value: Any) -> bool:
    return value is None or value is False or value in ("", [], {})


def _is_number(value: Any) -> bool:
    if type(value) is int:
        return abs(value) < 2**63  # of one that is too large for a float, `isfinite` cannot say
    return type(value) is float and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MOST_LETTERS and value.isprintable()


def _is_name(value: Any) -> bool:
    return _is_text(value) and _NAME.fullmatch(value) is not None


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MODULE_NAMES and all(map(_is_name, value))


def _are_layers(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return len(numbers) <= MODULE_NAMES and all(type(item) is int and 0 <= item < MODULE_NAMES for item in numbers)


def _is_mapping(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and _are_names(list(value)) and all(map(test, value.values()))


def _is_whole(largest: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and 1 <= value <= largest


def _is_alpha(value: Any) -> bool:
    return _is_number(value) and 0 < value <= ALPHA


def _is_auto_mapping(value: Any) -> bool:
    """What PEFT notes when it is told no task, and Unsloth always; only classes of transformers may be named."""
    if value is None:
        return True
    if not isinstance(value, dict) or set(value) - {"base_model_class", "parent_library", "unsloth_fixed"}:
        return False
    named, library = value.get("base_model_class"), value.get("parent_library")
    return (
        (named is None or (_is_text(named) and _CLASS.fullmatch(named) is not None))
        and (library is None or (_is_text(library) and _LIBRARY.fullmatch(library) is not None))
        and isinstance(value.get("unsloth_fixed", False), bool)
    )


def _is_eva_config(value: Any) -> bool:
    """How EVA chose the weights that a training began with (arXiv 2410.07170), which changes nothing afterwards."""
    return value is None or (
        isinstance(value, dict)
        and set(value) <= {"rho", "tau", "use_label_mask", "label_mask_value", "whiten", "adjust_scaling_factors"}
        and all(isinstance(item, bool) or _is_number(item) for item in value.values())
    )


def _optional(rule: Rule) -> Rule:
    test, words = rule
    return (lambda value: value is None or test(value)), f"{words}, or null"


def _one_of(*values: Any) -> Rule:
    # By type too, since True equals 1.
    return (
        lambda value: any(type(value) is type(item) and value == item for item in values),
        "one of " + ", ".join("null" if item is None else str(item) for item in values),
    )


_OFF: Rule = (_is_off, "null: what it switches on is not judged")
_FLAG: Rule = (lambda value: isinstance(value, bool), "true or false")
_TEXT: Rule = _optional((_is_text, f"a text of up to {MOST_LETTERS} printable characters"))
_NAMES: Rule = (_are_names, f"a list of up to {MODULE_NAMES:,} names of modules (no regular expressions)")
_COUNT: Rule = _optional((_is_whole(2**31), "a whole number from 1 on"))
_RANK: Rule = (_is_whole(RANK), f"a whole number from 1 to {RANK}")
_ALPHA: Rule = (_is_alpha, f"a number above 0 and up to {ALPHA:,}")

_COMMON: dict[str, Rule] = {
    "peft_type": ((lambda value: True), ""),  # by which the rules were chosen
    "task_type": _one_of(None, "CAUSAL_LM", "SEQ_CLS"),
    "auto_mapping": (_is_auto_mapping, "null, or name a class of `transformers.models`"),
    "peft_version": _TEXT,
    "base_model_name_or_path": _TEXT,
    "revision": _TEXT,
    "inference_mode": _FLAG,
}
_LOW_RANK: dict[str, Rule] = {
    **_COMMON,
    "r": _RANK,
    "lora_alpha": _ALPHA,
    "lora_dropout": ((lambda value: _is_number(value) and 0 <= value < 1), "a number from 0 to below 1"),
    "target_modules": (
        lambda value: value == ALL_LINEAR or (_are_names(value) and len(value) > 0),
        f"`{ALL_LINEAR}` or a list of names of modules (no regular expression)",
    ),
    "exclude_modules": _optional(_NAMES),
    "layers_to_transform": _optional((_are_layers, "a number of a layer, or a list of them")),
    "layers_pattern": _optional(
        (
            lambda value: value == "" or _is_name(value) or (_are_names(value) and len(value) <= LAYERS_PATTERNS),
            f"a name, or up to {LAYERS_PATTERNS} (no regular expressions)",
        )
    ),
    "rank_pattern": (_is_mapping(_RANK[0]), f"names of modules with {_RANK[1]} each (no regular expressions)"),
    "alpha_pattern": (_is_mapping(_ALPHA[0]), f"names of modules with {_ALPHA[1]} each (no regular expressions)"),
    "fan_in_fan_out": _FLAG,
    "bias": _one_of("none", "all", "lora_only"),
    "use_rslora": _FLAG,
    "use_dora": _FLAG,
    "lora_bias": _FLAG,
    # The others (pissa, olora, corda, loftq, lora_ga) train on a base model with other weights, and PEFT changes the
    # base model in memory when it loads them; converted by `save_pretrained` they are plain LoRA and say true.
    "init_lora_weights": _one_of(True, False, "gaussian", "orthogonal", "eva"),
    "eva_config": (_is_eva_config, "null, or EVA's own settings"),
    "loftq_config": _OFF,
    # Its head is a tensor of its own, which `classes.json` tells the rows of.
    "modules_to_save": (
        lambda value: (
            value is None or (isinstance(value, list) and all(item in ("score", "classifier") for item in value))
        ),
        "null, or the head of a classifier: whole layers of the base model are not replaced",
    ),
    "megatron_core": _one_of(None, "megatron.core"),
    "qalora_group_size": _COUNT,
    "runtime_config": ((lambda value: _is_off(value) or value == {"ephemeral_gpu_offload": False}), "empty"),
    **dict.fromkeys(
        (
            "alora_invocation_tokens",
            "arrow_config",
            "corda_config",
            "ensure_weight_tying",
            "kasa_config",
            "layer_replication",
            "lora_ga_config",
            "megatron_config",
            "monteclora_config",
            "target_parameters",
            "trainable_token_indices",
            "use_bdlora",
            "use_qalora",
            "velora_config",
        ),
        _OFF,
    ),
}
_VIRTUAL: dict[str, Rule] = {
    **_COMMON,
    "num_virtual_tokens": (_is_whole(VIRTUAL_TOKENS), f"a whole number from 1 to {VIRTUAL_TOKENS}"),
    **dict.fromkeys(("token_dim", "num_attention_heads", "num_layers"), _COUNT),
    "num_transformer_submodules": _one_of(None, 1),
    "modules_to_save": _OFF,
}
_RULES: dict[str, dict[str, Rule]] = {
    "LORA": _LOW_RANK,
    "PREFIX_TUNING": {
        **_VIRTUAL,
        "encoder_hidden_size": _COUNT,
        "prefix_projection": _FLAG,  # what is stored is what came out of the projection
        "init_weights": _one_of(None, "zero"),
    },
    "PROMPT_TUNING": {
        **_VIRTUAL,
        "prompt_tuning_init": _one_of(None, "RANDOM", "TEXT", "SAMPLE_VOCAB"),
        "prompt_tuning_init_text": _TEXT,
        "tokenizer_name_or_path": _TEXT,
        "tokenizer_kwargs": _OFF,  # a server would call transformers with them
    },
}
_REQUIRED = {
    "LORA": ("r", "lora_alpha", "target_modules"),
    **dict.fromkeys(VIRTUAL_TYPES, ("num_virtual_tokens",)),
}
