"""A suite file is read whole: every problem with its place, nothing guessed, nothing vacuous let through."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InvalidInputError
from harness.limits import YAML_BYTES
from harness.suite import source
from harness.suite.checks import BetterThan, ValidOutput
from harness.suite.load import load_suite
from harness.suite.schema import Suite

GOOD = """\
suite: small
seed: 1
model: smollm2-135m-instruct
data: {train: rows.jsonl, test: rows.jsonl, schema: rows.jsonl, probe: rows.jsonl}
train: {learning_rate: 1e-4, epochs: 2}
systems:
  candidate: {kind: adapter, role: candidate}
  bare: {kind: prompt, role: baseline}
checks:
  - {kind: better_than}
  - {kind: valid_output}
"""


def write(folder: Path, text: str) -> Path:
    (folder / "rows.jsonl").write_text("{}\n")
    (folder / "suite.yaml").write_text(text)
    return folder / "suite.yaml"


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        load_suite(write(folder, text))
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_defaults_are_the_products_own_when_nothing_is_said(tmp_path: Path) -> None:
    suite: Suite = load_suite(write(tmp_path, GOOD)).suite
    assert suite.train is not None
    assert (suite.train.rank, suite.train.alpha, suite.train.dropout) == (16, 32.0, 0.05)
    assert suite.train.learning_rate == 1e-4
    assert (suite.data.validation, suite.statistics.alpha) == (0.10, 0.05)
    assert [type(check) for check in suite.checks] == [BetterThan, ValidOutput]
    assert suite.checks[1].bar == 0.995  # type: ignore[union-attr]


@pytest.mark.parametrize(("text", "value"), [("99.5%", 0.995), ("0.995", 0.995), ("95 %", 0.95)])
def test_a_share_may_be_written_as_percent(text: str, value: float, tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, GOOD.replace("valid_output}", f"valid_output, bar: {text}}}"))).suite
    assert suite.checks[1].bar == value  # type: ignore[union-attr]


def test_the_error_rate_may_be_written_as_percent(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path, GOOD), {"statistics.alpha": "2.5%"}).suite.statistics.alpha == 0.025


BAD = [
    ("seed: 1", "seed: one", "suite.yaml:2:7 seed: must be a valid integer, not 'one'"),
    ("seed: 1", "seed: true", "suite.yaml:2:7 seed: must be a valid integer, not True"),
    ("seed: 1\n", "", "suite.yaml:1:1 seed: is required"),
    ("seed: 1", "seed: -1", "suite.yaml:2:7 seed: must be greater than or equal to 0, not -1"),
    ("seed: 1", f"seed: {2**70}", "suite.yaml:2:7 seed: must be less than or equal to 2147483647, not 1180591620717"),
    ("epochs: 2", "epohcs: 2", "suite.yaml:5:30 train.epohcs: unknown key; did you mean 'epochs'?"),
    ("epochs: 2", "epochs: 2, epochs: 3", "suite.yaml:5:41 train.epochs: duplicate key; first given on line 5"),
    ("1e-4", "no", "suite.yaml:5:24 train.learning_rate: must be a valid number, not 'no'"),
    ("1e-4", ".nan", "suite.yaml:5:24 train.learning_rate: .nan is not a finite number"),
    ("1e-4", "0", "suite.yaml:5:24 train.learning_rate: must be greater than 0, not 0"),
    (
        "kind: prompt",
        "kind: promt",
        "suite.yaml:8:9 systems.bare: `kind` must be one of 'prompt', 'few_shot', 'retrieval', 'constrained', "
        "'adapter', 'endpoint'; did you mean 'prompt'?",
    ),
    (
        "kind: valid_output",
        "kind: beter_than",
        "suite.yaml:11:5 checks.1: `kind` must be one of 'better_than', 'recipe_better_than', 'preferred', "
        "'valid_output', 'benchmark_drop', 'logprob_drop', 'kl_divergence', 'served_as_judged', 'healthy_training'; "
        "did you mean 'better_than'?",
    ),
    (
        "kind: prompt, ",
        "",
        "suite.yaml:8:9 systems.bare: needs a `kind`, one of prompt, few_shot, retrieval, constrained, adapter, "
        "endpoint",
    ),
    (
        "kind: valid_output",
        "bar: 90%",
        "suite.yaml:11:5 checks.1: needs a `kind`, one of better_than, recipe_better_than, preferred, valid_output, "
        "benchmark_drop, logprob_drop, kl_divergence, served_as_judged, healthy_training",
    ),
    ("kind: valid_output", "kind: valid_output, bar: 1", "suite.yaml:11:31 checks.1.bar: must be less than 1, not 1"),
    ("suite: small", "suite: ../up", "suite.yaml:1:8 suite: string should match pattern"),
    (
        "suite: small",
        "suite: &a small",
        "suite.yaml:1:8 suite: anchors and aliases are not allowed; write the value out",
    ),
    ("suite: small", "suite: !x small", "suite.yaml:1:8 suite: tags (!x) are not allowed"),
    ("seed: 1", "<<: {seed: 1}", "suite.yaml:2:1 merge keys are not allowed"),
    ("model: smoll", "model: [smoll", "suite.yaml:4:"),
    ("rows.jsonl, test", "none.jsonl, test", "suite.yaml:4:15 data.train: no such file: none.jsonl"),
]


@pytest.mark.parametrize(("old", "new", "expected"), BAD, ids=[row[1] or "missing" for row in BAD])
def test_a_problem_is_named_with_its_place(old: str, new: str, expected: str, tmp_path: Path) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(line.startswith(expected) for line in found), found


VACUOUS = [
    ("role: candidate", "role: baseline, from: promoted", "exactly one system must have `role: candidate`; found none"),
    (
        "bare: {kind: prompt, role: baseline}",
        "bare: {kind: few_shot, role: baseline}",
        "a baseline of `kind: prompt` is required",
    ),
    ("checks:\n  - {kind: better_than}\n  - {kind: valid_output}", "checks: []", "no checks"),
    (
        "{kind: better_than}",
        "{kind: better_than, blocking: false}",
        "no blocking `better_than` check against the bare prompt",
    ),
    (
        "{kind: better_than}",
        "{kind: better_than, require: any}",
        "no blocking `better_than` check against the bare prompt",
    ),
    ("{kind: better_than}", "{kind: better_than, baselines: []}", "an empty list compares with nothing"),
    ("{kind: better_than}", "{kind: better_than, baselines: [nobody]}", "'nobody' is not a baseline of this suite"),
    ("{kind: valid_output}", "{kind: benchmark_drop, benchmark: mmlu}", "'mmlu' is not a benchmark of this suite"),
    (", schema: rows.jsonl", "", "`valid_output` needs `data.schema`"),
    (", probe: rows.jsonl", "", "`valid_output` on probe needs `data.probe`"),
    ("train: {learning_rate: 1e-4, epochs: 2}\n", "", "the candidate needs a `train` section"),
    ("train: rows.jsonl, test", "test", "`train` rows are required"),
    ("  bare:", "  old: {kind: adapter, role: baseline}\n  bare:", "a baseline adapter needs one of `from: promoted`"),
]


@pytest.mark.parametrize(("old", "new", "expected"), VACUOUS, ids=[row[2] for row in VACUOUS])
def test_a_gate_that_could_pass_without_evidence_is_refused(old: str, new: str, expected: str, tmp_path: Path) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(expected in line for line in found), found


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        GOOD.replace("seed: 1", "seed: x").replace("epochs: 2", "epoch: 2").replace("kind: valid_output", "kind: vald")
    )
    found = problems(tmp_path, text)
    assert [line.split(" ")[0] for line in found] == ["suite.yaml:2:7", "suite.yaml:5:30", "suite.yaml:11:5"]


def test_an_override_changes_the_value_and_the_digest(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    plain, changed = load_suite(path), load_suite(path, {"train.epochs": "5"})
    assert changed.suite.train is not None and changed.suite.train.epochs == 5
    assert plain.digest != changed.digest
    assert changed.overrides == {"train.epochs": "5"}


def test_a_loaded_suite_has_its_text_its_place_its_lines_and_the_digest_of_both_texts(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    loaded = load_suite(path, {"train.epochs": "5", "seed": "2"})
    assert (loaded.suite.seed, loaded.text, loaded.path) == (2, GOOD, path.resolve())
    assert loaded.resolve("rows.jsonl") == (tmp_path / "rows.jsonl").resolve()
    places = ("", "data.probe", "train.epochs", "systems.bare", "checks.1", "checks.1.kind")
    assert [loaded.lines[place] for place in places] == [1, 4, 5, 8, 11, 11]
    assert loaded.digest == hashlib.sha256((GOOD + "\0seed=2\0train.epochs=5").encode()).hexdigest()


def test_an_override_reaches_into_lists_and_into_what_the_file_does_not_say(tmp_path: Path) -> None:
    given = {"checks.1": "{kind: valid_output, bar: 0.9}", "train.early_stopping.patience": "3"}
    suite = load_suite(write(tmp_path, GOOD), given).suite
    assert suite.checks[1].bar == 0.9  # type: ignore[union-attr]
    assert suite.train is not None and suite.train.early_stopping is not None
    assert suite.train.early_stopping.patience == 3


NOT_AN_INTEGER = "suite.yaml:5:38 train.epochs: must be a valid integer"
REFUSED_OVERRIDES = [
    ({"checks.2.bar": "5"}, ["suite.yaml:1:1 --set checks.2.bar: there is no such place in the suite"]),
    ({"train.epochs": ""}, [f"{NOT_AN_INTEGER}, not None"]),
    ({"train.epochs": "[2]"}, [NOT_AN_INTEGER]),
    (
        {"train.epochs": "@"},
        [
            "suite.yaml:1:1 --set train.epochs: not valid YAML: found character '@' that cannot start any token",
            f"{NOT_AN_INTEGER}, not None",
        ],
    ),
]


@pytest.mark.parametrize(("overrides", "lines"), REFUSED_OVERRIDES, ids=[str(row[0]) for row in REFUSED_OVERRIDES])
def test_a_refused_override_is_told_exactly(overrides: dict[str, str], lines: list[str], tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    with pytest.raises(InvalidInputError) as caught:
        load_suite(path, overrides)
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == lines


TWICE = "suite.yaml:3:1 seed: duplicate key; first given on line 2"
FORMS = "for the hub write `model: {hub: OWNER/NAME, revision: COMMIT}`, for a folder `model: {path: FOLDER}`"
TOLD = [
    ("seed: 1", "seed: @", ["suite.yaml:2:7 not valid YAML: found character '@' that cannot start any token"]),
    ("seed: 1", "seed: 1\nseed: 2\nsed: 3", [TWICE, "suite.yaml:4:1 sed: unknown key; did you mean 'seed'?"]),
    ("epochs: 2", "epochs: 2, targets: 5", [
        "suite.yaml:5:50 train.targets: must be 'all-linear', not 5; or must be a valid list, not 5",
    ]),
    ("epochs: 2", "epochs: 2, early_stopping: {zzzz: 1}", [
        "suite.yaml:5:58 train.early_stopping.zzzz: unknown key; known here: checks_per_epoch, min_delta, patience",
    ]),
    ("role: baseline", "rolle: baseline", ["suite.yaml:8:24 systems.bare.rolle: unknown key; did you mean 'role'?"]),
    ("kind: valid_output", "kind: valid_output, tag: shifted", [
        "suite.yaml:11:26 checks.1.tag: unknown key; known here: bar, blocking, kind, name, on, reason, rule",
    ]),
    ("kind: valid_output", "kind: valid_output, bars: 0.9", [
        "suite.yaml:11:26 checks.1.bars: unknown key; did you mean 'bar'?",
    ]),
    ("smollm2-135m-instruct", "meta-llama/Llama-3.2-1B", [
        f"suite.yaml:3:8 model: 'meta-llama/Llama-3.2-1B' is no name of the catalogue; {FORMS}",
    ]),
    ("smollm2-135m-instruct", "./model", [f"suite.yaml:3:8 model: './model' is no name of the catalogue; {FORMS}"]),
    ("smollm2-135m-instruct", "{hub: a/b}", ["suite.yaml:3:8 model.revision: is required"]),
    ("smollm2-135m-instruct", "{hub: a/b, revision: main}", [
        "suite.yaml:3:29 model.revision: must be a commit, 40 hexadecimal digits, and not 'main'; a branch or a tag "
        "may move",
    ]),
    ("smollm2-135m-instruct", f"{{hub: a/b, revision: {'a' * 40}, path: x}}", [
        "suite.yaml:3:71 model.path: unknown key; known here: hub, revision",
    ]),
    ("smollm2-135m-instruct", "{pth: x}", [
        "suite.yaml:3:8 model.path: is required",
        "suite.yaml:3:9 model.pth: unknown key; did you mean 'path'?",
    ]),
    ("smollm2-135m-instruct", "5", ["suite.yaml:3:8 model: must be a valid string, not 5"]),
    ("kind: valid_output", "kind: valid_output, bar: 95", [
        "suite.yaml:11:31 checks.1.bar: must be less than 1, not 95; write 95% or 0.95",
    ]),
    ("seed: 1", "seed: 1\nstatistics: {alpha: 5, resamples: 1000001}", [
        "suite.yaml:3:21 statistics.alpha: must be less than or equal to 0.2, not 5; write 5% or 0.05",
        "suite.yaml:3:35 statistics.resamples: must be less than or equal to 1000000, not 1000001",
    ]),
    ("{kind: better_than}", "{kind: better_than, baslines: []}", [
        "suite.yaml:10:25 checks.0.baslines: unknown key; did you mean 'baselines'?",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "lines"), TOLD, ids=[row[1] for row in TOLD])
def test_no_more_and_no_less_is_told_than_is_wrong(old: str, new: str, lines: list[str], tmp_path: Path) -> None:
    assert old in GOOD
    assert problems(tmp_path, GOOD.replace(old, new, 1)) == lines


def test_only_what_is_wrong_as_written_is_told_when_what_it_means_is_wrong_too(tmp_path: Path) -> None:
    text = GOOD.replace("seed: 1", "seed: 1\nseed: 2")
    assert problems(tmp_path, text[: text.index("checks:")] + "checks: []\n") == [TWICE]


def test_an_override_is_checked_like_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="unknown key; did you mean 'epochs'"):
        load_suite(write(tmp_path, GOOD), {"train.epoch": "5"})
    with pytest.raises(InvalidInputError, match="there is no such place"):
        load_suite(write(tmp_path, GOOD), {"checks.7.bar": "5"})


def test_a_missing_suite_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="harness init"):
        load_suite(tmp_path)


# Every refused line stands third in a mapping that is in order, so that the place is known: line 3, and this column.
STRICT = [
    ("key: !!str 5", 6, "tags (tag:yaml.org,2002:str) are not allowed"),
    ("key: !!int '5'", 6, "tags (tag:yaml.org,2002:int) are not allowed"),
    ("key: !!python/object/apply:os.system [id]", 6, "tags (tag:yaml.org,2002:python/object/apply:os.system)"),
    ("key: !env HOME", 6, "tags (!env) are not allowed"),
    ("key: ! 5", 6, "tags (!) are not allowed"),
    ("key: [1, !!set {a}]", 10, "tags (tag:yaml.org,2002:set) are not allowed"),
    ("!!str key: 5", 1, "anchors and tags are not allowed"),
    ("key: &here 5", 6, "anchors and aliases are not allowed"),
    ("&here key: 5", 1, "anchors and tags are not allowed"),
    ("key: *there", 6, "anchors and aliases are not allowed"),
    ("key: {<<: {a: 1}}", 7, "merge keys are not allowed"),
    ('key: {"<<": {a: 1}}', 7, "merge keys are not allowed"),
    ("one: 5", 1, "duplicate key; first given on line 1"),
    ("key: {a: 1, 'a': 2}", 13, "duplicate key; first given on line 3"),
    ("? [key]\n: 5", 3, "a key must be text"),
    ("? {a: 1}\n: 5", 3, "a key must be text"),
    ("key: .inf", 6, ".inf is not a finite number"),
    ("key: -.INF", 6, "-.INF is not a finite number"),
    ("key: 1e999", 6, "1e999 is not a finite number"),
    ("key: " + "9" * 5000, 6, "an integer of more than 4300 digits"),
    ("key: " + "[" * 40 + "]" * 40, 36, "nested deeper than 30 levels"),
    ("key: " + "[" * 50_000, 36, "nested deeper than 30 levels"),
    ("key: " + "{a: " * 20_000, 126, "nested deeper than 30 levels"),
    ("--- {}", 1, "found another document"),
    ('key: "\\ud800"', 6, "a lone surrogate is not text"),
    ('"\\udfff": 5', 1, "a lone surrogate is not text"),
    ('key: "\\UFFFFFFFF"', 1, "not valid YAML from here on: Python int too large"),
    ('key: "\\U00110000"', 1, "not valid YAML from here on: chr() arg not in range(0x110000)"),
    ("\tkey: 5", 1, "not valid YAML"),
    ("key: @at", 6, "not valid YAML"),
    ("key: \x07", 6, "not valid YAML: the character U+0007 is not allowed"),
]


@pytest.mark.parametrize(("line", "column", "reason"), STRICT, ids=[row[0][:30] for row in STRICT])
def test_what_is_not_plain_yaml_is_refused_where_it_stands(line: str, column: int, reason: str) -> None:
    (problem, *_) = source.read(f"one: 1\ntwo: [a, b]\n{line}\n").problems
    place = problem.position
    assert problem.message.find(reason) >= 0, problem
    assert (place.line, place.column) == (3, column), problem


def test_directives_are_refused() -> None:
    (problem,) = source.read("%YAML 1.1\n---\nkey: no\n").problems
    assert problem.message == "directives (%) are not allowed"


NO_TEXT = "not valid YAML from here on: Python int too large to convert to C int"
KEPT = [
    # text, what is kept of it, and of each problem line, column, path and message
    ("\n\x07", None, [(2, 1, (), "not valid YAML: the character U+0007 is not allowed")]),
    ("a: 1\nb: @", None, [(2, 4, (), "not valid YAML: found character '@' that cannot start any token")]),
    (
        "a: |\n  \n     x\n",
        None,
        [(3, 6, (), "not valid YAML: more indented follow up line than first in a block scalar")],
    ),
    ('"\\UFFFFFFFF"', None, [(1, 1, (), NO_TEXT)]),
    ('a:\n  - 1\n  - "\\UFFFFFFFF"', None, [(2, 5, (), NO_TEXT)]),
    ("[" * 40, None, [(1, 32, (0, 0), "nested deeper than 30 levels")]),
    ("", None, [(1, 1, (), "the file is empty")]),
    ("%YAML 1.1\n---\na: no\n", {"a": "no"}, [(2, 1, (), "directives (%) are not allowed")]),
    (
        "a: 1\n--- {}\n",
        {"a": 1},
        [(2, 1, (), "not valid YAML: found another document; one file is one document")],
    ),
    (
        "a: 1\na: !x 2\nb: 3",
        {"a": 1, "b": 3},
        [(2, 1, ("a",), "duplicate key; first given on line 1"), (2, 4, ("a",), "tags (!x) are not allowed")],
    ),
    (
        "<<: {x: !t 1}\nb: 3",
        {"b": 3},
        [(1, 1, (), "merge keys are not allowed"), (1, 9, ("?", "x"), "tags (!t) are not allowed")],
    ),
    (
        "? [!t k]\n: !t 5\n",
        {},
        [
            (1, 3, (), "a key must be text"),
            (1, 4, ("?", 0), "tags (!t) are not allowed"),
            (2, 3, ("?",), "tags (!t) are not allowed"),
        ],
    ),
    ("!t a: 1", {"a": 1}, [(1, 1, (), "anchors and tags are not allowed")]),
    ('"\\ud800": 1', {}, [(1, 1, (), "a lone surrogate is not text")]),
]


@pytest.mark.parametrize(("text", "data", "problems"), KEPT, ids=[row[0][:30] for row in KEPT])
def test_what_is_refused_is_told_exactly_and_what_can_be_known_is_kept(
    text: str, data: object, problems: list[tuple[int, int, source.Path, str]]
) -> None:
    document = source.read(text)
    assert document.problems == [
        source.Problem(source.Position(line, column), path, message) for line, column, path, message in problems
    ]
    assert document.data == data


@pytest.mark.parametrize(
    ("path", "of_key", "line", "column"),
    [
        (("a",), False, 3, 3),
        (("a",), True, 2, 2),
        (("a", "b", 1), False, 3, 10),
        (("a", "b", 2), False, 3, 6),
        (("a", "b", 1, "x", "y"), False, 3, 10),
        (("c", "x"), True, 4, 5),
        (("x", "y"), False, 2, 2),
    ],
)
def test_a_place_that_is_not_written_is_that_of_the_nearest_parent(
    path: source.Path, of_key: bool, line: int, column: int
) -> None:
    document = source.read("\n a:\n  b: [1, 2]\n c: x\n")
    assert document.position(path, of_key=of_key) == source.Position(line, column)


def test_a_place_in_an_empty_document_is_its_beginning() -> None:
    assert source.Document().position(("a",)) == source.Position(1, 1)


def test_a_chain_of_aliases_is_never_followed() -> None:
    lines = ["a0: &a0 [lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    document = source.read("\n".join(lines))
    assert len(document.problems) == 12 + 9 * 11
    assert len(repr(document.data)) < 2000


PLAIN = [
    ("1e-4", 1e-4), ("1.", 1.0), (".5", 0.5), ("+7", 7), ("-0", 0), ("007", 7), ("0o17", 15), ("0x1F", 31),
    ("7" * 4300, int("7" * 4300)),
    ("no", "no"), ("NO", "NO"), ("on", "on"), ("yes", "yes"), ("True", True), ("FALSE", False), ("~", None), ("", None),
    ("1:30", "1:30"), ("1_000", "1_000"), ("2026-01-01", "2026-01-01"), ("0b11", "0b11"), ("=", "="), ("<<", "<<"),
    ("'5'", "5"), ('"no"', "no"), ('"\\u202e"', "\u202e"), ("é", "é"), ("|\n  two\n  lines", "two\nlines\n"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), PLAIN, ids=[row[0] for row in PLAIN])
def test_a_plain_value_is_what_yaml_1_2_says(text: str, value: object) -> None:
    document = source.read(f"key: {text}\n")
    assert document.problems == []
    assert document.data == {"key": value} and type(document.data["key"]) is type(value)


def test_a_suite_is_refused_when_it_is_too_large_or_no_file(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, GOOD + "#" * YAML_BYTES)
    assert "over 131,072 bytes" in line
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInputError, match="not a regular file"):
        load_suite(tmp_path / "pipe")


def test_a_text_is_refused_before_it_is_parsed_when_it_is_too_large(tmp_path: Path) -> None:
    (problem,) = source.read("[" + "é" * (YAML_BYTES // 2)).problems
    assert problem == source.Problem(source.Position(1, 1), (), "the file is over 131,072 bytes")
    assert source.read("é" * (YAML_BYTES // 2)).problems == []
    assert source.read("ééé", most_bytes=5).problems[0].message == "the file is over 5 bytes"


@pytest.mark.parametrize("text", ["null", "~", "[]", "text", "5"])
def test_a_suite_that_is_no_mapping_says_what_one_is(text: str, tmp_path: Path) -> None:
    assert problems(tmp_path, text) == [
        "suite.yaml:1:1 a suite is a mapping of keys such as suite, model, data, systems, checks"
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{a: 1, a: 2}", "--set train.epochs: duplicate key"),
        ("!!python/name:os.system", "--set train.epochs: tags"),
        ("&x 1", "--set train.epochs: anchors and aliases are not allowed"),
        ("'", "--set train.epochs: not valid YAML"),
        ("[" * 100, "--set train.epochs: nested deeper than 30 levels"),
    ],
)
def test_an_override_is_read_as_strictly_as_the_file(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        load_suite(write(tmp_path, GOOD), {"train.epochs": text})
    assert reason in str(caught.value)


def test_an_override_may_take_a_value_away(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("epochs: 2", "epochs: 2, early_stopping: {patience: 3}"))
    for text in ("", "null"):
        with pytest.raises(InvalidInputError, match=r"train\.epochs: must be a valid integer, not None"):
            load_suite(path, {"train.epochs": text})


@pytest.mark.parametrize("place", ["²", "9" * 5000, "-1"])
def test_an_override_at_a_place_that_is_no_index_is_refused(place: str, tmp_path: Path) -> None:
    for key in (f"checks.{place}.bar", f"checks.{place}"):
        with pytest.raises(InvalidInputError, match="there is no such place"):
            load_suite(write(tmp_path, GOOD), {key: "5"})


@pytest.mark.parametrize("key", ["train.learning_rate", "checks.0.alpha", "data.mix"])
def test_a_number_that_is_too_large_for_a_float_is_refused(key: str, tmp_path: Path) -> None:
    value = "9" * 400 if key != "data.mix" else "{from: mix.jsonl, share: " + "9" * 400 + "}"
    with pytest.raises(InvalidInputError, match=r"larger than any number|unknown key"):
        load_suite(write(tmp_path, GOOD), {key: value})


_PIECES = [*":-?[]{}#&*!|>'\"%@`,\n\t \r\x00\x85\u2028\ufeff", "\n  ", "<<: ", "!!", "---\n", "a: ", "%YAML "]
_yaml = st.lists(st.sampled_from(_PIECES) | st.text(max_size=4), max_size=30).map("".join)


@given(_yaml)
@settings(max_examples=300, deadline=None)
def test_whatever_the_text_is_problems_are_told_and_nothing_is_raised(text: str) -> None:
    document = source.read(text)
    assert document.problems or document.data is not None or text.strip()
    assert all(problem.position.line >= 1 and problem.position.column >= 1 for problem in document.problems)
