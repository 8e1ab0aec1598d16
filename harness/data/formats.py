"""Turn a row into an `Example`: chat `messages`, or `prompt` with `completion`.

A conversation ends with the answer of the assistant, which becomes the target; what comes before is the prompt.
A row without an answer is an unlabelled input. Keys beyond those of the format are refused, so that a typo in
`tags` cannot silently drop a slice; free remarks go under `meta`.
"""

from __future__ import annotations

import hashlib
from typing import Any

from harness.data.sources import Row, Source, raise_problems
from harness.records import Example, Message
from harness.strict_json import canonical

ROLES = ("system", "user", "assistant")
SHARED_KEYS = {"id", "tags", "cluster", "meta"}


def to_examples(source: Source, *, labelled: bool) -> tuple[Example, ...]:
    """Every row of a file as an example, in file order.

    Raises:
        InvalidInputError: naming file and line of each row that does not fit, or has no target where one is needed.
    """
    examples: list[Example] = []
    problems: list[str] = []
    for row in source.rows:
        try:
            examples.append(to_example(row, labelled=labelled))
        except ValueError as error:
            problems.append(f"{row.where}: {error}")
    raise_problems(problems)
    return tuple(examples)


def to_example(row: Row, *, labelled: bool) -> Example:
    """One row as an example; ValueError says what does not fit."""
    value = row.value
    if "messages" in value:
        _allow(value, {"messages"})
        messages = _messages(value["messages"], "messages")
        target = None
        if messages[-1].role == "assistant":
            target = messages[-1].content
            messages = messages[:-1]
    elif "prompt" in value:
        _allow(value, {"prompt", "completion"})
        messages = _prompt(value["prompt"])
        target = _completion(value["completion"]) if value.get("completion") is not None else None
    else:
        found = ", ".join(sorted(value)) or "nothing"
        raise ValueError(f"needs `messages`, or `prompt` with `completion`; found {found}")
    if not any(message.role == "user" for message in messages):
        raise ValueError("there is no user message to answer")
    if labelled and target is None:
        raise ValueError("there is no answer: the last message must be the assistant's, or give `completion`")
    if target is not None and not target.strip():
        raise ValueError("the answer is empty")
    return Example(
        id=_identity(value.get("id"), messages, target),
        messages=messages,
        target=target,
        tags=_tags(value.get("tags")),
        cluster=_optional_text(value.get("cluster"), "cluster"),
        source=row.where,
    )


def _allow(value: dict[str, Any], keys: set[str]) -> None:
    unknown = sorted(set(value) - keys - SHARED_KEYS)
    if unknown:
        raise ValueError(f"unknown key {', '.join(unknown)}; remarks go under `meta`")


def _messages(value: Any, name: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"`{name}` must be a non-empty list")
    return tuple(_message(item, f"{name}[{index}]") for index, item in enumerate(value))


def _message(value: Any, name: str) -> Message:
    if not isinstance(value, dict) or set(value) - {"role", "content"}:
        raise ValueError(f"{name} must be an object with `role` and `content`")
    role, content = value.get("role"), value.get("content")
    if role not in ROLES:
        raise ValueError(f"{name}.role {role!r} is not one of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise ValueError(f"{name}.content must be text")
    return Message(role=role, content=content)


def _prompt(value: Any) -> tuple[Message, ...]:
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("the prompt is empty")
        return (Message(role="user", content=value),)
    return _messages(value, "prompt")


def _completion(value: Any) -> str:
    if isinstance(value, str):
        return value
    messages = _messages(value, "completion")
    if len(messages) != 1 or messages[0].role != "assistant":
        raise ValueError("`completion` must be text or one assistant message")
    return messages[0].content


def _identity(value: Any, messages: tuple[Message, ...], target: str | None) -> str:
    if value is not None:
        if not isinstance(value, str) or not value.strip() or len(value) > 200:
            raise ValueError("`id` must be text of 1 to 200 characters")
        return value
    content = canonical([[[m.role, m.content] for m in messages], target])
    return hashlib.sha256(content.encode("utf-8")).hexdigest()[:16]


def _tags(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(tag, str) and tag for tag in value):
        raise ValueError("`tags` must be a list of text")
    return tuple(dict.fromkeys(value))


def _optional_text(value: Any, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"`{name}` must be text")
    return value
