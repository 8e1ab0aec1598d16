"""Turn a row into an `Example`, in whichever of the known formats its keys show it to be.

A conversation ends with the answer of the assistant, which becomes the target; what comes before is the prompt.
A row without an answer is an unlabelled input. Keys beyond those of the format are refused, so that a typo in
`tags` cannot silently drop a slice; free remarks go under `meta`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.data.sources import Row, Source, raise_problems
from harness.data.turns import (
    SHAREGPT,
    read_completion,
    read_messages,
    read_prompt,
    read_text,
    split_answer,
)
from harness.records import Example, Message
from harness.strict_json import canonical

SHARED_KEYS = ("id", "tags", "cluster", "meta")


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a row: what it is called, the keys that it allows beside the shared ones, and its answer."""

    title: str
    keys: tuple[str, ...]
    answer: str = ""  # how a row gets one


CHAT = Format("chat messages", ("messages",), "the last message must be the assistant's")
SHAREGPT_ROWS = Format("ShareGPT", ("conversations",), "the last turn must be gpt's")
ALPACA = Format("Alpaca", ("instruction", "input", "output", "system", "history"), "give `output`")
PROMPT = Format("prompt and completion", ("prompt", "completion"), "give `completion`")
CHAT_PROMPT = Format("prompt and completion as messages", PROMPT.keys, PROMPT.answer)
PREFERENCES = Format("preferences", ("prompt", "messages", "chosen", "rejected"))
CHAT_PREFERENCES = Format("preferences as whole conversations", PREFERENCES.keys)
TEXT = Format("raw text", ("text",))

# The first of these keys that a row has tells its format.
_MARKS = (
    ("chosen", PREFERENCES),
    ("rejected", PREFERENCES),
    ("messages", CHAT),
    ("conversations", SHAREGPT_ROWS),
    ("instruction", ALPACA),
    ("prompt", PROMPT),
    ("text", TEXT),
)


def detect(value: Mapping[str, Any]) -> Format:
    """The format of a row; ValueError when its keys are those of none."""
    found = next((known for mark, known in _MARKS if mark in value), None)
    if found is None:
        keys = ", ".join(sorted(value)) or "nothing"
        raise ValueError(
            "no known format: needs `messages`, `conversations` (ShareGPT), `instruction` with `output` (Alpaca), "
            f"`prompt` with `completion`, or `chosen` and `rejected`; found {keys}; `data.columns` renames"
        )
    if found is PROMPT and isinstance(value["prompt"], list):
        return CHAT_PROMPT
    return CHAT_PREFERENCES if found is PREFERENCES and not {"prompt", "messages"} & value.keys() else found


def describe(source: Source) -> str:
    """What a file holds, such as "CSV, 120 rows of prompt and completion"; its rows have been found to fit."""
    counts = Counter(detect(row.value).title for row in source.rows)
    held = " and ".join(f"{n:,} row{'' if n == 1 else 's'} of {title}" for title, n in counts.items())
    return f"{source.container}, {held or 'no rows'}"


def to_examples(source: Source, *, labelled: bool) -> tuple[Example, ...]:
    """Every row of a file as an example, in file order.

    Raises:
        InvalidInputError: naming file and line of each row that does not fit, or has no target where one is needed.
    """
    return _each(source, lambda row: to_example(row, labelled=labelled))


def to_pairs(source: Source) -> tuple[Example, ...]:
    """Every row {prompt, chosen, rejected} as an example whose target is preferred to its rejected answer.

    Raises:
        InvalidInputError: naming file and line of each row that does not fit.
    """
    return _each(source, _to_pair)


def to_texts(source: Source) -> tuple[Example, ...]:
    """Every row {text} as an example without a question, whose target is the text.

    Raises:
        InvalidInputError: naming file and line of each row that does not fit.
    """
    return _each(source, _to_text)


def _each(source: Source, read: Callable[[Row], Example]) -> tuple[Example, ...]:
    examples: list[Example] = []
    problems: list[str] = []
    for row in source.rows:
        try:
            examples.append(read(row))
        except ValueError as error:
            problems.append(f"{row.where}: {error}")
    raise_problems(problems)
    return tuple(examples)


def to_example(row: Row, *, labelled: bool) -> Example:
    """One row as an example; ValueError says what does not fit."""
    value, found = row.value, detect(row.value)
    read = _QUESTIONS.get(found.title)
    if read is None:
        needs = ", ".join(f"`{mark}`" for mark, known in _MARKS if known.title in _QUESTIONS)
        raise ValueError(f"this is {found.title}; a row with a question is needed here, by one of {needs}")
    _allow(value, found)
    messages, target = read(value)
    _require_question(messages)
    if labelled and target is None:
        raise ValueError(f"there is no answer: {found.answer}")
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


