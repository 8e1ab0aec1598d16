"""Structured output: the one JSON extractor, JSON Schema validity, and field-level F1."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from harness import strict_json
from harness.errors import InvalidInputError
from harness.records import Score, ScoreResult, Unscored

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# What jsonschema asserts without optional packages. It lets every other format pass, so those are refused.
FORMATS = ("date", "email", "ipv4", "ipv6", "regex", "uuid")
MAX_OPENINGS = 1000  # brackets tried in one answer; each costs a pass over the text
MAX_MESSAGE = 200  # characters; a longer message quotes the answer at length

_OPENING = re.compile(r"[{\[]")
# Finds where a value ends; strictness is judged on the span it finds, so numbers stay text.
_SPAN = json.JSONDecoder(parse_int=str, parse_float=str)
_PROBES = ("null", "true", "0", '""', "[]")  # one of each type but object

Leaf = tuple[tuple[str | int, ...], str, Any]


@dataclass(frozen=True, slots=True)
class NoJson:
    """No JSON value could be extracted, and why."""

    reason: str


def extract_json(text: str) -> Any | NoJson:
    """The JSON value an answer holds: the whole text, else the first object or array in it.

    Leading prose, trailing text and code fences are allowed; the value itself is parsed strictly, and a first
    value that only a lenient parser accepts (NaN, a key given twice) is not passed over for a later one. A
    number, string, true, false or null counts only when it is the whole text, since prose is full of them.
    """
    with contextlib.suppress(strict_json.StrictJsonError):
        return strict_json.parse(text.strip())
    reason = ""
    position = 0
    for _ in range(MAX_OPENINGS):
        opening = _OPENING.search(text, position)
        if opening is None:
            return NoJson(f"no JSON object or array{reason}")
        start = opening.start()
        try:
            _, end = _SPAN.raw_decode(text, start)
        except json.JSONDecodeError as error:
            # On from the failure, not from the bracket: the members of a value that breaks off later are not
            # the answer.
            position = max(error.pos, start + 1)
            reason = reason or f": {error}"
            continue
        except RecursionError:
            return NoJson(f"nested deeper than {strict_json.MAX_DEPTH} levels")
        try:
            return strict_json.parse(text[start:end])
        except strict_json.StrictJsonError as error:
            return NoJson(error.problem)
    return NoJson(f"none of the first {MAX_OPENINGS:,} brackets opens a JSON object or array")


class SchemaValidator:
    """A JSON Schema (Draft 2020-12) that judges raw answers; nothing is ever fetched.

    `format` is asserted. Library: jsonschema.

    Raises:
        InvalidInputError: for a schema that is not valid, declares another dialect, refers to anything
            outside itself, or asks for a format that would not be checked.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        if not isinstance(schema, Mapping):
            raise InvalidInputError("not a usable JSON Schema: it must be an object")
        try:
            Draft202012Validator.check_schema(schema)
            problems = list(dict.fromkeys(_schema_problems(schema)))
        except SchemaError as error:
            where = f"{error.json_path}: {error.message}"
            raise InvalidInputError(f"not a valid JSON Schema (Draft 2020-12): {_short(where)}") from None
        except RecursionError:
            raise InvalidInputError("not a usable JSON Schema: it is nested too deep") from None
        except ValueError as error:  # an $id that is no address
            raise InvalidInputError(f"not a usable JSON Schema: {_short(str(error))}") from None
        if problems:
            raise InvalidInputError("not a usable JSON Schema: " + "; ".join(problems))
        self._validator = Draft202012Validator(
            schema, registry=Registry(), format_checker=FormatChecker(formats=FORMATS)
        )

    def errors(self, text: str) -> tuple[str, ...]:
        """What is wrong with the raw `text`, as "$.queue: 'foo' is not one of [...]"; empty when it is valid.

        The whole text but for white space around it must be one strict JSON value: no code fence, no prose.
        """
        try:
            value = strict_json.parse(text.strip())
        except strict_json.StrictJsonError as error:
            return (_short(f"not JSON: {error}"),)
        try:
            found = sorted((error.json_path, error.message) for error in self._validator.iter_errors(value))
        except RecursionError:
            return ("nested too deep to be judged by this schema",)
        except OverflowError:  # multipleOf 0.1 divides the answer's integer by a float
            return ("an integer too large to be judged by this schema",)
        return tuple(_short(f"{path}: {message}") for path, message in found)

    def valid(self, text: str) -> bool:
        """Whether the raw `text` is one strict JSON value that the schema accepts."""
        return not self.errors(text)


