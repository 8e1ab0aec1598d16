"""Bytes that are nearly those of a format: a whole seed with a few changes, or with values exchanged in its tree."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

NUMBERS = (
    *b"0 -0 -0.0 1e999 -1e999 1e-999 NaN Infinity -Infinity .inf .nan 1e400 0x10 0o7 1_0 00 01 1. .5 1e".split(),
    *b"9007199254740993 9223372036854775808 -9223372036854775809 340282366920938463463374607431768211456".split(),
    *b"1E+2 -1 2.0 true null".split(),
    *(b"9" * 400, b"9" * 5000, b"0." + b"3" * 400, b""),
)
ODD_TEXT = (
    *b"\\ \\u0000 \\ud800 \\ud83d\\ude00 \\N \\x41 \\U00110000 \" ' ` # % @ &a *a ! !! | > ? - : ,".split(),
    *b"{ } [ ] {} [] \"\" '' null true // .. ../ ~ $ ( ) * + ^ --- ...".split(),
    *(b"\0", b"\r\n", b"\r", b"\n", b"\t", b" ", b"\x0b", b"\x0c", b"\x1b[2J", b"\x7f", b"---\n", b": ", b"- ", b"? "),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"),
    *(letter.encode() for letter in "\x85\xa0\u2028\u200b\u202e\u0301\ufeff\uffffé\u0131ß²٣😀"),
    *(b"A" * 300, b" " * 300, b"\n" * 300),
)
WRAPS = ((b"[", b"]"), (b"{", b"}"), (b'{"a":', b"}"), (b"(", b")"), (b'"', b'"'), (b"- ", b""), (b"{%", b"%}"))
DEPTHS = (1, 2, 29, 30, 31, 100, 101, 3000)

_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")


class Edit(NamedTuple):
    """One change: what is done, where (of 2**16), and with what, each taken modulo what there is."""

    kind: int
    place: int
    amount: int
    choice: int


Change = Callable[[bytes, Edit, "Format"], bytes]


class Format(NamedTuple):
    """What inputs of a format are made from: whole ones, and words of the format; `lines` of JSON, or one `tree`."""

    seeds: tuple[bytes, ...]
    tokens: tuple[bytes, ...] = ()
    tree: bool = False
    lines: bool = False


def flip_bit(content: bytes, edit: Edit, _: Format) -> bytes:
    at = _at(content, edit)
    return (
        content[:at] + bytes([content[at] ^ 1 << edit.choice % 8]) + content[at + 1 :] if at < len(content) else b"\0"
    )


def put_byte(content: bytes, edit: Edit, _: Format) -> bytes:
    at = _at(content, edit)
    return content[:at] + bytes([edit.choice % 256]) + content[at + edit.amount % 2 :]


def put_odd_text(content: bytes, edit: Edit, _: Format) -> bytes:
    at = _at(content, edit)
    return content[:at] + ODD_TEXT[edit.choice % len(ODD_TEXT)] + content[at + edit.amount % 3 :]


def put_token(content: bytes, edit: Edit, given: Format) -> bytes:
    tokens = given.tokens or ODD_TEXT
    at = _at(content, edit)
    return content[:at] + tokens[edit.choice % len(tokens)] + content[at + edit.amount % 9 :]


def change_number(content: bytes, edit: Edit, _: Format) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return content
    number = found[edit.place % len(found)]
    return content[: number.start()] + NUMBERS[edit.choice % len(NUMBERS)] + content[number.end() :]


def delete(content: bytes, edit: Edit, _: Format) -> bytes:
    at = _at(content, edit)
    return content[:at] + content[at + 1 + edit.amount % 40 :]


def duplicate(content: bytes, edit: Edit, _: Format) -> bytes:
    at = _at(content, edit)
    piece = content[at : at + 1 + edit.amount % 120]
    return content[:at] + piece * (1 + edit.choice % 3) + content[at:]


def splice(content: bytes, edit: Edit, given: Format) -> bytes:
    """A piece of another seed in the place of one of this."""
    other, at = given.seeds[edit.choice % len(given.seeds)], _at(content, edit)
    begin = edit.amount * 31 % (len(other) + 1)
    return content[:at] + other[begin : begin + edit.amount % 200] + content[at + edit.amount % 50 :]


def cut_off(content: bytes, edit: Edit, _: Format) -> bytes:
    return content[: _at(content, edit)]


def nest(content: bytes, edit: Edit, _: Format) -> bytes:
    (opening, closing), depth = WRAPS[edit.choice % len(WRAPS)], DEPTHS[edit.amount % len(DEPTHS)]
    at = _at(content, edit)
    end = min(len(content), at + edit.amount % 30)
    return content[:at] + opening * depth + content[at:end] + closing * depth + content[end:]


def other_line_ends(content: bytes, edit: Edit, _: Format) -> bytes:
    return content.replace(b"\n", (b"\r\n", b"\r", b"\n\n", b"\n\r", b"\xc2\x85")[edit.choice % 5])


def other_encoding(content: bytes, edit: Edit, _: Format) -> bytes:
    if edit.choice % 4 == 0:
        return b"\xef\xbb\xbf" + content
    text = content.decode("utf-8", "replace")
    return text.encode(("utf-16", "utf-32", "latin-1")[edit.choice % 4 - 1], "replace")


# What changes little comes more often, since it goes deeper into a parser.
CHANGES: tuple[Change, ...] = (
    *(flip_bit, put_byte, put_odd_text, put_odd_text, put_token, put_token, put_token, put_token, change_number),
    *(change_number, change_number, delete, delete, duplicate, splice, splice, cut_off, nest),
    *(other_line_ends, other_encoding),
)


def _at(content: bytes, edit: Edit) -> int:
    return edit.place * (len(content) + 1) >> 16


ONE = st.builds(
    Edit, st.integers(0, len(CHANGES) - 1), st.integers(0, 2**16 - 1), st.integers(0, 999), st.integers(0, 999)
)
# One change is what most inputs that are nearly whole have; whole ones, and much damaged ones, come as well.
EDITS = st.lists(ONE, min_size=1, max_size=1) | st.lists(ONE, max_size=2) | st.lists(ONE, max_size=6)


def edited(content: bytes, edits: Sequence[Edit], given: Format) -> bytes:
    """The content with each change made, one after the other."""
    for edit in edits:
        content = CHANGES[edit.kind](content, edit, given)
    return content


# --- values in a tree ------------------------------------------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from([2**53 + 1, -(2**63) - 1, 10**30, 10**400, 10**4299])
    | st.floats()
    | st.sampled_from([-0.0, 1.0, 0.5, 1e308, 5e-324])
    | st.text(max_size=8)
    | st.sampled_from(
        ["", " ", "\0", "\ud800", "\ufeff", "1", "1e999", "nan", "../up", "a" * 300, "-----BEGIN", "{{", "٣"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def regrown(draw: st.DrawFn, given: Format) -> bytes:
    """The value of a seed (of one of its lines), with something in its tree exchanged, left out, added or moved."""
    content = draw(st.sampled_from(given.seeds))
    rows = content.split(b"\n") if given.lines else [content]
    at = draw(st.integers(0, len(rows) - 1))
    try:
        value = json.loads(rows[at])
    except (ValueError, RecursionError):
        return content
    for _ in range(draw(st.integers(1, 3))):
        value = _changed(value, draw, given)
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([None, (",", ":")])))
    rows[at] = text.encode("utf-8", "surrogatepass")
    return b"\n".join(rows)


def _changed(value: Any, draw: st.DrawFn, given: Format) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 6)):
        key = draw(st.sampled_from(list(value)))
        done = draw(st.integers(0, 9))
        rest = {name: item for name, item in value.items() if name != key}
        if done == 0:
            return rest
        if done == 1:
            return {**value, _word(draw, given): draw(VALUES)}
        if done == 2:
            return {**rest, _word(draw, given): value[key]}
        if done == 3:
            return {**value, key: value[draw(st.sampled_from(list(value)))]}
        return {**value, key: _changed(value[key], draw, given)}
    if isinstance(value, list) and value and draw(st.integers(0, 6)):
        at = draw(st.integers(0, len(value) - 1))
        done = draw(st.integers(0, 5))
        middle = [] if done == 0 else [value[at]] * 2 if done == 1 else [_changed(value[at], draw, given)]
        return [*value[:at], *middle, *value[at + 1 :]]
    how = draw(st.integers(0, 9))
    if how == 0:
        return [value]
    if how == 1:
        return {_word(draw, given): value}
    if how == 2:
        return str(value)
    if how == 3:
        return _word(draw, given)
    return draw(VALUES)


def _word(draw: st.DrawFn, given: Format) -> str:
    if given.tokens and draw(st.integers(0, 3)):
        return draw(st.sampled_from(given.tokens)).decode("utf-8", "surrogateescape").strip('":, ')
    return draw(st.text(max_size=6))


def inputs(given: Format) -> st.SearchStrategy[bytes]:
    """Inputs of a format: seeds edited (some not at all), or regrown."""
    seeds = st.sampled_from(given.seeds)
    damaged = st.builds(lambda content, edits: edited(content, edits, given), seeds, EDITS)
    return damaged | regrown(given) if given.tree or given.lines else damaged