def _chat(value: dict[str, Any]) -> tuple[tuple[Message, ...], str | None]:
    return split_answer(read_messages(value["messages"], "messages"))


def _sharegpt(value: dict[str, Any]) -> tuple[tuple[Message, ...], str | None]:
    return split_answer(read_messages(value["conversations"], "conversations", SHAREGPT))


def _prompt(value: dict[str, Any]) -> tuple[tuple[Message, ...], str | None]:
    completion = value.get("completion")
    return read_prompt(value["prompt"]), None if completion is None else read_completion(completion, "completion")


def _alpaca(value: dict[str, Any]) -> tuple[tuple[Message, ...], str | None]:
    """Instruction and input are one message, parted by a line break, as LLaMA-Factory does."""
    system, given = read_text(value.get("system"), "system"), read_text(value.get("input"), "input")
    instruction = read_text(value["instruction"], "instruction")
    if not instruction.strip():
        raise ValueError("the instruction is empty")
    asked = Message(role="user", content=f"{instruction}\n{given}" if given.strip() else instruction)
    before = (Message(role="system", content=system),) if system else ()
    output = value.get("output")
    return (*before, *_history(value.get("history")), asked), None if output is None else read_text(output, "output")


def _history(value: Any) -> Iterator[Message]:
    """The turns before the last question."""
    if value is not None and not isinstance(value, list):
        raise ValueError("`history` must be a list of pairs of text")
    for index, pair in enumerate(value or []):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ValueError(f"history[{index}] must be a list of two texts, a question and its answer")
        yield Message(role="user", content=pair[0])
        yield Message(role="assistant", content=pair[1])


_QUESTIONS: dict[str, Callable[[dict[str, Any]], tuple[tuple[Message, ...], str | None]]] = {
    CHAT.title: _chat,
    SHAREGPT_ROWS.title: _sharegpt,
    ALPACA.title: _alpaca,
    PROMPT.title: _prompt,
    CHAT_PROMPT.title: _prompt,
}


def _to_pair(row: Row) -> Example:
    value = row.value
    if missing := [key for key in ("chosen", "rejected") if key not in value]:
        raise ValueError(f"a preference needs `prompt`, `chosen` and `rejected`; {missing[0]} is missing")
    _allow(value, detect(value))
    messages, chosen, rejected = _preference(value)
    _require_question(messages)
    if not chosen.strip() or not rejected.strip():
        raise ValueError("an answer is empty")
    if chosen == rejected:
        raise ValueError("`chosen` and `rejected` are the same")
    return Example(
        id=_identity(value.get("id"), messages, f"{chosen}\0{rejected}"),
        messages=messages,
        target=chosen,
        rejected=rejected,
        tags=_tags(value.get("tags")),
        cluster=_optional_text(value.get("cluster"), "cluster"),
        source=row.where,
    )


def _preference(value: dict[str, Any]) -> tuple[tuple[Message, ...], str, str]:
    """The prompt and both answers; without a prompt, what two whole conversations have in common (TRL's implicit form).

    Source: TRL, "Dataset formats and types".
    """
    chosen, rejected = value["chosen"], value["rejected"]
    if "prompt" in value and "messages" in value:
        raise ValueError("a preference has `prompt` or `messages`, not both")
    if "prompt" in value or "messages" in value:
        asked = read_prompt(value["prompt"]) if "prompt" in value else read_messages(value["messages"], "messages")
        return asked, read_completion(chosen, "chosen"), read_completion(rejected, "rejected")
    if not isinstance(chosen, list) or not isinstance(rejected, list):
        raise ValueError(
            "a preference needs `prompt`, `chosen` and `rejected`; prompt is missing, and only whole conversations "
            "in `chosen` and `rejected` do without"
        )
    one, other = read_messages(chosen, "chosen"), read_messages(rejected, "rejected")
    if one[:-1] != other[:-1] or {one[-1].role, other[-1].role} != {"assistant"}:
        raise ValueError("`chosen` and `rejected` must be one conversation up to the assistant's last message")
    return one[:-1], one[-1].content, other[-1].content


def _to_text(row: Row) -> Example:
    value = row.value
    text = value.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("needs `text`, a text to learn from")
    _allow(value, TEXT)
    return Example(id=_identity(value.get("id"), (), text), messages=(), target=text, source=row.where)


def _require_question(messages: tuple[Message, ...]) -> None:
    if not any(message.role == "user" and message.content.strip() for message in messages):
        raise ValueError("there is no user message to answer")


def _allow(value: dict[str, Any], found: Format) -> None:
    unknown = sorted(set(value).difference(found.keys, SHARED_KEYS))
    if unknown:
        raise ValueError(
            f"unknown key {', '.join(unknown)}; this is {found.title}, with {', '.join((*found.keys, *SHARED_KEYS))}; "
            "remarks go under `meta`"
        )


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
