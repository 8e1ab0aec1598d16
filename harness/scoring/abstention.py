"""Abstention: saying that there is no answer exactly where the target says so."""

from __future__ import annotations

import re

from harness.records import Score

LABELS = ("null",)  # what abstains unless the suite declares labels

# After a label: nothing, punctuation, or a dash that stands apart. "other-queue" and "unknown sender" go on.
_ENDS = re.compile(r"\s*(?:$|[.,;:!?…)\]\"'`]|(?<=\s)[-–—])")


def abstention(text: str, target: str, *, labels: tuple[str, ...] = LABELS) -> Score:
    """1 when answer and target both abstain or neither does, else 0; an empty answer scores 0.

    Whether what is answered is right is another scorer's business.
    """
    if not text.strip():
        return Score(0.0)
    return Score(float(abstains(text, labels) == abstains(target, labels)))


def abstains(text: str, labels: tuple[str, ...] = LABELS) -> bool:
    """Whether a text is one of the labels, or starts with one that punctuation follows.

    Case, white space, quotation marks around it and the form of an apostrophe make no difference. "I don't know:
    the manual is silent" abstains by the label "I don't know"; "unknown sender" does not by "unknown".
    """
    said = _folded(text)
    starts = (label for label in map(_folded, labels) if said.startswith(label))
    return any(_ENDS.match(said, len(label)) for label in starts)


def _folded(text: str) -> str:
    return " ".join(text.replace("’", "'").casefold().split()).lstrip("\"'“`")