def vacuous(schema: Mapping[str, Any]) -> str | None:
    """Why a schema is no test of an answer, or None.

    It is none when null, a boolean, a number, a string and an array all pass.
    Judged by what it accepts and not by its keywords, so a misspelt keyword is caught as well, and so is
    `required` without `type`, which restrains nothing but objects.

    Raises:
        InvalidInputError: as `SchemaValidator`.
    """
    validator = SchemaValidator(schema)
    if all(validator.valid(probe) for probe in _PROBES):
        return f"the schema accepts {', '.join(_PROBES)} alike: say what an answer is, with `type` or `enum`"
    return None


def json_valid(text: str) -> Score:
    """1 when the raw text is one strict JSON value, else 0."""
    try:
        strict_json.parse(text.strip())
    except strict_json.StrictJsonError:
        return Score(0.0)
    return Score(1.0)


def schema_valid(text: str, validator: SchemaValidator) -> Score:
    """1 when the raw text is one strict JSON value that the schema accepts, else 0."""
    return Score(float(validator.valid(text)))


def field_f1(text: str, target: str) -> ScoreResult:
    """F1 over the (path, value) leaves of the extracted answer and of the target.

    Array elements are matched by their index. Unscored when the target is not JSON.
    """
    try:
        wanted = leaves(strict_json.parse(target.strip()))
    except strict_json.StrictJsonError as error:
        return Unscored(f"the target is not JSON: {error}")
    answer = extract_json(text)
    if isinstance(answer, NoJson):
        return Score(0.0)
    given = leaves(answer)
    return Score(2 * len(wanted & given) / (len(wanted) + len(given)))


def leaves(value: Any) -> frozenset[Leaf]:
    """Every leaf of a JSON value as (path, type, value); two values are equal when their leaves are.

    Numbers are equal by value whether written 1 or 1.0, true is no number, the order of keys means nothing,
    and an empty array or object is a leaf.
    """
    return frozenset(_leaves(value, ()))


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterator[Leaf]:
    if isinstance(value, dict) and value:
        for key, member in value.items():
            yield from _leaves(member, (*path, key))
    elif isinstance(value, list) and value:
        for index, member in enumerate(value):
            yield from _leaves(member, (*path, index))
    elif isinstance(value, dict | list):
        yield path, type(value).__name__, None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, "number", value
    else:
        yield path, type(value).__name__, value


def _schema_problems(schema: Mapping[str, Any]) -> Iterator[str]:
    """What the meta-schema does not see: another dialect, a reference to elsewhere, an unchecked format."""
    dialect = schema.get("$schema", DIALECT)
    if dialect.rstrip("#") != DIALECT:
        yield f"`$schema` is {_short(dialect)}, and only {DIALECT} is judged"
    root = DRAFT202012.create_resource(schema)
    pending = [(root, Registry().resolver_with_root(root))]
    seen: set[int] = set()
    while pending:
        resource, resolver = pending.pop()
        contents = resource.contents
        if not isinstance(contents, Mapping) or id(contents) in seen:
            continue
        seen.add(id(contents))
        for reference in (contents[key] for key in ("$ref", "$dynamicRef") if key in contents):
            try:
                found = resolver.lookup(reference)
            except (Unresolvable, ValueError):  # ValueError: a name where an index belongs
                yield f"$ref {_short(reference)!r} is not in the schema itself, and nothing is fetched"
            else:
                # The target may lie where the meta-schema does not look.
                Draft202012Validator.check_schema(found.contents)
                pending.append((DRAFT202012.create_resource(found.contents), found.resolver))
        if contents.get("format", FORMATS[0]) not in FORMATS:
            name = _short(contents["format"])
            yield f"format {name!r} is not checked (only {', '.join(FORMATS)} are); use `pattern`"
        pending.extend((part, resolver.in_subresource(part)) for part in resource.subresources())


def _short(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
