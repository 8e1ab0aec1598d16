"""What a training leaves in a folder, told apart by its files before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import InvalidInputError
from harness.limits import MODEL_JSON_BYTES, read_within
from harness.strict_json import StrictJsonError, parse

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MODEL_CONFIG = "config.json"
MODEL_WEIGHTS = "model.safetensors"
MODEL_INDEX = "model.safetensors.index.json"  # of a model whose weights are in several files
CLASSES = "classes.json"  # the labels of a classifier, in the order of its head's rows
PICKLED = ("adapter_model.bin", "pytorch_model.bin")
VIRTUAL_TYPES = ("PREFIX_TUNING", "PROMPT_TUNING")  # what PEFT calls adapters that stand before every prompt


def files_of(folder: Path) -> tuple[str, ...]:
    """The names of the files that are the result of a training; whatever else lies beside them is not looked at.

    A PEFT adapter (Axolotl, LLaMA-Factory, TRL and Unsloth write the same two files), with `classes.json` when it
    is a classifier, or a whole model's `config.json` and safetensors.

    Raises:
        InvalidInputError: the folder holds neither, or weights as a pickle.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if ADAPTER_CONFIG in names and ADAPTER_WEIGHTS in names:
        return (ADAPTER_CONFIG, ADAPTER_WEIGHTS) + ((CLASSES,) if CLASSES in names else ())
    weights = [name for name in names if name.endswith(".safetensors") and name != ADAPTER_WEIGHTS]
    if ADAPTER_CONFIG not in names and MODEL_CONFIG in names and weights:
        return (MODEL_CONFIG, *weights)
    for name in PICKLED:
        if name in names:
            raise InvalidInputError(
                f"{folder / name}: weights as a pickle can run code and are not read; "
                "save them again with `save_pretrained(..., safe_serialization=True)`"
            )
    raise InvalidInputError(
        f"{folder}: neither an adapter folder ({ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}) "
        f"nor a model folder ({MODEL_CONFIG} and *.safetensors)"
    )


def is_whole_model(files: tuple[str, ...]) -> bool:
    """Whether these files are a whole model and not an adapter."""
    return MODEL_CONFIG in files


def shards_of(folder: Path) -> tuple[str, ...]:
    """The names of the files that a model's weights are in.

    Raises:
        InvalidInputError: the list of them names what is not a visible file of the folder itself.
    """
    path = folder / MODEL_INDEX
    if not path.is_file():
        return (MODEL_WEIGHTS,)
    index = read_json(path)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(f, str) and _is_plain_name(f) for f in places.values()):
        raise InvalidInputError(f"{path}: `weight_map` must name files of this folder")
    return tuple(sorted(set(places.values())))


def _is_plain_name(name: str) -> bool:
    return name == Path(name).name and not name.startswith(".")


def read_json(path: Path) -> Any:
    """A JSON file of a model.

    Raises:
        InvalidInputError: it cannot be read, or is not strict JSON.
    """
    try:
        return parse_json(path, read_within(path, MODEL_JSON_BYTES))
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from None


def parse_json(path: Path, content: bytes) -> Any:
    """The JSON value in the bytes of a file.

    Raises:
        InvalidInputError: they are not strict JSON.
    """
    try:
        return parse(content.decode("utf-8"))
    except (UnicodeDecodeError, StrictJsonError) as error:
        raise InvalidInputError(f"{path}: not strict JSON: {error}") from None
