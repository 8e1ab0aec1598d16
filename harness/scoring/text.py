"""Exact match, on JSON targets by parsed value and on all others by text; and texts that an answer contains."""

from __future__ import annotations

from typing import Any, Literal

from harness import strict_json
from harness.records import Score
from harness.scoring.json_schema import Leaf, NoJson, extract_json, leaves

Form = tuple[str, ...] | frozenset[Leaf]  # the words of a text, or the leaves of a JSON object or array


def exact_match(text: str, target: str) -> Score:
    """1 when the answer is the target, else 0.

    A target that is a JSON object or array is compared by value with the JSON extracted from the answer: the
    order of keys and 1 or 1.0 make no difference. Any other target is compared as text, runs of white space
    being one space.
    """
    wanted = target_form(target)
    return Score(float(answer_form(text, like=wanted) == wanted))


def target_form(target: str) -> Form:
    """What exact match compares an answer with: the leaves of a target that is a JSON object or array, else its words.

    A target of white space has no words: ().
    """
    value = _json_container(target)
    return tuple(target.split()) if value is None else leaves(value)


def answer_form(text: str, *, like: Form) -> Form | None:
    """What exact match sees of an answer where the target has a form `like` this; None when there is no JSON in it."""
    if isinstance(like, tuple):
        return tuple(text.split())
    value = extract_json(text)
    return None if isinstance(value, NoJson) else leaves(value)


def contains(text: str, *, texts: tuple[str, ...], require: Literal["all", "any"], ignore_case: bool) -> Score:
    """1 when the answer contains all or any of `texts`, a run of white space being one space, else 0."""
    said = _spaced(text, ignore_case)
    found = (_spaced(wanted, ignore_case) in said for wanted in texts)
    return Score(float(all(found) if require == "all" else any(found)))


def _spaced(text: str, ignore_case: bool) -> str:
    spaced = " ".join(text.split())
    return spaced.casefold() if ignore_case else spaced


def _json_container(target: str) -> dict[str, Any] | list[Any] | None:
    try:
        value = strict_json.parse(target.strip())
    except strict_json.StrictJsonError:
        return None
    return value if isinstance(value, dict | list) else None
