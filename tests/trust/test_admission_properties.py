"""Whatever the bytes are, an adapter is admitted or refused in words, and no header that the library would refuse."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from adapter_files import CONFIG, WEIGHTS, lora_config, lora_shapes, random_tensors, safetensors, write_adapter
from bad_adapters import PLAIN
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from harness.errors import InvalidInputError
from harness.trust.adapter_configs import read_config
from harness.trust.admission import admit
from harness.trust.expected_tensors import BaseWeights
from harness.trust.weight_files import parse_header

SMALL = lora_shapes("k_proj", layers=1)
HEADER, DATA = safetensors(random_tensors(SMALL))
TEXT = json.dumps(HEADER)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PLACES = st.integers(0, len(TEXT) - 1)
PIECES = st.sampled_from(
    ["", " ", "0", "1", "-", "9" * 20, ",", "[", "]", "{", "}", '"', ":", "null", "1.0", "é", "\\u"]
)


def library_accepts(header: bytes) -> dict[str, Any] | None:
    try:
        found = deserialize(len(header).to_bytes(8, "little") + header + DATA)
    except SafetensorError:
        return None
    return {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in found}


@given(edits=st.lists(st.tuples(PLACES, st.integers(0, 6), PIECES), min_size=1, max_size=4))
@example(edits=[(TEXT.index("[0,") + 1, 0, "-")])
@settings(max_examples=400, deadline=None)
def test_a_header_is_read_only_where_the_library_reads_the_same(edits: list[tuple[int, int, str]]) -> None:
    text = TEXT
    for place, length, piece in edits:
        text = text[:place] + piece + text[place + length :]
    try:
        ours = parse_header(Path("file"), text.encode(), len(DATA))
    except InvalidInputError:
        return
    theirs = library_accepts(text.encode())
    assert theirs == {name: (tensor.dtype, tensor.shape) for name, tensor in ours.items()}


@given(content=st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused_in_words(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_adapter(Path(scratch) / "given")
        for name in (WEIGHTS, CONFIG):
            whole = (folder / name).read_bytes()
            (folder / name).write_bytes(content)
            try:
                admit(folder, BaseWeights())
            except InvalidInputError as error:
                assert str(folder / name) in str(error)
            else:
                raise AssertionError(f"{name} was admitted")
            (folder / name).write_bytes(whole)


@given(key=st.sampled_from(sorted(lora_config())), value=VALUES)
@settings(max_examples=400, deadline=None)
def test_any_value_of_a_setting_is_judged_or_refused_in_words(key: str, value: Any) -> None:
    try:
        config = read_config(Path("file"), lora_config(**{key: value}))
    except InvalidInputError as error:
        assert f"`{key}`" in str(error) or key == "peft_type"
        assert str(error).isprintable()
    else:
        assert config.method.rank >= 1  # type: ignore[union-attr]


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(max_examples=200, deadline=None)
def test_every_flipped_bit_is_refused_or_gives_another_digest(place: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_adapter(Path(scratch) / "given", shapes=PLAIN)
        before = admit(folder, BaseWeights()).files
        content = bytearray((folder / WEIGHTS).read_bytes())
        content[place % len(content)] ^= 1 << bit
        (folder / WEIGHTS).write_bytes(content)
        try:
            after = admit(folder, BaseWeights()).files
        except InvalidInputError:
            return
        assert after[WEIGHTS] != before[WEIGHTS] and after[CONFIG] == before[CONFIG]
