"""Results of trainings around one base model: attached, told apart by form, switched without reloading."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from peft import PeftConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load

from harness.engine.artefacts import (
    ADAPTER_CONFIG,
    CLASSES,
    MODEL_CONFIG,
    VIRTUAL_TYPES,
    is_whole_model,
    parse_json,
)
from harness.engine.attention import Layers
from harness.engine.generate import prefix_length
from harness.engine.loading import LoadedModel
from harness.engine.lora import ActiveAdapter, switchable
from harness.engine.virtual import stored_shape, virtual_layers
from harness.errors import BrokenRunError, InvalidInputError

HEAD = "base_model.model.score.weight"  # of a classifier, (classes, hidden)
VIRTUAL = "prompt_embeddings"
# What the weights were before the training is past, and some ways to begin change the base model when they are loaded.
BEGUN = {"init_lora_weights", "eva_config", "loftq_config", "runtime_config"}
# Where a file lies, who wrote it and how it was stored do not change what a model computes.
NOT_COMPUTED = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A causal model as one arm answers with it: what runs, and what stands before every prompt."""

    model: Any
    before: Layers | None = None


@dataclass(frozen=True, slots=True)
class ClassHead:
    """The head of a classifier: its labels and one row of weights, (classes, hidden), for each."""

    labels: tuple[str, ...]
    weight: torch.Tensor


class TunedModels:
    """The base model with named results of trainings; the base weights are never changed, only set aside."""

    def __init__(self, base: LoadedModel) -> None:
        self._base = base
        self._own = dict(base.model.named_parameters())  # before an adapter renames them
        self._untouched: list[tuple[int, int]] = []  # what they were before the first adapter
        self._peft: PeftModel | None = None
        self._switch: ActiveAdapter | None = None  # while all adapters are plain LoRA
        self._labels: dict[str, str] = {}  # a system may have a name that no module can have
        self._virtual: dict[str, Layers] = {}
        self._weights: dict[str, dict[str, torch.Tensor]] = {}
        self.heads: dict[str, ClassHead] = {}

    def attach(self, name: str, folder: Path, files: Mapping[str, str]) -> None:
        """Load the result in `folder` under `name`, leaving the base weights and other results alone.

        Raises:
            InvalidInputError: files missing, a tensor that is not finite, or tensors that are not exactly those
                of what the configuration describes for this base model.
            BrokenRunError: a file is not the one of `files` (file -> SHA-256), or the base weights changed.
        """
        settings: dict[str, Any] = {}
        tensors: dict[str, torch.Tensor] = {}
        for file, digest in files.items():
            content = _read(folder / file, digest)
            if file.endswith(".safetensors"):
                tensors |= load(content)
            else:
                settings[file] = parse_json(folder / file, content)
        if broken := [key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]:
            raise InvalidInputError(f"{folder}: {len(broken)} tensors are not finite, the first is {broken[0]}")
        if is_whole_model(tuple(files)):
            self._attach_weights(name, folder, settings[MODEL_CONFIG], tensors)
            return
        declared = {key: value for key, value in settings[ADAPTER_CONFIG].items() if key not in BEGUN}
        with _in_words(folder):
            config = PeftConfig.from_peft_type(**declared)
        if CLASSES in files:
            self.heads[name] = self._class_head(folder, settings[CLASSES], tensors)
            config.task_type, config.modules_to_save = "CAUSAL_LM", None
        if str(config.peft_type.value) in VIRTUAL_TYPES:
            self._attach_virtual(name, folder, config, tensors)
        else:
            self._untouched = self._untouched or _fingerprint(self._own)
            self._attach_peft(name, folder, config, tensors)
            if _fingerprint(self._own) != self._untouched:
                raise BrokenRunError(f"{folder}: loading it changed the base model's own weights; nothing was judged")

    def _attach_weights(self, name: str, folder: Path, config: Any, tensors: dict[str, torch.Tensor]) -> None:
        ours = self._base.model.config.to_dict()
        with _in_words(folder):
            # The class is the base's, whatever the file says; so what the file says is compared apart.
            theirs = type(self._base.model.config).from_dict(config).to_dict()
        theirs["model_type"] = config.get("model_type")
        differing = [key for key in sorted(set(ours) | set(theirs)) if ours.get(key) != theirs.get(key)]
        if changed := [key for key in differing if key not in NOT_COMPUTED]:
            raise InvalidInputError(
                f"{folder / 'config.json'}: `{changed[0]}` is not the base model's; "
                "a whole model is judged as this base model with other weights"
            )
        _refuse_difference(folder, self._own, tensors)
        device, dtype = self._base.device, self._base.model.dtype
        self._weights[name] = {key: tensor.to(device, dtype) for key, tensor in tensors.items()}

    def _attach_virtual(self, name: str, folder: Path, config: Any, tensors: dict[str, torch.Tensor]) -> None:
        kind = str(config.peft_type.value)
        shape = stored_shape(self._base.model, kind, config.num_virtual_tokens)
        _refuse_difference(folder, {VIRTUAL: torch.empty(shape, device="meta")}, tensors)
        with self._adapted(None) as model:
            self._virtual[name] = virtual_layers(model, tensors[VIRTUAL], kind)

    def _attach_peft(self, name: str, folder: Path, config: Any, tensors: dict[str, torch.Tensor]) -> None:
        config.inference_mode = True
        label = self._labels.setdefault(name, f"arm{len(self._labels)}")
        with _in_words(folder):
            if self._peft is None:
                self._peft = PeftModel(self._base.model, config, adapter_name=label)
            else:
                self._peft.add_adapter(label, config)
        expected = get_peft_model_state_dict(self._peft, adapter_name=label, save_embedding_layers=False)
        # By storage: PEFT hands the base model's own biases out as part of such an adapter, and loads over them.
        own = {weight.data_ptr() for weight in self._own.values()}
        if biases := [key for key, tensor in expected.items() if tensor.data_ptr() in own]:
            raise InvalidInputError(
                f"{folder}: the adapter replaces {len(biases)} of the base model's own biases, the first is "
                f"{biases[0]}, for every other arm as well; train it with `bias: none`"
            )
        _refuse_difference(folder, expected, tensors)
        # Names and shapes agree, so this touches nothing but the adapter.
        set_peft_model_state_dict(self._peft, tensors, adapter_name=label)
        self._peft.requires_grad_(False).eval()
        self._switch = switchable(self._peft)

    def _class_head(self, folder: Path, labels: Any, tensors: dict[str, torch.Tensor]) -> ClassHead:
        """Take the head out of a classifier's tensors, which leaves an adapter."""
        texts = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        if not texts or len(set(labels)) != len(labels):
            raise InvalidInputError(f"{folder / CLASSES}: must be a list of different texts, the labels")
        shape = (len(labels), self._base.model.config.get_text_config().hidden_size)
        head = {HEAD: tensors.pop(HEAD)} if HEAD in tensors else {}
        _refuse_difference(folder, {HEAD: torch.empty(shape, device="meta")}, head)
        return ClassHead(tuple(labels), head[HEAD].to(self._base.device, self._base.model.dtype))

    def virtual_tokens(self, name: str | None) -> int:
        """How many virtual tokens a result puts before every prompt."""
        return prefix_length(self._virtual.get(name)) if name is not None else 0

    @contextlib.contextmanager
    def using(self, name: str | None) -> Iterator[ReadyModel]:
        """The model with one result in effect, or the base model itself."""
        if name in self._weights:
            with self._adapted(None) as model, _swapped(self._own, self._weights[name]):
                yield ReadyModel(model)
        elif name in self._virtual:
            with self._adapted(None) as model:
                yield ReadyModel(model, self._virtual[name])
        elif name is None or name in self._labels:
            with self._adapted(name) as model:
                yield ReadyModel(model)
        else:
            raise KeyError(f"nothing named {name} is attached")

    @contextlib.contextmanager
    def _adapted(self, name: str | None) -> Iterator[Any]:
        """The causal model with one PEFT adapter active, or none."""
        if self._peft is None:
            yield self._base.model
        elif self._switch is not None:
            self._switch.label = None if name is None else self._labels[name]
            yield self._peft.get_base_model()
        elif name is None:
            with self._peft.disable_adapter():
                yield self._peft.get_base_model()
        else:
            self._peft.set_adapter(self._labels[name])
            yield self._peft.get_base_model()


