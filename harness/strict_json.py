"""Strict JSON: RFC 8259 to the letter, and one canonical text for digests."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from harness.limits import JSON_DEPTH, JSON_DIGITS

# Possessive quantifiers, and a closing quote that may be missing, keep the scan linear on hostile text.
_TOKEN = re.compile(
    r"""
      (?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+"?)(?P<colon>[ \t\n\r]*+:)?
    | (?P<open>[{\[])
    | (?P<close>[}\]])
    | (?P<integer>-?[0-9]++)(?P<rest>(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)
    | (?P<constant>NaN|-?Infinity)
    """,
    re.VERBOSE | re.DOTALL,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class StrictJsonError(ValueError):
    """Text that is not strict JSON: `problem` says what is wrong, `line` and `column` (from 1) where."""

    def __init__(self, problem: str, text: str, position: int) -> None:
        self.problem = problem
        self.line = text.count("\n", 0, position) + 1
        self.column = position - text.rfind("\n", 0, position)
        super().__init__(f"line {self.line} column {self.column}: {problem}")


def parse(text: str) -> Any:
    """The one JSON value that `text` is, by RFC 8259 and without the leniencies of `json.loads`.

    Refused beyond what `json.loads` refuses: NaN and Infinity, numbers too large for a float, a key given
    twice in one object, lone surrogates, nesting deeper than `JSON_DEPTH`, integers of more than `JSON_DIGITS`
    digits.

    Raises:
        StrictJsonError: with line, column and what is wrong.
    """
    # First, since the decoder would meet its recursion limit without saying where.
    if text.count("[") + text.count("{") > JSON_DEPTH or _may_hide_surrogate(text):
        _refuse_leniencies(text)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        problem = "a byte order mark (BOM) is not JSON" if text.startswith("\ufeff") else error.msg
        raise StrictJsonError(problem, text, error.pos) from None
    except ValueError:
        _refuse_leniencies(text)  # says what and where
        raise


def _may_hide_surrogate(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return "\\u" in text and _ESCAPED_SURROGATE.search(text) is not None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _finite(number: str) -> float:
    if math.isinf(value := float(number)):
        raise ValueError("a number too large for a float")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


# These run for each object and number, which is many times faster than to scan every text for what they refuse.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_constant=_refuse_constant)


def canonical(value: Any) -> str:
    """The compact text of a JSON value with sorted keys, so that equal values have equal digests.

    Raises:
        ValueError: for NaN or infinity.
        TypeError: for what is not a JSON value.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _refuse_leniencies(text: str) -> None:
    if surrogate := _SURROGATE.search(text):
        raise StrictJsonError("a lone surrogate is not text", text, surrogate.start())
    keys: list[set[str]] = []  # of each open bracket
    for token in _TOKEN.finditer(text):
        here = token.start()
        if token["string"]:
            name = _string(token["string"], text, here)
            if token["colon"] and keys:
                if name in keys[-1]:
                    raise StrictJsonError(f"the key {_quoted(name)} is given twice", text, here)
                keys[-1].add(name)
        elif token["open"]:
            keys.append(set())
            if len(keys) > JSON_DEPTH:
                raise StrictJsonError(f"nested deeper than {JSON_DEPTH} levels", text, here)
        elif token["close"]:
            del keys[-1:]
        elif token["constant"]:
            raise StrictJsonError(f"{token['constant']} is not JSON", text, here)
        else:
            _refuse_number(token["integer"], token["rest"], text, here)


def _string(raw: str, text: str, here: int) -> str:
    """The text of a string token; only escapes need decoding, and only they can hide a surrogate."""
    if "\\" not in raw:
        return raw[1:-1]
    try:
        value: str = json.loads(raw)
    except json.JSONDecodeError as error:
        raise StrictJsonError(error.msg, text, here + error.pos) from None
    if _SURROGATE.search(value):
        raise StrictJsonError("a lone surrogate is not text", text, here)
    return value


def _refuse_number(integer: str, rest: str, text: str, here: int) -> None:
    if rest and math.isinf(float(integer + rest)):
        raise StrictJsonError("a number too large for a float", text, here)
    if not rest and len(integer.lstrip("-")) > JSON_DIGITS:
        raise StrictJsonError(f"an integer of more than {JSON_DIGITS} digits", text, here)


def _quoted(name: str) -> str:
    return repr(name if len(name) <= 40 else name[:39] + "…")
