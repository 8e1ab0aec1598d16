"""The log-probabilities of a chat completion: read whole and as they are, or taken for not given."""

from __future__ import annotations

import json
from typing import Any

import pytest
from faulty_server import completion

from harness.records import ServedToken
from harness.systems.http_chat import read_reply

LISTED = {
    "token": "é",
    "bytes": [195, 169],
    "logprob": -0.5,
    "top_logprobs": [
        {"token": "é", "bytes": [195, 169], "logprob": -0.5},
        {"token": "e", "bytes": None, "logprob": -1},
    ],
}


def tokens(*content: Any) -> tuple[ServedToken, ...] | None:
    return read_reply(json.dumps(completion("é", logprobs={"content": list(content)})).encode()).tokens


def test_each_token_is_read_with_what_else_was_likely() -> None:
    assert tokens(LISTED) == (ServedToken(content="c3a9", logprob=-0.5, others=(("65", -1.0),)),)


def test_the_text_stands_for_the_bytes_where_a_server_gives_none() -> None:
    assert tokens({"token": "é", "logprob": -0.5}) == (ServedToken(content="c3a9", logprob=-0.5),)


def test_a_token_without_text_is_the_end() -> None:
    assert tokens({"token": "", "bytes": [], "logprob": -0.1}) == (ServedToken(content="", logprob=-0.1),)


@pytest.mark.parametrize(
    "changes",
    [
        {"logprob": None},
        {"logprob": "-0.5"},
        {"logprob": True},
        {"logprob": 10**400},
        {"bytes": [256]},
        {"bytes": "c3a9"},
        {"token": None},
        {"top_logprobs": [{"token": "e"}]},
    ],
)
def test_a_list_with_one_faulty_token_is_no_list(changes: dict[str, Any]) -> None:
    """A shorter one would be another answer."""
    assert tokens(LISTED, {**LISTED, **changes}) is None


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": []}, "none", []])
def test_no_list_is_none_and_the_answer_stands(logprobs: Any) -> None:
    reply = read_reply(json.dumps(completion("fine", logprobs=logprobs)).encode())
    assert (reply.text, reply.tokens) == ("fine", None)
