"""Exact match, on JSON targets by parsed value and on all others by text; and texts that an answer contains."""

from __future__ import annotations

from typing import Any, Literal

from harness import strict_json
from harness.records import Score
from harness.scoring.json_schema import NoJson, extract_json, leaves


def exact_match(text: str, target: str) -> Score:
    """1 when the answer is the target, else 0.

    A target that is a JSON object or array is compared by value with the JSON extracted from the answer: the
    order of keys and 1 or 1.0 make no difference. Any other target is compared as text, runs of white space
    being one space.
    """
    wanted = _json_container(target)
    if wanted is None:
        return Score(float(text.split() == target.split()))
    answer = extract_json(text)
    return Score(float(not isinstance(answer, NoJson) and leaves(answer) == leaves(wanted)))


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
