"""Read a suite file: every problem at once, each with file, line and column."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from harness.errors import InvalidInputError, did_you_mean
from harness.limits import YAML_BYTES, read_within
from harness.suite import source
from harness.suite.checks import CheckSpec
from harness.suite.declaration import HubModel, LocalModel
from harness.suite.rules import file_problems, semantic_problems
from harness.suite.schema import Suite
from harness.suite.systems import SystemSpec

SUITE_FILE = "suite.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSuite:
    """A valid suite, the text it came from and where it lies; paths in it are relative to `folder`."""

    suite: Suite
    text: str
    path: Path
    digest: str  # SHA-256 of the text and of the overrides
    overrides: Mapping[str, str]
    lines: Mapping[str, int]  # "checks.0" -> line, for annotations

    @property
    def folder(self) -> Path:
        """The folder that holds the suite."""
        return self.path.parent

    def resolve(self, relative: str) -> Path:
        """The file that a path written in the suite names."""
        return (self.folder / relative).resolve()


def load_suite(path: Path, overrides: Mapping[str, str] | None = None) -> LoadedSuite:
    """Read `path` (a suite file or its folder) and apply `--set` overrides such as {"train.epochs": "1"}.

    Raises:
        InvalidInputError: with every problem found, one a line, as `suite.yaml:6:12 train.alpah: unknown key`.
    """
    file = path / SUITE_FILE if path.is_dir() else path
    try:
        text = read_within(file, YAML_BYTES).decode("utf-8")
    except FileNotFoundError:
        raise InvalidInputError(f"{file}: no such suite; `harness init` makes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{file}: cannot be read as UTF-8 text: {error}") from None
    return parse_suite(text, file, overrides or {}, files=True)


def parse_suite(text: str, file: Path, overrides: Mapping[str, str], *, files: bool) -> LoadedSuite:
    """Turn suite text into a `LoadedSuite`; with `files`, the files that it names must exist.

    Raises:
        InvalidInputError: with every problem found, one a line.
    """
    loaded, problems = _parse(text, file.resolve(), overrides, files=files)
    if loaded is None:
        raise InvalidInputError("\n".join(problem.render(str(file)) for problem in problems))
    return loaded


def _parse(
    text: str, path: Path, overrides: Mapping[str, str], *, files: bool
) -> tuple[LoadedSuite | None, list[source.Problem]]:
    document = source.read(text)
    problems = document.problems
    if document.data is not None or not problems:
        problems.extend(_apply_overrides(document, overrides))
        suite, found = _validate(document)
        problems.extend(found)
        if suite is not None and not problems:
            problems.extend(semantic_problems(suite, document))
            if files:
                problems.extend(file_problems(suite, document, path.parent))
        if suite is not None and not problems:
            lines = {".".join(map(str, key)): spot.line for key, spot in document.values.items()}
            digest = _digest(text, overrides)
            loaded = LoadedSuite(
                suite=suite, text=text, path=path, digest=digest, overrides=dict(overrides), lines=lines
            )
            return loaded, []
    return None, sorted(problems, key=lambda problem: (problem.position.line, problem.position.column))


def _digest(text: str, overrides: Mapping[str, str]) -> str:
    body = text + "".join(f"\0{key}={overrides[key]}" for key in sorted(overrides))
    return hashlib.sha256(body.encode("utf-8")).hexdigest()


def _apply_overrides(document: source.Document, overrides: Mapping[str, str]) -> Iterator[source.Problem]:
    for dotted, text in overrides.items():
        parts = dotted.split(".")
        node: Any = document.data
        for part in parts[:-1]:
            node = _child(node, part)
        key: str | int = parts[-1]
        written = source.read(text) if text.strip() else source.Document()
        for problem in written.problems:
            yield source.Problem(source.Position(1, 1), (), f"--set {dotted}: {problem.message}")
        value = written.data
        if isinstance(node, list) and (place := _place(node, str(key))) is not None:
            node[place] = value
        elif isinstance(node, dict):
            node[key] = value
        else:
            yield source.Problem(source.Position(1, 1), (), f"--set {dotted}: there is no such place in the suite")


def _child(node: Any, part: str) -> Any:
    if isinstance(node, dict):
        return node.setdefault(part, {})
    if isinstance(node, list) and (place := _place(node, part)) is not None:
        return node[place]
    return None


def _place(items: list[Any], written: str) -> int | None:
    """The index that a part of a dotted name says, where the list has it."""
    short = written.isdecimal() and len(written) <= len(str(len(items)))
    return int(written) if short and int(written) < len(items) else None


def _validate(document: source.Document) -> tuple[Suite | None, list[source.Problem]]:
    if not isinstance(document.data, dict):
        message = "a suite is a mapping of keys such as suite, model, data, systems, checks"
        return None, [source.Problem(source.Position(1, 1), (), message)]
    try:
        return Suite.model_validate(document.data), []
    except ValidationError as error:
        return None, _merge(_problem(dict(item), document) for item in error.errors(include_url=False))


def _merge(problems: Iterable[source.Problem]) -> list[source.Problem]:
    """One line per place: a value that fits no member of a union fails once for each member."""
    merged: dict[tuple[source.Path, bool], source.Problem] = {}
    for problem in problems:
        key = (problem.path, problem.message.startswith("unknown key"))
        if key in merged and problem.message not in merged[key].message:
            earlier = merged[key]
            message = f"{earlier.message}; or {problem.message}"
            problem = source.Problem(earlier.position, earlier.path, message)
        merged[key] = problem
    return list(merged.values())


def _problem(error: dict[str, Any], document: source.Document) -> source.Problem:
    path = _in_document(error["loc"], document.data)
    kind = error["type"]
    if kind == "extra_forbidden":
        return source.Problem(document.position(path, of_key=True), path, _unknown_key(path, document.data))
    if kind == "missing":
        missing = (*path, error["loc"][-1])
        return source.Problem(document.position(path), missing, "is required")
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        context = error.get("ctx", {})
        if expected := context.get("expected_tags"):
            message = f"`kind` must be one of {expected}"
            message += did_you_mean(str(context["tag"]), re.findall(r"'(\w+)'", expected))
        else:
            message = f"needs a `kind`, one of {_tags(error)}"
        return source.Problem(document.position(path), path, message)
    given = error.get("input")
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) or given is None else ""
    if kind == "value_error":  # of a validator of our own
        return source.Problem(document.position(path), path, error["msg"].removeprefix("Value error, "))
    message = error["msg"][:1].lower() + error["msg"][1:]
    hint = _as_share(given) if kind in {"less_than", "less_than_equal"} and max(error["ctx"].values()) <= 1 else ""
    return source.Problem(document.position(path), path, message.replace("input should be", "must be") + shown + hint)


def _as_share(given: Any) -> str:
    """What to write for a share that was given as a number of percent."""
    percent = isinstance(given, int | float) and 1 < given < 100
    return f"; write {given:g}% or {given / 100:g}" if percent else ""


def _tags(error: dict[str, Any]) -> str:
    return ", ".join(SYSTEM_KINDS if "systems" in error["loc"] else CHECK_KINDS)


def _in_document(loc: tuple[str | int, ...], data: Any) -> source.Path:
    """Drop what pydantic adds to a location (union members, validators) and keep what is in the file."""
    path: list[str | int] = []
    node = data
    for part in loc:
        if isinstance(node, dict) and part in node:
            node = node[str(part)]
            path.append(part)
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
            path.append(part)
    return tuple(path)


def _unknown_key(path: source.Path, data: Any) -> str:
    names = sorted(set(_known_keys(path[:-1], data)) - {str(path[-1])})
    return "unknown key" + (did_you_mean(str(path[-1]), names) or f"; known here: {', '.join(names)}")


def _known_keys(path: source.Path, data: Any) -> Iterator[str]:
    """The keys that the declarations allow in the mapping at `path` of the document."""
    models: list[Any] = [Suite]
    for part in path:
        data = data[part]
        models = [step for model in models for step in _step(model, part) if _is_meant(step, data)]
    for model in models:
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (field.alias or name for name, field in model.model_fields.items())


def _step(model: Any, part: str | int) -> Iterator[Any]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            if part in {name, field.alias}:
                yield from _members(field.annotation)
    elif get_origin(model) is dict:
        yield from _members(get_args(model)[1])
    elif get_origin(model) is list:
        yield from _members(get_args(model)[0])


def _is_meant(model: Any, written: Any) -> bool:
    """Whether a mapping is of this member of a union by its `kind`, where the member has one."""
    if not (isinstance(model, type) and issubclass(model, BaseModel) and isinstance(written, dict)):
        return True
    if model in {HubModel, LocalModel}:
        return model is (LocalModel if {"hub", "revision"}.isdisjoint(written) else HubModel)
    kind = model.model_fields.get("kind")
    return kind is None or not get_args(kind.annotation) or written.get("kind") in get_args(kind.annotation)


def _members(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _kinds(union: Any) -> tuple[str, ...]:
    """The kinds that a discriminated union tells its members apart by."""
    return tuple(get_args(member.model_fields["kind"].annotation)[0] for member in get_args(get_args(union)[0]))


SYSTEM_KINDS, CHECK_KINDS = _kinds(SystemSpec), _kinds(CheckSpec)
