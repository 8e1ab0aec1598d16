"""Admit the result of a training made elsewhere: read as bytes, without torch, before anything else believes it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.engine.artefacts import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CLASSES,
    MODEL_CONFIG,
    files_of,
    is_whole_model,
    parse_json,
)
from harness.errors import InvalidInputError
from harness.files import write_bytes
from harness.limits import CLASS_LABELS, TEXT_BYTES, WEIGHTS_BYTES
from harness.trust.adapter_configs import LowRank, read_config
from harness.trust.expected_tensors import (
    BaseWeights,
    Shapes,
    expected_head,
    expected_low_rank,
    expected_virtual,
)
from harness.trust.weight_files import (
    StoredTensor,
    compare_shapes,
    hash_finite,
    read_header,
    read_whole,
    shown,
)

# In a model's config.json these would run or choose code; others with an underscore are transformers' own state.
NEVER = {"auto_map", "quantization_config", "attn_implementation", "experts_implementation"}

Tensors = Mapping[str, Mapping[str, StoredTensor]]  # file -> name -> tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """An adapter, or a whole model, that was found to be what it says; `files` alone are it, whatever lies beside."""

    folder: Path
    files: Mapping[str, str]  # name -> SHA-256 of the bytes that were read
    base_name: str | None  # the base model that it names; noted, never trusted


def admit(folder: Path, base: BaseWeights) -> Admitted:
    """Read a result of a training and find it to be exactly what its configuration describes.

    Raises:
        InvalidInputError: it is anything else, naming the file and what in it; nothing of it was loaded.
    """
    names = files_of(folder)
    small, digests = {}, {}
    for name in names:
        if name.endswith(".json"):
            content = read_whole(folder / name, largest=TEXT_BYTES)
            small[name], digests[name] = parse_json(folder / name, content), hashlib.sha256(content).hexdigest()
    tensors = {name: read_header(folder / name) for name in names if name.endswith(".safetensors")}
    if is_whole_model(names):
        base_name = None
        _admit_whole_model(folder, small[MODEL_CONFIG], tensors, base)
    else:
        base_name = _admit_adapter(folder, small, tensors[ADAPTER_WEIGHTS], base)
    for name, stored in tensors.items():
        digests[name] = hash_finite(folder / name, stored)
    return Admitted(folder=folder, files={name: digests[name] for name in sorted(digests)}, base_name=base_name)


def _admit_adapter(
    folder: Path, small: Mapping[str, Any], tensors: Mapping[str, StoredTensor], base: BaseWeights
) -> str | None:
    path = folder / ADAPTER_CONFIG
    config = read_config(path, small[ADAPTER_CONFIG])
    if config.is_classifier != (CLASSES in small):
        raise InvalidInputError(
            f"{path}: `task_type` must be SEQ_CLS with a {CLASSES} beside it, the list of labels in the order of the "
            "head's rows, and CAUSAL_LM without"
        )
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if isinstance(config.method, LowRank):
        expected = expected_low_rank(config.method, base, found, folder)
    else:
        expected = expected_virtual(config.method, base, found)
    if config.is_classifier:
        expected |= expected_head(len(_labels(folder / CLASSES, small[CLASSES])), base, found)
    compare_shapes(folder / ADAPTER_WEIGHTS, expected, found)
    return config.base_name


def _labels(path: Path, value: Any) -> list[str]:
    texts = isinstance(value, list) and all(isinstance(label, str) for label in value)
    if not texts or len(set(value)) != len(value) or not 2 <= len(value) <= CLASS_LABELS:
        raise InvalidInputError(f"{path}: must be a list of 2 to {CLASS_LABELS:,} different texts, the labels")
    return list(value)


def _admit_whole_model(folder: Path, config: Any, tensors: Tensors, base: BaseWeights) -> None:
    """That it is a model of safetensors only, with the base's names and shapes; its settings the engine compares."""
    path = folder / MODEL_CONFIG
    if not isinstance(config, dict):
        raise InvalidInputError(f"{path}: must be a JSON object")
    for key in config:
        if key in NEVER or (key.startswith("_") and not key.endswith("name_or_path")):
            raise InvalidInputError(f"{path}: `{shown(key)}` is not read from a model that is judged; take it out")
    found: Shapes = {}
    for name, stored in tensors.items():
        if twice := sorted(set(found) & set(stored)):
            raise InvalidInputError(f"{folder / name}: tensor {shown(twice[0])} is in another file as well")
        found |= {key: tensor.shape for key, tensor in stored.items()}
    if not found:
        raise InvalidInputError(f"{folder / next(iter(tensors))}: holds no tensors")
    if base.shapes:
        compare_shapes(folder / next(iter(tensors)), dict(base.shapes), found)


def copy_admitted(admitted: Admitted, target: Path) -> None:
    """Copy the files that were admitted into a folder of the run, so that nothing can change what is judged.

    Raises:
        InvalidInputError: a file is no longer the one that was admitted.
    """
    for name, digest in admitted.files.items():
        content = read_whole(admitted.folder / name, largest=WEIGHTS_BYTES)
        if hashlib.sha256(content).hexdigest() != digest:
            raise InvalidInputError(
                f"{admitted.folder / name}: changed since it was read; run again when nothing writes to it"
            )
        write_bytes(target / name, content)
