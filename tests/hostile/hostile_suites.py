"""Suites, rows and schemas that must be refused before a run, and odd ones that must be taken: as files of a project.

Every case changes the plain suite of `plain_suite.py`; what is wrong stands on a line of the file that is named.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from plain_suite import SUITE

SOMEWHERE = 0  # a line must be named; which one is not the point of the case
SUITE_FILE, SCHEMA_FILE = "suite.yaml", "schema.json"


class BrokenProject(NamedTuple):
    """What is done to the folder of a plain suite, the file that must be named, and its line where it has one."""

    change: Callable[[Path], object]
    file: str = SUITE_FILE
    line: int | None = None


def text(old: str, new: str, line: int = SOMEWHERE) -> BrokenProject:
    """The suite with one text changed."""
    assert SUITE.count(old) == 1, old
    return content(SUITE.replace(old, new).encode(), line)


def content(whole: bytes, line: int | None = None) -> BrokenProject:
    """The suite's file with these bytes."""
    return BrokenProject(lambda folder: (folder / SUITE_FILE).write_bytes(whole), SUITE_FILE, line)


def file(name: str, whole: bytes, line: int | None = None) -> BrokenProject:
    """Another file of the project with these bytes."""
    return BrokenProject(lambda folder: (folder / name).write_bytes(whole), name, line)