def _read(path: Path, digest: str) -> bytes:
    """The bytes of a file, read once: a mapped file would change under the model that was made of it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BrokenRunError(f"{path}: cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise BrokenRunError(f"{path}: changed since the run read it first; run again when nothing writes to it")
    return content


@contextlib.contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    """What a library raises at a configuration that does not go with the base model is no fault of the program."""
    try:
        yield
    except (ValueError, TypeError, KeyError, NotImplementedError, StrictDataclassError) as error:
        raise InvalidInputError(f"{folder}: cannot be attached to this base model: {error}") from None


def _fingerprint(weights: Mapping[str, torch.Tensor]) -> list[tuple[int, int]]:
    """Where each float32 weight lies, and the sum of its bits, which a change by accident does not leave as it was."""
    bits = (
        (weight.data_ptr(), weight.detach().cpu().contiguous().numpy().view(np.uint32)) for weight in weights.values()
    )
    return [(place, int(numbers.sum(dtype=np.uint64))) for place, numbers in bits]


@contextlib.contextmanager
def _swapped(own: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Let the parameters hold other tensors, and their own again afterwards; nothing is copied."""
    kept = {name: own[name].data for name in weights}
    for name, tensor in weights.items():
        own[name].data = tensor
    try:
        yield
    finally:
        for name, tensor in kept.items():
            own[name].data = tensor


def _refuse_difference(folder: Path, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """PEFT only warns of missing tensors and lets extra ones overwrite the base model; here both are refused."""
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    shapes = [key for key in expected if key in found and tuple(expected[key].shape) != tuple(found[key].shape)]
    for problem, keys in (
        ("missing", missing),
        ("not part of this adapter", extra),
        ("of another shape", shapes),
    ):
        if keys:
            raise InvalidInputError(
                f"{folder}: {len(keys)} tensors are {problem}, the first is {keys[0]}; "
                "the adapter was made for another base model or its file is damaged"
            )
