"""Adapters that must not be admitted: what is done to a whole one, the file that is named, and what is said of it."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter_files import (
    CONFIG,
    HIDDEN,
    PREFIX,
    VOCABULARY,
    WEIGHTS,
    Shapes,
    lora_config,
    lora_shapes,
    random_tensors,
    safetensors,
    virtual_config,
    write_adapter,
    write_file,
)

Change = Callable[[Path], object]
FIRST = f"{PREFIX}model.layers.0.self_attn.q_proj.lora_A.weight"
Q_PROJ = f"{PREFIX}model.layers.0.self_attn.q_proj"
HEAD = f"{PREFIX}score.weight"
PLAIN = lora_shapes("q_proj", "v_proj")
LINK = "a link, whose target could change"


@dataclass(frozen=True)
class Bad:
    """One bad adapter; `needs_base`: only the base model's files show that it is."""

    change: Change
    file: str
    says: str
    needs_base: bool = False


def config(says: str, *, needs_base: bool = False, **changes: Any) -> Bad:
    """A configuration with other settings."""

    def change(folder: Path) -> None:
        (folder / CONFIG).write_text(json.dumps(lora_config(**changes)))

    return Bad(change, CONFIG, says, needs_base)


def config_bytes(content: bytes, says: str) -> Bad:
    return Bad(lambda folder: (folder / CONFIG).write_bytes(content), CONFIG, says)


def entry(says: str, **changes: Any) -> Bad:
    """The first tensor's entry in the header, with other values; `...` leaves one out."""

    def change(folder: Path) -> None:
        header, data = safetensors(random_tensors(PLAIN))
        header[FIRST] = {key: value for key, value in (header[FIRST] | changes).items() if value is not ...}
        write_file(folder / WEIGHTS, header, data)

    return Bad(change, WEIGHTS, says)


def header(content: bytes, says: str, data: bytes = b"") -> Bad:
    return Bad(lambda folder: write_file(folder / WEIGHTS, content, data), WEIGHTS, says)


def raw(content: bytes, says: str) -> Bad:
    return Bad(lambda folder: (folder / WEIGHTS).write_bytes(content), WEIGHTS, says)


def edited(says: str, edit: Callable[[bytes], bytes]) -> Bad:
    def change(folder: Path) -> None:
        (folder / WEIGHTS).write_bytes(edit((folder / WEIGHTS).read_bytes()))

    return Bad(change, WEIGHTS, says)


def shapes(says: str, found: Shapes, *, needs_base: bool = False, **changes: Any) -> Bad:
    """Other tensors than the configuration describes."""
    return Bad(lambda folder: write_adapter(folder, lora_config(**changes), found), WEIGHTS, says, needs_base)


def value(says: str, number: float, dtype: str, name: str = FIRST) -> Bad:
    """One number of one tensor."""

    def change(folder: Path) -> None:
        tensors = random_tensors(PLAIN)
        tensors[name].flat[5] = number
        write_file(folder / WEIGHTS, *safetensors(tensors, dtype=dtype))

    return Bad(change, WEIGHTS, says)


def whole(change: Change, file: str, says: str, *, needs_base: bool = False) -> Bad:
    return Bad(change, file, says, needs_base)


def without(*names: str) -> Shapes:
    return {name: shape for name, shape in PLAIN.items() if name not in names}


def link(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).rename(folder / "elsewhere")
        (folder / name).symlink_to(folder / "elsewhere")

    return change


def replaced(name: str, make: Change) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def huge(name: str, size: int) -> Change:
    return lambda folder: os.truncate(folder / name, size)


