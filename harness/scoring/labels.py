"""Answers that are sets of labels: F1 of one answer, and equality of the sets."""

from __future__ import annotations

from harness.records import Score, ScoreResult, Unscored
from harness.scoring.json_schema import extract_json


def label_f1(text: str, target: str) -> ScoreResult:
    """Example-based F1 of two label sets, 2·|A∩B| / (|A| + |B|) (Godbole & Sarawagi 2004); two empty sets score 1.

    0 when the answer is no list of labels; Unscored when the target is none.
    """
    given, wanted = label_set(text), label_set(target)
    if wanted is None:
        return Unscored("the target is neither a JSON list of texts nor a comma list")
    if given is None:
        return Score(0.0)
    if not given and not wanted:
        return Score(1.0)
    return Score(2 * len(given & wanted) / (len(given) + len(wanted)))


def label_match(text: str, target: str) -> ScoreResult:
    """1 when the answer has exactly the target's labels, in any order and however often each is named, else 0.

    Unscored when the target is no list of labels.
    """
    given, wanted = label_set(text), label_set(target)
    if wanted is None:
        return Unscored("the target is neither a JSON list of texts nor a comma list")
    return Score(float(given == wanted))


def label_set(text: str) -> frozenset[str] | None:
    """The labels of a JSON list of texts, code fences and prose around it allowed, or of a comma list; else None.

    A run of white space inside a label is one space; case counts. No label at all is written as [].
    """
    value = extract_json(text)
    if isinstance(value, dict):
        return None
    if isinstance(value, list):
        if not all(isinstance(label, str) for label in value):
            return None
        labels = value
    else:
        labels = (value if isinstance(value, str) else text).split(",")
    found = frozenset(filter(None, (" ".join(label.split()) for label in labels)))
    return found if found or value == [] else None
