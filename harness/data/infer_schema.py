"""Infer a JSON Schema from the values that it must accept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

MOST_LISTED = 20  # values of a text field that are listed one by one
LONGEST_LISTED = 60  # characters
ROWS_PER_VALUE = 4  # on average, or the values of a field are not few
MOST_SEEN_ONCE = 0.01  # of a field's values: about the share of those still to come that would be new (Good 1953)
MOST_KEYS = 100  # of an object; one with more is a map
DEEPEST = 16  # levels that are described; what lies below may be anything

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def infer_schema(values: Sequence[Any], depth: int = 0) -> dict[str, Any]:
    """The JSON Schema (Draft 2020-12) of parsed JSON values: it accepts each of them, and little else.

    Types; the keys that an object may have and those that it always has; a list of values where a text field has few
    that come again and again; what the items of an array are. Nothing is said of lengths and ranges, which a sample
    does not tell.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("a schema is inferred from at least one value")
    if depth == DEEPEST:
        return {}
    types = list(dict.fromkeys(_TYPES.get(type(value), "null") for value in values))
    if {"integer", "number"} <= set(types):
        types.remove("integer")  # which a number may be
    schema: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    if set(types) <= {"string", "null"} and (listed := _few_values(values)):
        return {"enum": listed} if "null" in types else schema | {"enum": listed}
    if "object" in types:
        schema |= _object([value for value in values if isinstance(value, dict)], depth)
    items = [item for value in values if isinstance(value, list) for item in value]
    if items:
        schema["items"] = infer_schema(items, depth + 1)
    return schema


def _few_values(values: Sequence[str | None]) -> list[str | None]:
    """The different values in order of their frequency, where they are few; else none. Numbers are never listed."""
    counts = Counter(values)
    texts = [value for value in counts if value is not None]
    seen_once = sum(count == 1 for count in counts.values())
    are_few = len(counts) <= min(MOST_LISTED, len(values) / ROWS_PER_VALUE) and len(texts) > 0
    if not are_few or seen_once > MOST_SEEN_ONCE * len(values):
        return []
    are_words = all(len(text) <= LONGEST_LISTED and not text.isdigit() for text in texts)
    return [value for value, _ in counts.most_common()] if are_words else []


def _object(values: Sequence[dict[str, Any]], depth: int) -> dict[str, Any]:
    """What is said of objects: their keys, or of the members of a map alone."""
    keys = list(dict.fromkeys(key for value in values for key in value))
    if len(keys) > MOST_KEYS:
        return {
            "additionalProperties": infer_schema([member for value in values for member in value.values()], depth + 1)
        }
    properties = {key: infer_schema([value[key] for value in values if key in value], depth + 1) for key in keys}
    required = [key for key in keys if all(key in value for value in values)]
    return {"properties": properties, "required": required, "additionalProperties": False}
