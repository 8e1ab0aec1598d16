"""Where the line is drawn in an adapter's configuration and weights: the last value that is judged, and the next."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from adapter_files import (
    CONFIG,
    HIDDEN,
    WEIGHTS,
    base_shapes,
    lora_config,
    lora_shapes,
    random_tensors,
    safetensors,
    virtual_config,
    write_adapter,
    write_base,
    write_file,
)
from bad_adapters import HEAD, PLAIN

from harness.errors import InvalidInputError
from harness.limits import ALPHA, CLASS_LABELS, HEADER_BYTES, MODULE_NAMES
from harness.trust.adapter_configs import MOST_LETTERS, AdapterConfig, LowRank, Virtual, read_config
from harness.trust.admission import admit
from harness.trust.expected_tensors import BaseWeights, read_base
from harness.trust.weight_files import NAME_LETTERS, _read_up_to, hash_finite, parse_header, read_header, shown

PATH = Path(CONFIG)
EVA = {
    "rho": 2.0,
    "tau": 0.99,
    "use_label_mask": True,
    "label_mask_value": -100,
    "whiten": False,
    "adjust_scaling_factors": True,
}
MAPPING = {"base_model_class": "LlamaForCausalLM", "parent_library": "transformers.models.llama.modeling_llama"}


@pytest.mark.parametrize(
    "changes",
    [
        {"r": 1},
        {"r": 1024},
        {"lora_alpha": 1},
        {"lora_alpha": 0.5},
        {"lora_alpha": ALPHA},
        {"lora_dropout": 0},
        {"lora_dropout": 0.999},
        {"revision": "x" * MOST_LETTERS},
        {"target_modules": ["q_proj"] * MODULE_NAMES},
        {"layers_to_transform": [0] * MODULE_NAMES},
        {"layers_to_transform": MODULE_NAMES - 1},
        {"layers_pattern": "", "layers_to_transform": [0]},
        {"layers_pattern": ["layers"] * 10, "layers_to_transform": [0]},
        {"qalora_group_size": 2**31},
        {"qalora_group_size": 1},
        {"qalora_group_size": None},
        {"rank_pattern": {"q_proj": 1, "v_proj": 1024}},
        {"alpha_pattern": {"q_proj": ALPHA}},
        {"eva_config": EVA},
        {"eva_config": {"rho": 2**63 - 1}},
        {"auto_mapping": MAPPING},
        {"auto_mapping": {"unsloth_fixed": True}},
        {"runtime_config": None},
        {"bias": "lora_only"},
        {"task_type": None},
        {"lora_bias": True, "init_lora_weights": False},
        {"a_newer_key": ""},
    ],
    ids=lambda changes: json.dumps(changes)[:60],
)
def test_a_setting_is_judged_when_it_is_the_last_that_may_be(changes: dict[str, Any]) -> None:
    assert isinstance(read_config(PATH, lora_config(**changes)).method, LowRank)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lora_alpha": ALPHA + 1}, f"`lora_alpha` is {ALPHA + 1}; it must be a number above 0 and up to 65,536"),
        ({"revision": "x" * (MOST_LETTERS + 1)}, "it must be a text of up to 1000 printable characters, or null"),
        ({"target_modules": ["q_proj"] * (MODULE_NAMES + 1)}, "or a list of names of modules"),
        ({"layers_to_transform": [0] * (MODULE_NAMES + 1)}, "it must be a number of a layer, or a list of them"),
        ({"layers_to_transform": MODULE_NAMES}, "`layers_to_transform` is 10000"),
        ({"layers_pattern": ["layers"] * 11, "layers_to_transform": [0]}, "it must be a name, or up to 10"),
        ({"layers_pattern": [], "target_modules": "all-linear"}, "needs names in `target_modules`, not `all-linear`"),
        ({"qalora_group_size": 2**31 + 1}, "it must be a whole number from 1 on, or null"),
        ({"rank_pattern": {"q_proj": 1025}}, "`rank_pattern` is {'q_proj': 1025}"),
        ({"rank_pattern": {"": 1}}, "names of modules with a whole number from 1 to 1024 each"),
        ({"rank_pattern": [["q_proj", 1]]}, "`rank_pattern` is [['q_proj', 1]]"),
        ({"eva_config": {"rho": 2**63}}, "`eva_config` is"),
        ({"eva_config": {"rho": -(2**63)}}, "`eva_config` is"),
        ({"eva_config": ["rho"]}, "it must be null, or EVA's own settings"),
        ({"auto_mapping": {"unsloth_fixed": 1}}, "`auto_mapping` is"),
        ({"auto_mapping": ["unsloth_fixed"]}, "`auto_mapping` is"),
        ({"auto_mapping": {**MAPPING, "base_model_class": 1}}, "`auto_mapping` is"),
        ({"auto_mapping": {**MAPPING, "parent_library": 1}}, "`auto_mapping` is"),
        ({"auto_mapping": {**MAPPING, "parent_library": "os"}}, "`auto_mapping` is"),
        ({"megatron_core": ""}, "`megatron_core` is ; it must be one of null, megatron.core"),
        ({"init_lora_weights": "olora"}, "it must be one of True, False, gaussian, orthogonal, eva"),
        ({"lora_bias": True, "init_lora_weights": "eva"}, "`lora_bias` goes neither with `use_dora` nor with"),
        ({"a_newer_key": "on"}, "`a_newer_key` is on, and no setting of LORA that is judged"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)
def test_a_setting_is_refused_in_words_when_it_is_the_first_that_may_not_be(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_config(PATH, lora_config(**changes))
    assert str(caught.value).startswith(f"{CONFIG}: ")
    assert says in str(caught.value)


def test_every_setting_of_a_lora_is_read_when_all_are_given() -> None:
    settings = lora_config(
        r=4,
        bias="all",
        exclude_modules=["o_proj"],
        layers_to_transform=[0, 1],
        layers_pattern=["layers", "h"],
        rank_pattern={"q_proj": 3, "v_proj": 5},
        use_dora=True,
        task_type="SEQ_CLS",
    )
    ranks = {"q_proj": (0, 3), "v_proj": (1, 5)}
    expected = LowRank(
        rank=4,
        targets=frozenset({"q_proj", "v_proj"}),
        excluded=frozenset({"o_proj"}),
        layers=frozenset({0, 1}),
        layers_patterns=("layers", "h"),
        ranks=ranks,
        dora=True,
        trains_biases=True,
    )
    assert read_config(PATH, settings) == AdapterConfig(method=expected, base_name="small", is_classifier=True)


def test_nothing_is_switched_on_when_only_what_is_needed_is_given() -> None:
    few = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": "all-linear"}
    assert read_config(PATH, few) == AdapterConfig(
        method=LowRank(rank=2, targets=None), base_name=None, is_classifier=False
    )


def test_one_layer_and_one_pattern_are_read_when_they_are_no_lists() -> None:
    method = read_config(PATH, lora_config(layers_to_transform=1, layers_pattern="h", lora_bias=True)).method
    assert isinstance(method, LowRank)
    assert (method.layers, method.layers_patterns, method.lora_bias) == (frozenset({1}), ("h",), True)


def test_virtual_tokens_are_counted_when_it_is_prompt_tuning() -> None:
    found = read_config(PATH, virtual_config("PROMPT_TUNING", num_virtual_tokens=1024))
    assert found.method == Virtual(peft_type="PROMPT_TUNING", tokens=1024)


def test_a_classifier_is_admitted_when_it_has_as_many_classes_as_may_be(tmp_path: Path) -> None:
    labels = [str(number) for number in range(CLASS_LABELS)]
    settings, head = lora_config(task_type="SEQ_CLS"), {HEAD: (CLASS_LABELS, HIDDEN)}
    folder = write_adapter(tmp_path / "given", settings, PLAIN | head)
    (folder / "classes.json").write_text(json.dumps(labels))
    assert set(admit(folder, BaseWeights()).files) == {CONFIG, WEIGHTS, "classes.json"}
    (folder / "classes.json").write_text(json.dumps([*labels, "one more"]))
    with pytest.raises(InvalidInputError, match="a list of 2 to 10,000 different texts"):
        admit(folder, BaseWeights())


@pytest.mark.parametrize(
    ("kind", "settings", "found", "says"),
    [
        ("a prompt", virtual_config("PROMPT_TUNING"), {"prompt_embeddings": (3,)}, "([3], not [3, 1])"),
        ("a head", lora_config(task_type="SEQ_CLS"), PLAIN | {HEAD: (2,)}, "([2], not [2, 1])"),
    ],
)
def test_both_shapes_are_told_when_a_width_is_not_known(
    kind: str, settings: dict[str, Any], found: dict[str, tuple[int, ...]], says: str, tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path / "given", settings, found)
    if kind == "a head":
        (folder / "classes.json").write_text('["no", "yes"]')
    with pytest.raises(InvalidInputError) as caught:
        admit(folder, BaseWeights())
    assert says in str(caught.value)


def test_a_base_with_a_bias_in_its_last_norm_is_known(tmp_path: Path) -> None:
    shapes = base_shapes() | {"model.norm.bias": (HIDDEN,)}
    assert read_base(write_base(tmp_path / "base", shapes)).shapes == shapes


def test_a_base_is_left_to_the_engine_when_its_configuration_is_no_object(tmp_path: Path) -> None:
    folder = write_base(tmp_path / "base")
    (folder / "config.json").write_text("[]")
    assert read_base(folder).shapes == {}


def test_an_index_is_refused_when_it_is_no_object(tmp_path: Path) -> None:
    folder = write_base(tmp_path / "base", shards=2)
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(InvalidInputError, match="`weight_map` must name files of this folder"):
        read_base(folder)


@pytest.mark.parametrize(("known", "where"), [(True, "the base model has"), (False, "the adapter has tensors for")])
def test_it_is_said_where_no_layer_was_found_when_no_target_fits(known: bool, where: str, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "given", lora_config(target_modules=["c_attn"]), lora_shapes("q_proj"))
    base = read_base(write_base(tmp_path / "base")) if known else BaseWeights()
    with pytest.raises(InvalidInputError, match=f"{CONFIG}: `target_modules` names no layer that {where}$"):
        admit(folder, base)


def header_of(*entries: tuple[str, str, list[int], int, int]) -> bytes:
    """A header of tensors: name, data type, shape, begin and end."""
    return json.dumps(
        {name: {"dtype": dtype, "shape": shape, "data_offsets": [a, b]} for name, dtype, shape, a, b in entries}
    ).encode()


A = ("a", "F32", [1], 0, 4)


def test_a_header_is_read_when_its_name_dimensions_and_size_are_the_last_that_may_be() -> None:
    name = "n" * NAME_LETTERS
    found = parse_header(Path("x"), header_of((name, "F32", [1] * 8, 0, 4), ("empty", "F16", [0], 4, 4)), 4)
    assert found[name].shape == (1,) * 8
    assert (found["empty"].begin, found["empty"].end) == (4, 4)


@pytest.mark.parametrize(
    ("header", "data_bytes", "says"),
    [
        (header_of(("n" * (NAME_LETTERS + 1), "F32", [1], 0, 4)), 4, f"tensor {'n' * 119}…: a name of over 500"),
        (header_of(("a", "F32", [2**53], 0, 4)), 4, "tensor a: the shape must be up to 8 whole numbers from 0 on"),
        (header_of(("a", "F32", [1], 0, 2**53)), 4, "tensor a: `data_offsets` must be where it begins"),
        (header_of(A, ("b", "F32", [1], 8, 12)), 12, "b leaves a gap before it: it begins at byte 8, not at 4"),
        (header_of(A, ("b", "F32", [1], 0, 4)), 4, "b overlaps the tensor before it: it begins at byte 0, not at 4"),
        (header_of(A, ("b", "F32", [3], 4, 12)), 12, "tensor b: F32 of shape [3] takes 12 bytes, not 8"),
        (header_of(A).replace(b"[0,", b"[-0,"), 4, "x: its header writes a number with a sign"),
    ],
)  # fmt: skip
def test_the_place_and_the_size_are_told_when_a_header_is_wrong(header: bytes, data_bytes: int, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_header(Path("x"), header, data_bytes)
    assert says in str(caught.value)


@pytest.mark.parametrize("more", [0, 1])
def test_a_header_is_read_up_to_its_largest_size(more: int, tmp_path: Path) -> None:
    path, entry = tmp_path / WEIGHTS, header_of(("a", "F32", [1], 0, 4))
    write_file(path, entry + b" " * (HEADER_BYTES + more - len(entry)), b"\0" * 4)
    if more:
        with pytest.raises(InvalidInputError, match="a header of 2,097,153 bytes; at most 2,097,152 are read"):
            read_header(path)
    else:
        assert set(read_header(path)) == {"a"}


def test_each_tensor_is_held_to_its_own_type_when_names_and_places_are_in_another_order(tmp_path: Path) -> None:
    # As float16 the second would be infinite; so it must not be taken for the first because of its name.
    path, number = tmp_path / WEIGHTS, (0x3F807C00).to_bytes(4, "little")
    write_file(path, header_of(("b", "F16", [2], 0, 4), ("a", "F32", [1], 4, 8)), b"\0" * 4 + number)
    assert len(hash_finite(path, read_header(path))) == 64


def test_the_file_and_the_tensor_are_named_when_it_is_not_what_was_read_or_not_judged(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS
    write_file(path, *safetensors(random_tensors({"a": (2,)}), dtype="F64"))
    found = read_header(path)
    with pytest.raises(InvalidInputError, match=f"{path}: tensor a is F64; only F32, F16, BF16 can be judged"):
        hash_finite(path, found)
    path.write_bytes(b"short")
    with pytest.raises(InvalidInputError, match=f"{path}: not a safetensors file"):
        hash_finite(path, found)


def test_all_bytes_are_read_in_order_when_a_read_returns_fewer() -> None:
    reader, writer = os.pipe2(os.O_DIRECT)  # each read returns one write
    for piece in (b"ab", b"cd", b"ef"):
        os.write(writer, piece)
    os.close(writer)
    with os.fdopen(reader, "rb", buffering=0) as stream:
        assert _read_up_to(stream, 4) == b"abcd"
        assert _read_up_to(stream, 4) == b"ef"


@pytest.mark.parametrize(
    ("value", "text"),
    [("x" * 120, "x" * 120), ("x" * 121, "x" * 119 + "…"), ("\n", "'\\n'"), ("é", "'\\xe9'"), (["a"], "['a']")],
)
def test_a_value_of_a_file_is_shown_short_and_without_control_characters(value: object, text: str) -> None:
    assert shown(value) == text