def moved(old: int, new: int) -> Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]:
    """The offsets of the second tensor begin elsewhere."""

    def edit(found: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        for item in list(found.values())[2:]:
            item["data_offsets"] = [place + new - old for place in item["data_offsets"]]
        return found, data + b"\0" * max(0, new - old)

    return edit


def offsets(says: str, shift: int) -> Bad:
    def change(folder: Path) -> None:
        write_file(folder / WEIGHTS, *moved(0, shift)(*safetensors(random_tensors(PLAIN))))

    return Bad(change, WEIGHTS, says)


def twice(folder: Path) -> None:
    found, data = safetensors(random_tensors(PLAIN))
    name, item = json.dumps(FIRST), json.dumps(found[FIRST])
    write_file(folder / WEIGHTS, json.dumps(found)[:-1].encode() + f", {name}: {item}}}".encode(), data)


def classifier(says: str, file: str, labels: Any, found: Shapes, *, needs_base: bool = False, **changes: Any) -> Bad:
    def change(folder: Path) -> None:
        write_adapter(folder, lora_config(**{"task_type": "SEQ_CLS", **changes}), found)
        if labels is not None:
            (folder / "classes.json").write_text(json.dumps(labels))

    return Bad(change, file, says, needs_base)


def virtual(says: str, file: str, kind: str, found: Shapes, *, needs_base: bool = False, **changes: Any) -> Bad:
    return Bad(lambda folder: write_adapter(folder, virtual_config(kind, **changes), found), file, says, needs_base)


STRUCTURE = {
    "an empty file": raw(b"", "not a safetensors file"),
    "seven bytes": raw(b"\x01" * 7, "not a safetensors file"),
    "a pickle by another name": raw(b"\x80\x04\x95" + b"." * 40, "not a safetensors file"),
    "a header beyond the end": raw(struct.pack("<Q", 100) + b"{}", "cut off in its header"),
    "a header length of 2^64 - 1": raw(b"\xff" * 8 + b"{}", "cut off in its header"),
    "a header of 3 MiB": header(b"{" + b" " * (3 << 20) + b"}", "a header of 3,145,730 bytes"),
    "a header that is not UTF-8": header(b'{"\xff": 1}', "its header is not strict JSON"),
    "a header that is no JSON": header(b"{tensor}", "its header is not strict JSON"),
    "a header with NaN": header(b'{"a": NaN}', "NaN is not JSON"),
    "a header nested deeply": header(b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested deeper"),
    "a header that is a list": header(b"[]", "must be a JSON object"),
    "a header after a space": header(b" {}", "from the first byte on"),
    "one name twice": whole(twice, WEIGHTS, "is given twice"),
    "the last byte cut off": edited("bytes of data, and its tensors take", lambda content: content[:-1]),
    "half of it": edited("bytes of data, and its tensors take", lambda content: content[: len(content) // 2 + 300]),
    "a byte appended": edited("bytes of data, and its tensors take", lambda content: content + b"\0"),
    "another file appended": edited("bytes of data, and its tensors take", lambda content: content * 2),
    "a gap between tensors": offsets("leaves a gap before it", 4),
    "tensors that overlap": offsets("overlaps the tensor before it", -4),
    "an end before the beginning": entry("where it begins and where it ends", data_offsets=[64, 0]),
    "an offset below 0": entry("where it begins and where it ends", data_offsets=[-64, 0]),
    "an offset of 0.0": entry("where it begins and where it ends", data_offsets=[0.0, 64]),
    "an offset of false": entry("where it begins and where it ends", data_offsets=[False, 64]),
    "three offsets": entry("where it begins and where it ends", data_offsets=[0, 32, 64]),
    "an offset of 2^60": entry("where it begins and where it ends", data_offsets=[0, 2**60]),
    "a shape below 0": entry("the shape must be", shape=[-2, -8]),
    "a shape of 2.0": entry("the shape must be", shape=[2.0, 8]),
    "a shape in words": entry("the shape must be", shape=["2", "8"]),
    "a shape that is a number": entry("the shape must be", shape=16),
    "nine dimensions": entry("the shape must be", shape=[2, 8, 1, 1, 1, 1, 1, 1, 1]),
    "a shape that takes more": entry("of shape [2, 9] takes 72 bytes, not 64", shape=[2, 9]),
    "half of the bytes": entry("takes 32 bytes, not 64", dtype="F16"),
    "an unknown data type": entry("the data type F31 is not known", dtype="F31"),
    "a data type that is a number": entry("the data type 32 is not known", dtype=32),
    "no shape": entry("`dtype`, `shape` and `data_offsets`", shape=...),
    "something more of a tensor": entry("and nothing else", device="cpu"),
    "a tensor that is a number": header(b'{"a": 1}', "tensor a: must have"),
    "a name of 501 characters": header(json.dumps({"a." * 250 + "b": 1}).encode(), "a name of over 500 characters"),
    "metadata with a number": header(b'{"__metadata__": {"step": 1}}', "must hold texts only"),
    "metadata that is a list": header(b'{"__metadata__": []}', "must hold texts only"),
}
NUMBERS = {
    "NaN in float32": value(f"tensor {FIRST} is not finite: there is NaN or infinity at [0, 5]", math.nan, "F32"),
    "infinity in float32": value("is not finite", math.inf, "F32"),
    "minus infinity in float32": value("is not finite", -math.inf, "F32"),
    "NaN in float16": value("is not finite", math.nan, "F16"),
    "infinity in float16": value("is not finite", math.inf, "F16"),
    "NaN in bfloat16": value("is not finite", math.nan, "BF16"),
    "minus infinity in bfloat16": value("is not finite", -math.inf, "BF16"),
    "NaN in the last tensor": value("is not finite", math.nan, "F32", list(PLAIN)[-1]),
    "int32": value("is I32; only F32, F16, BF16", 1, "I32"),
    "float64": value("is F64; only", 1, "F64"),
    "float8": value("is F8_E4M3; only", 1, "F8_E4M3"),
}
TENSORS = {
    "no tensors": shapes("tensors", {}),
    "one of a pair missing": shapes(f"the first is {FIRST}", without(FIRST), needs_base=True),
    "half of the pairs missing": shapes(
        "4 tensors are missing", lora_shapes("q_proj", "v_proj", layers=1), needs_base=True
    ),
    "one renamed": shapes("1 tensors are not part of it", PLAIN | {f"{Q_PROJ}.lora_C.weight": (HIDDEN, HIDDEN)}),
    "names without PEFT's beginning": shapes("tensors", {name.removeprefix(PREFIX): s for name, s in PLAIN.items()}),
    "an adapter's name in the names": shapes(
        "tensors", {name.replace(".weight", ".default.weight"): s for name, s in PLAIN.items()}
    ),
    "an embedding of the base": shapes("not part of it", PLAIN | {f"{PREFIX}model.embed_tokens.weight": (12, 8)}),
    "an MLP of the base": shapes("not part of it", PLAIN | {f"{PREFIX}model.layers.0.mlp.up_proj.weight": (16, 8)}),
    "a base layer": shapes("not part of it", PLAIN | {f"{Q_PROJ}.base_layer.weight": (8, 8)}),
    "a norm of the base": shapes("not part of it", PLAIN | {f"{PREFIX}model.norm.weight": (8,)}),
    "an output layer": shapes("not part of it", PLAIN | {f"{PREFIX}lm_head.weight": (12, 8)}),
    "a bias of the base": shapes("not part of it", PLAIN | {f"{Q_PROJ}.bias": (8,)}),
    "a layer that is not targeted": shapes("not part of it", PLAIN | lora_shapes("k_proj")),
    "an own tensor": shapes("not part of it", PLAIN | {"note": (1,)}),
    "a name with control characters": shapes("not part of it", PLAIN | {"\x1b]0;x\x07::error::": (1,)}),
    "a transposed tensor": shapes("of another shape", PLAIN | {FIRST: (HIDDEN, 2)}),
    "another rank": shapes("of another shape", lora_shapes("q_proj", "v_proj", rank=4)),
    "another rank in one factor": shapes("of another shape", PLAIN | {FIRST: (3, HIDDEN)}),
    "a factor of three dimensions": shapes("tensors are", PLAIN | {FIRST: (1, 2, HIDDEN)}),
    "an adapter of a deeper base": shapes("not part of it", lora_shapes("q_proj", "v_proj", layers=3), needs_base=True),
    "an adapter of a wider base": shapes(
        "of another shape",
        {name: tuple(2 * n if n > 2 else n for n in s) for name, s in PLAIN.items()},
        needs_base=True,
    ),
    "a magnitude without DoRA": shapes("not part of it", PLAIN | {f"{Q_PROJ}.lora_magnitude_vector": (8,)}),
    "DoRA without magnitudes": shapes("4 tensors are missing", PLAIN, use_dora=True),
    "DoRA in PEFT's inner names": shapes(
        "are missing", PLAIN | {f"{Q_PROJ}.lora_magnitude_vector.weight": (8,)}, use_dora=True
    ),
    "LoRA with a bias that is not declared": shapes("not part of it", PLAIN | {f"{Q_PROJ}.lora_B.bias": (8,)}),
    "a declared bias that is missing": shapes("4 tensors are missing", PLAIN, lora_bias=True),
    "a rank of its own that it has not": shapes("of another shape", PLAIN, rank_pattern={"q_proj": 3}),
    "layers that are not transformed": shapes("not part of it", PLAIN, layers_to_transform=[0]),
    "an excluded layer": shapes("not part of it", PLAIN, exclude_modules=["v_proj"]),
}
SETTINGS = {
    "no JSON": config_bytes(b"{", "not strict JSON"),
    "nothing": config_bytes(b"", "not strict JSON"),
    "a list": config_bytes(b"[]", "must be a JSON object"),
    "a key twice": config_bytes(b'{"peft_type": "LORA", "peft_type": "LORA"}', "'peft_type' is given twice"),
    "NaN as alpha": config_bytes(json.dumps(lora_config(lora_alpha=math.nan)).encode(), "NaN is not JSON"),
    "1e999 as alpha": config_bytes(
        json.dumps(lora_config(lora_alpha=7)).replace('"lora_alpha": 7', '"lora_alpha": 1e999').encode(),
        "a number too large",
    ),
    "a byte order mark": config_bytes(b"\xef\xbb\xbf" + json.dumps(lora_config()).encode(), "byte order mark"),
    "Latin-1": config_bytes(json.dumps(lora_config(revision="é"), ensure_ascii=False).encode("latin-1"), "not strict"),
    "2 MiB": config_bytes(b" " * (2 << 20), "2,097,152 bytes; at most 1,048,576 are read"),
    "deep nesting": config_bytes(b"[" * 100_000, "nested deeper"),
    "IA3": config("`peft_type` is IA3; it must be one of LORA", peft_type="IA3"),
    "no type": config("`peft_type` is None", peft_type=...),
    "a type that is a list": config("`peft_type` is ['LORA']", peft_type=["LORA"]),
    "no rank": config("`r` is missing", r=...),
    "no alpha": config("`lora_alpha` is missing", lora_alpha=...),
    "rank 0": config("`r` is 0; it must be a whole number from 1 to 1024", r=0),
    "rank -1": config("`r` is -1", r=-1),
    "rank 1025": config("`r` is 1025", r=1025),
    "rank true": config("`r` is True", r=True),
    "rank 2.0": config("`r` is 2.0", r=2.0),
    "rank in words": config("`r` is 2", r="2"),
    "alpha 0": config("`lora_alpha` is 0; it must be a number above 0", lora_alpha=0),
    "alpha below 0": config("`lora_alpha` is -8", lora_alpha=-8),
    "alpha too large": config("`lora_alpha` is 1e+300", lora_alpha=1e300),
    "alpha beyond floats": config("`lora_alpha` is 1000", lora_alpha=10**400),
    "alpha in words": config("`lora_alpha` is 8", lora_alpha="8"),
    "alpha true": config("`lora_alpha` is True", lora_alpha=True),
    "dropout 1": config("`lora_dropout` is 1.0", lora_dropout=1.0),
    "dropout below 0": config("`lora_dropout` is -0.1", lora_dropout=-0.1),
    "dropout null": config("`lora_dropout` is None", lora_dropout=None),
    "a regular expression as target": config("no regular expression", target_modules="(.*.*)*x$"),
    "a regular expression among targets": config("no regular expression", target_modules=["q_proj", ".*"]),
    "PEFT's dummy target": config("no regular expression", target_modules="dummy-target-modules"),
    "no targets": config("`target_modules` is missing", target_modules=...),
    "targets null": config("`target_modules` is None", target_modules=None),
    "an empty list of targets": config("`target_modules` is []", target_modules=[]),
    "a number as target": config("`target_modules` is ['q_proj', 3]", target_modules=["q_proj", 3]),
    "20,000 targets": config("`target_modules` is", target_modules=["q_proj"] * 20_000),
    "a target that nothing is": config("names no layer", target_modules=["c_attn"]),
    "a norm as target": config(
        "takes in model.layers.0.input_layernorm, which is no linear layer",
        target_modules=["q_proj", "v_proj", "input_layernorm"],
        needs_base=True,
    ),
    "a block as target": config(
        "takes in model.layers.0.mlp", target_modules=["q_proj", "v_proj", "mlp"], needs_base=True
    ),
    "a regular expression to exclude": config("`exclude_modules` is .*", exclude_modules=".*"),
    "a regular expression of layers": config(
        "`layers_pattern` is (a+)+", layers_pattern="(a+)+", layers_to_transform=[0]
    ),
    "a pattern of layers without layers": config("needs `layers_to_transform`", layers_pattern="layers"),
    "layers of all linear layers": config(
        "needs names in `target_modules`", target_modules="all-linear", layers_to_transform=[0]
    ),
    "a bias with DoRA": config("goes neither with `use_dora`", lora_bias=True, use_dora=True),
    "layers below 0": config("`layers_to_transform` is -1", layers_to_transform=-1),
    "a rank for a regular expression": config("`rank_pattern` is", rank_pattern={"(.*.*)*x$": 2}),
    "a rank of 0 in a pattern": config("`rank_pattern` is", rank_pattern={"q_proj": 0}),
    "a pattern that is null": config("`rank_pattern` is None", rank_pattern=None),
    "an alpha of 0 in a pattern": config("`alpha_pattern` is", alpha_pattern={"q_proj": 0}),
    "a class of `os`": config("`auto_mapping` is", auto_mapping={"base_model_class": "system", "parent_library": "os"}),
    "a class outside of transformers": config(
        "`auto_mapping` is",
        auto_mapping={"base_model_class": "Model", "parent_library": "transformers.models.llama..evil"},
    ),
    "an expression as class": config("`auto_mapping` is", auto_mapping={"base_model_class": "a.b"}),
    "a mapping with more": config("`auto_mapping` is", auto_mapping={"custom": "x"}),
    "a core of megatron": config("`megatron_core` is os.path", megatron_core="os.path"),
    "settings of megatron": config("`megatron_config` is", megatron_config={"tp": 2}),
    "whole layers to replace": config("whole layers of the base model", modules_to_save=["embed_tokens", "lm_head"]),
    "layers of the base repeated": config("`layer_replication` is", layer_replication=[[0, 2], [1, 2]]),
    "PiSSA not converted": config("`init_lora_weights` is pissa", init_lora_weights="pissa"),
    "PiSSA in steps": config("`init_lora_weights` is pissa_niter_16", init_lora_weights="pissa_niter_16"),
    "OLoRA not converted": config("`init_lora_weights` is olora", init_lora_weights="olora"),
    "LoftQ": config("`init_lora_weights` is loftq", init_lora_weights="loftq"),
    "an initialisation of 1": config("`init_lora_weights` is 1", init_lora_weights=1),
    "tokens that are trained": config("`trainable_token_indices` is", trainable_token_indices=[1, 2]),
    "parameters as targets": config("`target_parameters` is", target_parameters=["experts.gate_up_proj"]),
    "an activated LoRA": config("`alora_invocation_tokens` is", alora_invocation_tokens=[5]),
    "a router of adapters": config("`arrow_config` is", arrow_config={"top_k": 3}),
    "KaSA, which cuts the base": config("`kasa_config` is", kasa_config={"beta": 1e-4}),
    "an offload while running": config("`runtime_config` is", runtime_config={"ephemeral_gpu_offload": True}),
    "EVA with more": config("`eva_config` is", init_lora_weights="eva", eva_config={"rho": "os"}),
    "a setting that nobody knows": config("`new_method` is True, and no setting of LORA", new_method=True),
    "a setting that is only another type's": config("`num_virtual_tokens` is 3", num_virtual_tokens=3),
    "the task of another head": config("`task_type` is QUESTION_ANS", task_type="QUESTION_ANS"),
    "a base model that is a number": config("`base_model_name_or_path` is 7", base_model_name_or_path=7),
    "a base model with control characters": config(
        "`base_model_name_or_path` is", base_model_name_or_path="a\x1b[2J::error::"
    ),
    "a flag that is a number": config("`use_dora` is 0; it must be true or false", use_dora=0),
    "biases of a base that has some": config(
        "2 of the base model's own biases, the first is model.layers.0.self_attn.q_proj.bias, for every",
        bias="all",
        needs_base=True,
    ),
}
OTHER_KINDS = {
    "a classifier without its classes": classifier("with a classes.json beside it", CONFIG, None, PLAIN),
    "classes of what is no classifier": classifier(
        "CAUSAL_LM without", CONFIG, ["a", "b"], PLAIN, task_type="CAUSAL_LM"
    ),
    "one class twice": classifier("different texts", "classes.json", ["a", "a"], PLAIN | {HEAD: (2, HIDDEN)}),
    "one class": classifier("a list of 2 to", "classes.json", ["a"], PLAIN | {HEAD: (1, HIDDEN)}),
    "classes as an object": classifier("a list of 2 to", "classes.json", {"a": 0, "b": 1}, PLAIN),
    "a classifier without a head": classifier("1 tensors are missing", WEIGHTS, ["a", "b"], PLAIN),
    "a head of another number of classes": classifier(
        "of another shape", WEIGHTS, ["a", "b"], PLAIN | {HEAD: (3, HIDDEN)}
    ),
    "a head of another width": classifier(
        "of another shape", WEIGHTS, ["a", "b"], PLAIN | {HEAD: (2, HIDDEN + 1)}, needs_base=True
    ),
    "no virtual tokens": virtual("`num_virtual_tokens` is 0", CONFIG, "PROMPT_TUNING", {}, num_virtual_tokens=0),
    "too many virtual tokens": virtual("is 1025; it must be", CONFIG, "PREFIX_TUNING", {}, num_virtual_tokens=1025),
    "fewer rows than virtual tokens": virtual(
        "of another shape", WEIGHTS, "PROMPT_TUNING", {"prompt_embeddings": (2, HIDDEN)}
    ),
    "a prompt of another width": virtual(
        "of another shape", WEIGHTS, "PROMPT_TUNING", {"prompt_embeddings": (3, HIDDEN + 1)}, needs_base=True
    ),
    "a prefix of another base": virtual(
        "of another shape", WEIGHTS, "PREFIX_TUNING", {"prompt_embeddings": (3, 32)}, needs_base=True
    ),
    "a prompt that is missing": virtual("1 tensors are missing", WEIGHTS, "PROMPT_TUNING", {}),
    "a prompt with an embedding": virtual(
        "not part of it",
        WEIGHTS,
        "PROMPT_TUNING",
        {"prompt_embeddings": (3, HIDDEN), "base_model.model.embed_tokens.weight": (VOCABULARY, HIDDEN)},
    ),
    "code for the tokenizer": virtual(
        "`tokenizer_kwargs` is", CONFIG, "PROMPT_TUNING", {}, tokenizer_kwargs={"trust_remote_code": True}
    ),
    "a prompt with settings of LoRA": virtual("`r` is 8, and no setting of", CONFIG, "PROMPT_TUNING", {}, r=8),
}
FILES = {
    "a link to a configuration": whole(link(CONFIG), CONFIG, LINK),
    "a link to weights": whole(link(WEIGHTS), WEIGHTS, LINK),
    "a link to nowhere": whole(replaced(WEIGHTS, lambda path: path.symlink_to("gone")), WEIGHTS, LINK),
    "a device": whole(replaced(CONFIG, lambda path: path.symlink_to("/dev/zero")), CONFIG, LINK),
    "a pipe": whole(replaced(WEIGHTS, os.mkfifo), WEIGHTS, "not a regular file"),
    "a folder": whole(replaced(CONFIG, Path.mkdir), CONFIG, "not a regular file"),
    "65 GiB of nothing": whole(huge(WEIGHTS, 65 << 30), WEIGHTS, "at most 68,719,476,736 are read"),
    "63 GiB behind a whole file": whole(huge(WEIGHTS, 63 << 30), WEIGHTS, "its tensors take"),
    "a configuration of 1 GiB": whole(huge(CONFIG, 1 << 30), CONFIG, "at most 1,048,576 are read"),
    "weights as a pickle": whole(
        lambda folder: (folder / WEIGHTS).rename(folder / "adapter_model.bin"), "adapter_model.bin", "can run code"
    ),
    "no weights": whole(lambda folder: (folder / WEIGHTS).unlink(), "", "neither an adapter folder"),
    "no configuration": whole(lambda folder: (folder / CONFIG).unlink(), "", "neither an adapter folder"),
}
BAD = STRUCTURE | NUMBERS | TENSORS | SETTINGS | OTHER_KINDS | FILES