def instead(name: str, make: Callable[[Path], object]) -> BrokenProject:
    """Something else in the place of a file."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return BrokenProject(change, name)


def schema(value: Any) -> BrokenProject:
    """A schema that is JSON, and cannot judge; it is refused as a whole."""
    return file(SCHEMA_FILE, json.dumps(value).encode())


# Key -> values that it must not have; the plain suite declares none of them but the learning rate.
NUMBERS = {
    "train.epochs": ("0", "-1", "1.5", "101", "true", "'3'", "3 epochs", ".nan", "[]", "1e2"),
    "train.rank": ("0", "1025", "16.0", "~"),
    "train.alpha": ("0", "-.inf", "1e999"),
    "train.dropout": ("1", "-0.1", "105%"),
    "train.warmup": ("101%", "-1%", "1.01", "half"),
    "train.max_length": ("7", "0x5"),
    "train.seeds": ("0", "21"),
    "train.targets": ("some", "[]", "[1]"),
    "train.method": ("qlora", "LORA"),
    "train.early_stopping": ("true", "{patience: 0}", "{checks_per_epoch: 3}", "{patence: 2}"),
    "decoding.temperature": ("-0.1", "2.1", ".NaN"),
    "decoding.samples": ("0", "65"),
    "decoding.stop": ("end", "['']"),
    "decoding.max_new_tokens": ("0", "1e3"),
    "statistics.alpha": ("0", "0.21", "21%", ".inf"),
    "statistics.min_effect": ("0", "1", "100%"),
    "statistics.resamples": ("9998",),
    "statistics.mode": ("Fixed", "early"),
    "statistics.max_unscored": ("2",),
    "statistics.holdout_budget": ("0",),
}


def declared(dotted: str, value: str) -> BrokenProject:
    """A key of the suite with a value that it cannot have, on a line of its own."""
    section, key = dotted.split(".")
    if section == "train":
        return text("train: {learning_rate: 2e-4}", f"train:\n  {key}: {value}", 6)
    return text("systems:\n", f"{section}:\n  {key}: {value}\nsystems:\n", 7)


LAUGHS = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))

SUITES: dict[str, BrokenProject] = {
    **{f"{key}: {value}": declared(key, value) for key, values in NUMBERS.items() for value in values},
    # the file itself
    "an empty file": content(b"", 1),
    "a comment alone": content(b"# later\n", 1),
    "UTF-16": content(SUITE.encode("utf-16"), 1),
    "Latin-1": content(b"# caf\xe9\n" + SUITE.encode(), 1),
    "an overlong slash": content(b"# \xc0\xaf\n" + SUITE.encode(), 1),
    "a NUL": content(SUITE.encode() + b"\0", 12),
    "an escape sequence": content(SUITE.encode() + b"# \x1b[2J\n", 12),
    "a pickle": content(b"\x80\x04\x95\x10\x00", 1),
    "a chart of Helm": content(SUITE.replace("seed: 1", "seed: {{ .Values.seed }}").encode(), 2),
    "JSON cut off": content(b'{"suite": "plain",\n"seed": 1', 2),
    "too large": content(SUITE.encode() + b"#" * (1 << 17)),
    "a folder": instead(SUITE_FILE, Path.mkdir),
    "a link to nowhere": instead(SUITE_FILE, lambda path: path.symlink_to("gone.yaml")),
    "a link to itself": instead(SUITE_FILE, lambda path: path.symlink_to(path)),
    "a pipe": instead(SUITE_FILE, os.mkfifo),
    "a device": instead(SUITE_FILE, lambda path: path.symlink_to("/dev/zero")),
    # what YAML can do elsewhere
    "a billion laughs": content(f"a0: &a0 [lol]\n{LAUGHS}\n{SUITE}".encode(), 2),
    "an alias of itself": content(f"a: &a [*a]\n{SUITE}".encode(), 1),
    "a seed too large": text("seed: 1", f"seed: {2**31}", 2),
    "a seed below 0": text("seed: 1", "seed: -1", 2),
    "a call": text("seed: 1", "seed: !!python/object/apply:os.system [id]", 2),
    "a name of Python": text("seed: 1", "seed: !!python/name:os.system", 2),
    "a file of another": text("seed: 1", "seed: !include seed.yaml", 2),
    "binary data": text("seed: 1", "seed: !!binary MQ==", 2),
    "a merge": content(f"{SUITE}<<: {{seed: 2}}\n".encode(), 12),
    "a directive": content(f"%YAML 1.1\n---\n{SUITE}".encode(), 2),
    "a directive of tags": content(f"%TAG ! tag:x.org,2000:\n---\n{SUITE}".encode(), 2),
    "two documents": content(f"{SUITE}---\n{SUITE}".encode(), 12),
    "a key twice, far apart": content(f"{SUITE}seed: 2\n".encode(), 12),
    "a system twice": content(SUITE.replace("checks:", "  bare: {kind: few_shot}\nchecks:").encode(), 9),
    "half a character": text("seed: 1", 'description: "\\ud800"\nseed: 1', 2),
    "half a character in a key": text("seed: 1", '"\\ud800": 2\nseed: 1', 2),
    "an escape of no character": text("seed: 1", 'description: "\\UFFFFFFFF"\nseed: 1', 2),
    "a version of many digits": content(f"%YAML 1.{'9' * 5000}\n---\n{SUITE}".encode(), 1),
    "a list as a key": content(f"? [seed]\n: 2\n{SUITE}".encode(), 1),
    "tabs": content(SUITE.replace("  candidate", "\tcandidate").encode(), 7),
    "a quote that never closes": text("suite: plain", 'suite: "plain'),
    "a bracket that never closes": text("schema: schema.json}", "schema: schema.json"),
    "an indent too many": content(SUITE.replace("seed: 1", "  seed: 1").encode(), 2),
    "deep lists": content(f"{SUITE}description: {'[' * 10_000}\n".encode(), 12),
    "a list at the top": content(b"- suite: plain\n", 1),
    # names and types
    "no": text("seed: 1", "seed: no", 2),
    "a long integer": text("seed: 1", f"seed: {'9' * 5000}", 2),
    "a number as name": text("suite: plain", "suite: 7", 1),
    "an empty name": text("suite: plain", "suite: ''", 1),
    "a name of spaces": text("suite: plain", "suite: my suite", 1),
    "a long name": text("suite: plain", f"suite: {'x' * 81}", 1),
    "a name that leads up": text("suite: plain", "suite: ../../up", 1),
    "an absolute name": text("suite: plain", "suite: /etc/cron.d/x", 1),
    "a name with a line end": text("suite: plain", 'suite: "plain\\n"', 1),
    "a name in look-alikes": text("suite: plain", "suite: рlain", 1),
    "a name with an escape": text("suite: plain", 'suite: "a\\e[2J"', 1),
    "a system that leads up": text("  bare:", "  ../bare:", 8),
    "a system of spaces": text("  bare:", "  ' ':", 8),
    "systems as a list": content(SUITE.replace("  bare:", "  - bare:").encode()),
    "checks as a mapping": content(SUITE.replace("  - {kind: better_than}", "  kind: better_than").encode()),
    "a check that is text": text("  - {kind: better_than}", "  - better_than", 10),
    "a check of null": text("  - {kind: better_than}", "  -", 10),
    "a check of no kind": text("{kind: better_than}", "{scorer: exact_match}", 10),
    "an unknown check": text("{kind: better_than}", "{kind: better_then}", 10),
    "an unknown key of a check": text("{kind: better_than}", "{kind: better_than, min_gian: 1%}", 10),
    "an unknown key at the top": text("seed: 1\n", "seed: 1\nmodell: x\n", 3),
    "an unknown key of the data": text("test: test.jsonl", "tests: x.jsonl, test: test.jsonl", 4),
    "an unknown key of a system": text("{kind: prompt, ", "{kind: prompt, weights: x, ", 8),
    "a key of another kind": text("{kind: prompt, ", "{kind: prompt, shots: 3, ", 8),
    "a role of no one": text("role: candidate", "role: champion", 7),
    # bars and margins that cannot be, or judge nothing
    "a bar of 0 %": text("bar: 90%", "bar: 0%", 11),
    "a bar of 100 %": text("bar: 90%", "bar: 100%", 11),
    "a bar of 90": text("bar: 90%", "bar: 90", 11),
    "a bar of NaN": text("bar: 90%", "bar: .nan", 11),
    "a bar in words": text("bar: 90%", "bar: most", 11),
    "a gain of 100 %": text("{kind: better_than}", "{kind: better_than, min_gain: 100%}", 10),
    "a gain below 0": text("{kind: better_than}", "{kind: better_than, min_gain: -0.05}", 10),
    "no check": content(SUITE.partition("checks:")[0].encode() + b"checks: []\n", 9),
    "only a note": content(SUITE.replace("better_than}", "better_than, blocking: false}").encode(), SOMEWHERE),
    "a probe that there is not": text("on: test", "on: probe", 11),
    "a drop of no benchmark": text("{kind: better_than}", "{kind: better_than}\n  - {kind: benchmark_drop}", 11),
    "a judge that there is not": text(
        "{kind: better_than}", "{kind: better_than}\n  - {kind: preferred, judge: x}", 11
    ),
    # references to nothing
    "no training rows": text("train.jsonl", "trian.jsonl", 4),
    "rows above the root": text("train.jsonl", "../../../../../../../../../../gone.jsonl", 4),
    "rows in a folder": text("train.jsonl", "handbook", 4),
    "a device as rows": text("train.jsonl", "/dev/zero", 4),
    "an address as rows": text("train.jsonl", "https://e.org/train.jsonl", 4),
    "an empty path": text("train.jsonl", "''", 4),
    "a path with NUL": text("train.jsonl", '"a\\0b"', 4),
    "a path that is too long": text("train.jsonl", "x" * 5000, 4),
    "a home folder": text("train.jsonl", "~/gone.jsonl", 4),
    "a variable": text("train.jsonl", "$HOME/gone.jsonl", 4),
    "a data set of no commit": text("train: train.jsonl", "train: {hub: a/b, revision: main, split: train}", 4),
    "a data set that leads up": text(
        "train: train.jsonl", f"train: {{hub: ../b/c, revision: {'a' * 40}, split: train}}", 4
    ),
    "a model of no commit": text("smollm2-135m-instruct", "{hub: a/b, revision: main}", 3),
    "a model of a hub and a path": text("smollm2-135m-instruct", "{hub: a/b, path: base}", 3),
    "an address with a password": text(
        "  bare:", '  far: {kind: endpoint, base_url: "https://a:b@e.org/v1", model: m}\n  bare:', 8
    ),
    "an address of a file": text(
        "  bare:", '  far: {kind: endpoint, base_url: "file:///etc/passwd", model: m}\n  bare:', 8
    ),
    "a key in the suite": text(
        "  bare:", '  far: {kind: endpoint, base_url: "https://e.org/v1", model: m, key: sk-1}\n  bare:', 8
    ),
    # what is seen only with the rows
    "a message that is empty": file("bare.txt", b" \n"),
    "a message in Latin-1": file("bare.txt", b"caf\xe9", 1),
    "a message without end": BrokenProject(lambda folder: os.truncate(folder / "bare.txt", 1 << 30), "bare.txt"),
}  # fmt: skip


def rows(more: dict[str, str], *, first: str = "new question") -> bytes:
    """Twenty test rows."""
    asked = [first, *(f"question {n}" for n in range(19))]
    return b"".join(json.dumps({"prompt": text, "completion": '"x0"', **more}).encode() + b"\n" for text in asked)


ROW = b'{"prompt": "a", "completion": "\\"x0\\""}\n'
DATA: dict[str, BrokenProject] = {
    "training rows that are gone": instead("train.jsonl", lambda path: None)._replace(file=SUITE_FILE, line=4),
    "a folder of rows": instead("train.jsonl", Path.mkdir)._replace(file=SUITE_FILE, line=4),
    "a pipe of rows": instead("test.jsonl", os.mkfifo)._replace(file=SUITE_FILE, line=4),
    "no test rows": file("test.jsonl", b""),
    "no training rows at all": file("train.jsonl", b"\n\n"),
    "test rows over a limit": BrokenProject(lambda f: os.truncate(f / "test.jsonl", (1 << 30) + 1), "test.jsonl"),
    "rows of NUL": file("train.jsonl", b"\0" * 100, 1),
    "the rows of an archive": file("train.jsonl", b"PK\x03\x04" + b"\0" * 40, 1),
    "a packed file by another name": file("train.jsonl", gzip.compress(ROW), 1),
    "a page instead of rows": file("test.jsonl", b"<!doctype html>\n<title>Sign in</title>\n", 1),
    "the pointer of a large file": file("test.jsonl", b"version https://git-lfs.github.com/spec/v1\noid x\n", 1),
    "marks of a conflict": file("train.jsonl", ROW + b"<<<<<<< ours\n" + ROW, 2),
    "an answer that is null": file("test.jsonl", ROW + b'{"prompt": "b", "completion": null}\n', 2),
    "too few test rows": file("test.jsonl", ROW),
    "one id twice": file("test.jsonl", rows({"id": "1"}), SOMEWHERE),
    "a question that was trained on": file("test.jsonl", rows({}, first="train question 7"), SOMEWHERE),
    "such a question in capitals": file("test.jsonl", rows({}, first=" TRAIN  question 7"), SOMEWHERE),
}  # fmt: skip

SCHEMAS: dict[str, BrokenProject] = {
    "no JSON": file(SCHEMA_FILE, b"type: string\n", 1),
    "cut off": file(SCHEMA_FILE, b'{\n"type": "object",\n"required": [', 3),
    "a comma too many": file(SCHEMA_FILE, b'{\n"type": "string",\n}', 3),
    "a comment": file(SCHEMA_FILE, b'{\n// tickets\n"type": "string"}', 2),
    "single quotes": file(SCHEMA_FILE, b"{'type': 'string'}", 1),
    "a key twice": file(SCHEMA_FILE, b'{\n"type": "string",\n"type": "array"}', 3),
    "NaN": file(SCHEMA_FILE, b'{"type": "number",\n"minimum": NaN}', 2),
    "a number beyond floats": file(SCHEMA_FILE, b'{"type": "number",\n"minimum": 1e999}', 2),
    "half a character": file(SCHEMA_FILE, b'{"type": "string",\n"const": "\\ud800"}', 2),
    "nested without end": file(SCHEMA_FILE, b"\n" + b'{"not":' * 5000 + b"{}" + b"}" * 5000, 2),
    "two values": file(SCHEMA_FILE, b'{"type": "string"}\n{"type": "array"}', 2),
    "empty": file(SCHEMA_FILE, b"", 1),
    "Latin-1": file(SCHEMA_FILE, b'{"const": "caf\xe9"}', 1),
    "UTF-16": file(SCHEMA_FILE, '{"type": "string"}'.encode("utf-16"), 1),
    "a byte order mark": file(SCHEMA_FILE, b'\xef\xbb\xbf{"type": "string"}', 1),
    "too large": file(SCHEMA_FILE, b'{"type": "string"}' + b" " * (1 << 20)),
    "a list": schema([]),
    "null": schema(None),
    "a text": schema("string"),
    "vacuous: true": schema(True),
    "vacuous: nothing": schema({}),
    "vacuous: a title": schema({"title": "Ticket"}),
    "vacuous: a misspelt key": schema({"tpye": "object"}),
    "vacuous: keys of objects": schema({"required": ["queue"], "properties": {"queue": {"type": "string"}}}),
    "vacuous: every type": schema({"type": ["null", "boolean", "number", "string", "array", "object"]}),
    "vacuous: any of": schema({"anyOf": [{"type": "string"}, {}]}),
    "vacuous: not nothing": schema({"not": False}),
    "vacuous: a reference": schema({"$ref": "#/$defs/any", "$defs": {"any": {}}}),
    "a reference to a server": schema({"$ref": "https://e.org/schema.json"}),
    "a reference to this machine": schema({"$ref": "http://127.0.0.1:9/schema.json"}),
    "a reference to a service of clouds": schema({"$ref": "http://169.254.169.254/latest/meta-data/"}),
    "a reference to a file": schema({"$ref": "file:///etc/passwd"}),
    "a reference beside": schema({"$ref": "other.json"}),
    "a reference that leads up": schema({"$ref": "../../suite.yaml"}),
    "a reference by a base": schema({"$id": "https://e.org/a/", "$ref": "b.json"}),
    "a reference deep down": schema({"type": "object", "properties": {"a": {"items": {"$ref": "https://e.org"}}}}),
    "a reference to nothing": schema({"$ref": "#/$defs/gone"}),
    "a type that there is not": schema({"type": "text"}),
    "a pattern that is none": schema({"type": "string", "pattern": "(["}),
    "a format that is not checked": schema({"type": "string", "format": "postcode"}),
    "another dialect": schema({"$schema": "http://json-schema.org/draft-04/schema#", "type": "string"}),
    "a dialect of its own": schema({"$schema": "https://e.org/meta", "type": "string"}),
    "a limit in words": schema({"type": "string", "maxLength": "ten"}),
    "a length below 0": schema({"type": "string", "minLength": -1}),
}

GOOD_PROJECTS: dict[str, BrokenProject] = {
    "as it is": content(SUITE.encode()),
    "line ends of Windows": content(SUITE.replace("\n", "\r\n").encode()),
    "comments and empty lines": content(f"# ours\n\n{SUITE}\n# end".encode()),
    "the start of a document": content(f"---\n{SUITE}...\n".encode()),
    "no last line end": content(SUITE.rstrip("\n").encode()),
    "quoted keys": content(SUITE.replace("seed: 1", "'seed': 1").encode()),
    "the largest seed": content(SUITE.replace("seed: 1", f"seed: {2**31 - 1}").encode()),
    "a seed of 0": content(SUITE.replace("seed: 1", "seed: 0").encode()),
    "a description in many scripts": content(f"{SUITE}description: |\n  Größe 測試 \U0001f600 ‮\n".encode()),
    "a share in words": content(SUITE.replace("90%", "'90 %'").encode()),
    "a path that goes around": content(SUITE.replace("train.jsonl", "handbook/../train.jsonl").encode()),
    "a recursive schema": schema(
        {"type": "object", "properties": {"child": {"$ref": "#"}}, "additionalProperties": {"type": "string"}}
    )._replace(line=None),
    "a schema that names data": schema({"const": {"$ref": "https://e.org"}, "type": ["object", "string"]}),
}
