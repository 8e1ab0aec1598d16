"""Solved examples as earlier turns of the conversation, drawn from the training rows only."""

from __future__ import annotations

import random
from collections.abc import Sequence

from harness.engine.chat import with_system
from harness.records import Example, Message
from harness.systems.local_model import BuildPrompt, digest_text


def few_shot_builder(system: str | None, train: Sequence[Example], *, shots: int, seed: int) -> tuple[BuildPrompt, str]:
    """How an example is asked after `shots` solved ones, the same for all, and the digest of what is added.

    Raises:
        ValueError: fewer training rows than shots.
    """
    if len(train) < shots:
        raise ValueError(f"{shots} shots need as many training rows; there are {len(train)}")
    chosen = random.Random(f"few-shot {seed}").sample(list(train), shots)
    turns: list[Message] = []
    for example in chosen:
        turns += [message for message in example.messages if message.role != "system"]
        turns.append(Message(role="assistant", content=example.target or ""))

    def build(example: Example) -> Sequence[Message]:
        asked = with_system(example.messages, system)
        head = [message for message in asked if message.role == "system"]
        rest = [message for message in asked if message.role != "system"]
        return (*head, *turns, *rest)

    return build, digest_text("few_shot", system, *(f"{turn.role}\n{turn.content}" for turn in turns))
