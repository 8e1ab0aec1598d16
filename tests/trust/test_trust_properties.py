"""Whatever the bytes are, reading a verdict, an envelope, a log or a key ends in what it says or in a refusal."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from forging import SIGNER, Shipped, encode, reseal, ship
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_verdict import statement_of

from harness.errors import EvidenceRefusedError, InvalidInputError
from harness.trust.history import read_log
from harness.trust.sign import read_signer, refuse_wrong_signature
from harness.trust.verdicts import parse_verdict, verdict_bytes

# Before a release: HARNESS_FUZZ_EXAMPLES=100000.
EXAMPLES = int(os.environ.get("HARNESS_FUZZ_EXAMPLES", "150"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """A run that shipped; nothing here changes it."""
    return ship(tmp_path_factory.mktemp("project"))


def replaced(value: Any, data: st.DataObject, new: Any) -> Any:
    """The value with something of it, wherever it stands, exchanged for another."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 5)):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: replaced(value[key], data, new)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 5)):
        index = data.draw(st.integers(0, len(value) - 1))
        return [*value[:index], replaced(value[index], data, new), *value[index + 1 :]]
    return new


@FUZZ
@given(data=st.data(), new=JSON)
def test_a_verdict_with_anything_in_any_place_is_read_as_written_or_refused(
    data: st.DataObject, new: Any, shipped: Shipped
) -> None:
    changed = replaced(statement_of(shipped.folder), data, new)
    with contextlib.suppress(KeyError, TypeError, AttributeError):  # what the forger's own hand cannot seal
        changed = reseal(changed)
    content = changed if isinstance(changed, bytes) else encode(changed)
    with contextlib.suppress(EvidenceRefusedError):
        assert verdict_bytes(parse_verdict(content, "it")) == content


@FUZZ
@given(content=st.binary(max_size=200) | JSON.map(lambda value: encode(value)))
def test_any_bytes_are_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(EvidenceRefusedError):
        parse_verdict(content, "it")
    with pytest.raises(EvidenceRefusedError):
        refuse_wrong_signature(content, b"{}", SIGNER.public_key, "it")
    with pytest.raises(InvalidInputError):
        read_signer("-----BEGIN " + content.decode("latin-1"), "--key")
    log = tmp_path_factory.getbasetemp() / "log.jsonl"
    log.write_bytes(content)
    if content:
        with pytest.raises(EvidenceRefusedError):
            read_log(log)


@FUZZ
@given(data=st.data(), new=JSON)
def test_an_envelope_with_anything_in_any_place_is_refused(data: st.DataObject, new: Any, shipped: Shipped) -> None:
    value = json.loads(shipped.envelope.read_bytes())
    changed = encode(replaced(value, data, new))
    if changed != shipped.envelope.read_bytes():
        with pytest.raises(EvidenceRefusedError):
            refuse_wrong_signature(changed, shipped.verdict.read_bytes(), SIGNER.public_key, "it")


@FUZZ
@given(data=st.data(), new=JSON)
def test_a_log_with_anything_in_any_place_is_refused(
    data: st.DataObject, new: Any, shipped: Shipped, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = shipped.log.read_bytes().splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    changed = encode(replaced(json.loads(lines[place]), data, new))[:-1]
    if changed != lines[place]:
        log = Path(tmp_path_factory.getbasetemp() / "changed.jsonl")
        log.write_bytes(b"\n".join([*lines[:place], changed, *lines[place + 1 :]]) + b"\n")
        with pytest.raises(EvidenceRefusedError):
            read_log(log)
