"""The tensors that a configuration describes for a base model: names and shapes, from the base model's own files.

What is not known without loading the base model (it is not on this machine yet, or its architecture does not name its
weights in the file as in memory) is taken from the adapter itself; the engine holds it to PEFT's own after loading.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.engine.artefacts import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MODEL_CONFIG, read_json, shards_of
from harness.errors import InvalidInputError
from harness.trust.adapter_configs import LowRank, Virtual
from harness.trust.weight_files import read_header

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

# Architectures whose files name each weight as the loaded model does, and whose matrices are all linear layers but for
# the embedding. Others are judged too, held to PEFT's names after loading.
PLAIN = {
    "Gemma2ForCausalLM",
    "Gemma3ForCausalLM",
    "GemmaForCausalLM",
    "GraniteForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Olmo2ForCausalLM",
    "OlmoForCausalLM",
    "Phi3ForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "SmolLM3ForCausalLM",
}
EMBEDDING, OUTPUT = "model.embed_tokens", "lm_head"
OF_A_LAYER = "model.layers."
PREFIX = "base_model.model."  # what PEFT puts before the name of a module
HEAD = f"{PREFIX}score.weight"  # of a classifier, (classes, hidden)
VIRTUAL = "prompt_embeddings"

_STORED = re.compile(r"base_model\.model\.([A-Za-z0-9_.]+)\.(?:lora_A\.weight|lora_embedding_A)")
_LAYER = r".*?\.[^.]*\.(?P<layer>\d+)\."


@dataclass(frozen=True, slots=True)
class BaseWeights:
    """What a base model's files say of its weights; empty shapes: they are known after loading only."""

    shapes: Mapping[str, Shape] = field(default_factory=dict)  # of its parameters

    @property
    def modules(self) -> Shapes:
        """The layers that LoRA can be added to, by path: (outputs, inputs), and of the embedding (tokens, width)."""
        found: Shapes = {
            name.removesuffix(".weight"): shape
            for name, shape in self.shapes.items()
            if len(shape) == 2 and name.endswith(".weight")
        }
        # A tied output layer is one in memory, and not in the file.
        return {OUTPUT: found[EMBEDDING], **found} if found else found

    @property
    def others(self) -> set[str]:
        """The paths of everything that has weights and is no such layer."""
        inner = {name.rpartition(".")[0] for name in self.shapes}
        parents = {path.rsplit(".", depth)[0] for path in inner for depth in range(1, path.count(".") + 1)}
        return (inner | parents) - set(self.modules)

    @property
    def width(self) -> int | None:
        """Numbers that stand for a token between the layers."""
        return self.shapes[f"{EMBEDDING}.weight"][1] if self.shapes else None


def read_base(folder: Path | None) -> BaseWeights:
    """The weights of a base model by the headers of its files, where its architecture allows that.

    Raises:
        InvalidInputError: its files are not whole.
    """
    if folder is None:
        return BaseWeights()
    try:
        config = read_json(folder / MODEL_CONFIG)
    except InvalidInputError:
        return BaseWeights()  # transformers reads some that are no strict JSON, with Infinity in them
    names = config.get("architectures") if isinstance(config, dict) else None
    if not isinstance(names, list) or len(names) != 1 or str(names[0]) not in PLAIN or "quantization_config" in config:
        return BaseWeights()
    files = shards_of(folder)
    if not all(map(os.path.isfile, (folder / file for file in files))):  # no error where a name is too long
        return BaseWeights()  # of the hub's files not all are fetched yet
    tensors = {
        name: tensor.shape
        for file in files
        for name, tensor in read_header((folder / file).resolve()).items()
        if not name.endswith(".inv_freq")  # older files keep these numbers, which are computed
    }
    rest = set(tensors) - {f"{EMBEDDING}.weight", "model.norm.weight", "model.norm.bias", f"{OUTPUT}.weight"}
    # Whether an output layer that is tied and stored all the same is one weight or two is transformers' to decide.
    two = config.get("tie_word_embeddings") is True and f"{OUTPUT}.weight" in tensors
    as_in_memory = not two and all(name.startswith(OF_A_LAYER) for name in rest)
    has_embedding = len(tensors.get(f"{EMBEDDING}.weight", ())) == 2
    return BaseWeights(tensors) if has_embedding and as_in_memory else BaseWeights()


