"""Whether a server could load an adapter at all: told from its configuration, before anything is sent or placed.

What vLLM refuses when it loads an adapter (vllm/lora/peft_helper.py: `modules_to_save`, DoRA, biases, the rank), and
what it does not look at and would serve otherwise than it was judged (ranks and scalings of single modules, further
features of PEFT). Other servers of unmerged LoRA adapters take no more than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.engine.artefacts import ADAPTER_CONFIG, CLASSES, files_of, is_whole_model, read_json
from harness.errors import InvalidInputError
from harness.suite.systems import MOST_RANK

# Keys of PEFT's LoraConfig that change what an adapter computes, and why a server is not to load one with them.
UNSERVED = {
    "modules_to_save": "replaces whole layers of the base model, which servers do not",
    "use_dora": "is DoRA, which servers do not compute",
    **dict.fromkeys(
        (
            "alora_invocation_tokens",
            "alpha_pattern",
            "arrow_config",
            "kasa_config",
            "layer_replication",
            "lora_bias",
            "rank_pattern",
            "target_parameters",
            "trainable_token_indices",
            "use_bdlora",
            "use_qalora",
        ),
        "is not read by servers, which would answer otherwise than was judged",
    ),
}
UNSERVED_TARGETS = ("embed_tokens", "lm_head")


def refuse_unservable(folder: Path, *, max_lora_rank: int) -> None:
    """Refuse an adapter that a server of unmerged LoRA adapters could not serve as it was judged.

    Raises:
        InvalidInputError: naming the first feature that it could not serve.
    """
    files = files_of(folder)
    if is_whole_model(files):
        raise InvalidInputError(f"{folder}: a whole model, which a server is started with and does not load beside one")
    if CLASSES in files:
        raise InvalidInputError(f"{folder}: a classifier, whose head no chat server has")
    path = folder / ADAPTER_CONFIG
    config = read_json(path)
    if not isinstance(config, dict):
        raise InvalidInputError(f"{path}: must be a JSON object")
    if reason := next(_reasons(config, max_lora_rank), None):
        raise InvalidInputError(f"{path}: {reason}; merge it into the base model to serve it, or train it without")


def is_servable(folder: Path) -> bool:
    """Whether an engine of unmerged LoRA adapters answers with this one as it is."""
    try:
        refuse_unservable(folder, max_lora_rank=MOST_RANK)
    except InvalidInputError:
        return False
    return True


def base_named_by(folder: Path) -> str:
    """The base model that an adapter names, which vLLM's resolver compares with the name of its own; "" if none."""
    config = read_json(folder / ADAPTER_CONFIG)
    name = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    return name if isinstance(name, str) else ""


def _reasons(config: Mapping[str, Any], max_lora_rank: int) -> Iterator[str]:
    if config.get("peft_type") != "LORA":
        yield f"`peft_type` {config.get('peft_type')!r:.40} is no LoRA, and servers load nothing else"
    if config.get("task_type") not in (None, "CAUSAL_LM"):
        yield f"`task_type` {config.get('task_type')!r:.40} is no causal language model"
    if config.get("bias", "none") != "none":
        yield "`bias`: servers load no biases with an adapter"
    rank = config.get("r")
    if type(rank) is not int or rank < 1:
        yield "`r` is no rank"
    elif rank > max_lora_rank:
        yield f"`r` is {rank}, and the server's `max_lora_rank` {max_lora_rank}"
    for key, why in UNSERVED.items():
        if config.get(key):
            yield f"`{key}` {why}"
    targets = config.get("target_modules")
    for name in targets if isinstance(targets, list) else [targets]:
        if str(name).rpartition(".")[2] in UNSERVED_TARGETS:
            yield f"`target_modules` has {name}, which servers do not adapt"
