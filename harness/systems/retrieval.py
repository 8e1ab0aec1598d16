"""Passages that BM25 finds for each example, put before its question."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.engine.chat import with_system
from harness.records import Example, Message, Passage
from harness.systems.bm25 import METHOD, index_texts
from harness.systems.prompting import BuildPrompt, digest_text

DEFAULT_TEMPLATE = "Passages that may help:\n\n{passages}\n\nQuestion: {question}"
LABELS = {"user": "Question", "assistant": "Answer"}

_PLACES = re.compile(r"\{(passages|question)\}")


def training_passages(train: Sequence[Example]) -> tuple[Passage, ...]:
    """A passage for each training row: its question, earlier turns included, and its answer."""
    return tuple(Passage(text=_solved_text(row), source=row.source or row.id) for row in train)


def retrieval_builder(
    system: str | None, passages: Sequence[Passage], *, count: int, template: str | None
) -> tuple[BuildPrompt, str]:
    """How an example is asked with the `count` passages nearest to its last user message, best first.

    That message becomes the template (`DEFAULT_TEMPLATE` if None) with {passages} and {question} filled in; nothing
    else in braces means anything, in the template or in what is filled in. The digest covers all of it.

    Raises:
        ValueError: no passages, or a template without one of the two places.
    """
    if not passages:
        raise ValueError("there are no passages to search")
    form = DEFAULT_TEMPLATE if template is None else template
    if missing := {"passages", "question"} - set(_PLACES.findall(form)):
        raise ValueError(f"the template must contain {' and '.join(f'{{{name}}}' for name in sorted(missing))}")
    texts = tuple(passage.text for passage in passages)
    index = index_texts(texts)

    def build(example: Example) -> Sequence[Message]:
        asked = list(with_system(example.messages, system))
        last = max(position for position, message in enumerate(asked) if message.role == "user")
        question = asked[last].content
        found = (texts[position] for position in index.rank(question, count))
        filled = {"passages": "\n\n".join(f"[{n}] {text}" for n, text in enumerate(found, 1)), "question": question}
        asked[last] = Message(role="user", content=_PLACES.sub(lambda place: filled[place[1]], form))
        return tuple(asked)

    return build, digest_text("retrieval", METHOD, system, form, str(count), *texts)


def _solved_text(row: Example) -> str:
    turns = [f"{LABELS[message.role]}: {message.content}" for message in row.messages if message.role in LABELS]
    return "\n".join([*turns, f"{LABELS['assistant']}: {row.target or ''}"])