def expected_low_rank(config: LowRank, base: BaseWeights, found: Mapping[str, Shape], folder: Path) -> Shapes:
    """The tensors of a LoRA adapter, by name; for a base model that is not known, those that go with the ones `found`.

    Raises:
        InvalidInputError: a target that is no linear layer of the base model, or none that is one.
    """
    path, modules = folder / ADAPTER_CONFIG, base.modules or _own_modules(found)
    if not modules:
        raise InvalidInputError(
            f"{folder / ADAPTER_WEIGHTS}: holds no pair of tensors that are named `{PREFIX}LAYER.lora_A.weight` and "
            f"`{PREFIX}LAYER.lora_B.weight`, as PEFT names them"
        )
    targeted = [module for module in modules if _is_target(config, module)]
    if config.targets is not None and (wrong := sorted(other for other in base.others if _is_target(config, other))):
        raise InvalidInputError(f"{path}: `target_modules` takes in {wrong[0]}, which is no linear layer")
    if not targeted:
        where = "the base model has" if base.shapes else "the adapter has tensors for"
        raise InvalidInputError(f"{path}: `target_modules` names no layer that {where}")
    if config.trains_biases and (biases := sorted(_own_biases(base, targeted))):
        raise InvalidInputError(
            f"{path}: `bias` replaces {len(biases)} of the base model's own biases, the first is {biases[0]}, for "
            "every other arm as well; train it with `bias: none`"
        )
    expected: Shapes = {}
    for module in targeted:
        expected |= _of_module(config, module, modules[module], path)
    return expected


def _own_modules(found: Mapping[str, Shape]) -> Shapes:
    """The layers that an adapter has tensors for: (outputs, inputs), of an embedding (tokens, width)."""
    modules: Shapes = {}
    for name, shape in found.items():
        if (match := _STORED.fullmatch(name)) and len(shape) == 2:
            is_embedding = name.endswith("lora_embedding_A")
            other = found.get(name[:-1] + "B" if is_embedding else name.replace(".lora_A.", ".lora_B."), ())
            if len(other) == 2:
                modules[match[1]] = (shape[1], other[0]) if is_embedding else (other[0], shape[1])
    return modules


def _of_module(config: LowRank, module: str, shape: Shape, path: Path) -> Shapes:
    own = [config.ranks[name] for name in endings(module) if name in config.ranks]
    rank = min(own)[1] if own else config.rank
    place, (outputs, inputs) = f"{PREFIX}{module}", shape
    if module.endswith(".embed_tokens"):
        if config.dora or config.lora_bias:
            raise InvalidInputError(f"{path}: `use_dora` and `lora_bias` on an embedding are not judged")
        return {f"{place}.lora_embedding_A": (rank, outputs), f"{place}.lora_embedding_B": (inputs, rank)}
    expected: Shapes = {f"{place}.lora_A.weight": (rank, inputs), f"{place}.lora_B.weight": (outputs, rank)}
    if config.lora_bias:
        expected[f"{place}.lora_B.bias"] = (outputs,)
    if config.dora:
        expected[f"{place}.lora_magnitude_vector"] = (outputs,)
    return expected


def _own_biases(base: BaseWeights, targeted: list[str]) -> list[str]:
    """The base model's biases that PEFT would replace, at the least: those of the layers that are targeted."""
    return [f"{module}.bias" for module in targeted if f"{module}.bias" in base.shapes]


def _is_target(config: LowRank, module: str) -> bool:
    """As PEFT's `check_target_module_exists` decides, for plain names."""
    names = endings(module)
    if not config.excluded.isdisjoint(names):
        return False
    if config.targets is None:
        return module != OUTPUT and not module.endswith((".embed_tokens", f".{OUTPUT}"))
    if module in config.targets or not config.layers:
        return not config.targets.isdisjoint(names)
    patterns = [rf"(?:^|.*?\.){pattern}\.(?P<layer>\d+)\." for pattern in config.layers_patterns] or [_LAYER]
    layer = next((int(match["layer"]) for pattern in patterns if (match := re.match(pattern, module))), None)
    return layer in config.layers and not config.targets.isdisjoint(names)


def endings(module: str) -> list[str]:
    """The names that a module can be meant by."""
    parts = module.split(".")
    return [".".join(parts[first:]) for first in range(len(parts))]


def expected_virtual(config: Virtual, base: BaseWeights, found: Mapping[str, Shape]) -> Shapes:
    """The one tensor of prefix or prompt tuning, (virtual tokens, width); its own width where the base's is unknown."""
    width = base.width if config.peft_type == "PROMPT_TUNING" else _prefix_width(base)
    own = found.get(VIRTUAL, ())
    return {VIRTUAL: (config.tokens, width if width is not None else own[1] if len(own) == 2 else 1)}


def _prefix_width(base: BaseWeights) -> int | None:
    """Keys and values of one token in every layer."""
    keys = [shape for name, shape in base.shapes.items() if name.endswith(".self_attn.k_proj.weight")]
    layers = {name.split(".")[2] for name in base.shapes if name.startswith(OF_A_LAYER)}
    return 2 * sum(shape[0] for shape in keys) if keys and len(keys) == len(layers) else None


def expected_head(labels: int, base: BaseWeights, found: Mapping[str, Shape]) -> Shapes:
    """The head of a classifier, (classes, width)."""
    own = found.get(HEAD, ())
    return {HEAD: (labels, base.width if base.width is not None else own[1] if len(own) == 2 else 1)}
