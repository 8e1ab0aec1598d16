"""Read the parts of a row that hold what was said: messages, a prompt, a completion; each in its spellings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.records import Message, Role


@dataclass(frozen=True, slots=True)
class Spelling:
    """What a turn of a conversation calls its speaker and its text, and what it calls the speakers."""

    role: str
    content: str
    roles: Mapping[str, Role]


CHAT = Spelling("role", "content", {"system": "system", "user": "user", "assistant": "assistant"})
SHAREGPT = Spelling(
    "from",
    "value",
    {"system": "system", "human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant"},
)


def read_messages(value: Any, name: str, spelling: Spelling = CHAT) -> tuple[Message, ...]:
    """A conversation; ValueError says which turn does not fit, by the `name` of the list."""
    if not isinstance(value, list) or not value:
        raise ValueError(f"`{name}` must be a non-empty list")
    return tuple(_message(item, f"{name}[{index}]", spelling) for index, item in enumerate(value))


def _message(value: Any, name: str, spelling: Spelling) -> Message:
    keys = {spelling.role, spelling.content}
    if not isinstance(value, dict) or set(value) - keys:
        extra = f"; unknown key {', '.join(sorted(set(value) - keys))}" if isinstance(value, dict) else ""
        raise ValueError(f"{name} must be an object with `{spelling.role}` and `{spelling.content}`{extra}")
    role, content = value.get(spelling.role), value.get(spelling.content)
    if not isinstance(role, str) or role not in spelling.roles:
        raise ValueError(f"{name}.{spelling.role} {role!r} is not one of {', '.join(spelling.roles)}")
    if not isinstance(content, str):
        raise ValueError(f"{name}.{spelling.content} must be text")
    return Message(role=spelling.roles[role], content=content)


def split_answer(messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], str | None]:
    """What comes before the last message, and that message where it is the assistant's."""
    if messages[-1].role == "assistant":
        return messages[:-1], messages[-1].content
    return messages, None


def read_prompt(value: Any) -> tuple[Message, ...]:
    """A prompt: text that the user says, or a conversation."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("the prompt is empty")
        return (Message(role="user", content=value),)
    if not isinstance(value, list):
        raise ValueError("`prompt` must be text or a list of messages")
    return read_messages(value, "prompt")


def read_completion(value: Any, name: str) -> str:
    """An answer: text, or a list of one message of the assistant."""
    if isinstance(value, str):
        return value
    messages = read_messages(value, name) if isinstance(value, list) else ()
    if len(messages) != 1 or messages[0].role != "assistant":
        raise ValueError(f"`{name}` must be text or one assistant message")
    return messages[0].content


def read_text(value: Any, name: str) -> str:
    """A text that may be left out; empty then."""
    if value is not None and not isinstance(value, str):
        raise ValueError(f"`{name}` must be text")
    return value or ""
