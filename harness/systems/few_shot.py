"""Solved examples as earlier turns of the conversation, from the training rows only."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from harness.engine.chat import with_system
from harness.records import Example, Message
from harness.systems.bm25 import METHOD, index_texts
from harness.systems.prompting import BuildPrompt, digest_text


def few_shot_builder(system: str | None, train: Sequence[Example], *, shots: int, seed: int) -> tuple[BuildPrompt, str]:
    """How an example is asked after `shots` solved ones, the same for all, and the digest of what is added.

    Raises:
        ValueError: fewer training rows than shots.
    """
    _refuse_too_few(train, shots)
    turns = _solved(random.Random(f"few-shot {seed}").sample(list(train), shots))

    def build(example: Example) -> Sequence[Message]:
        return _asked_after(turns, example, system)

    return build, digest_text("few_shot", system, *_texts(turns))


def nearest_shots_builder(system: str | None, train: Sequence[Example], *, shots: int) -> tuple[BuildPrompt, str]:
    """How an example is asked after the `shots` solved ones whose user text is nearest by BM25, the nearest last.

    The digest covers every training row, since each may be chosen.

    Raises:
        ValueError: fewer training rows than shots.
    """
    _refuse_too_few(train, shots)
    rows = tuple(train)
    index = index_texts(tuple(_user_text(row) for row in rows))

    def build(example: Example) -> Sequence[Message]:
        nearest = index.rank(_user_text(example), shots)
        return _asked_after(_solved(rows[position] for position in reversed(nearest)), example, system)

    digests = (digest_text(*_texts(_solved([row]))) for row in rows)
    return build, digest_text("few_shot nearest", METHOD, system, str(shots), *digests)


def _refuse_too_few(train: Sequence[Example], shots: int) -> None:
    if len(train) < shots:
        raise ValueError(f"{shots} shots need as many training rows; there are {len(train)}")


def _solved(rows: Iterable[Example]) -> list[Message]:
    turns: list[Message] = []
    for row in rows:
        turns += [message for message in row.messages if message.role != "system"]
        turns.append(Message(role="assistant", content=row.target or ""))
    return turns


def _asked_after(turns: Sequence[Message], example: Example, system: str | None) -> Sequence[Message]:
    asked = with_system(example.messages, system)
    head = [message for message in asked if message.role == "system"]
    rest = [message for message in asked if message.role != "system"]
    return (*head, *turns, *rest)


def _texts(turns: Iterable[Message]) -> Iterable[str]:
    return (f"{turn.role}\n{turn.content}" for turn in turns)


def _user_text(example: Example) -> str:
    return "\n".join(message.content for message in example.messages if message.role == "user")
