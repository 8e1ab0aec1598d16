"""Where the rows of a suite come from, and what their columns are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InvalidInputError
from harness.suite.declaration import HubRows
from harness.suite.load import LoadedSuite, parse_suite
from harness.suite.rules import named_files

COMMIT = "e53f048856ff4f594e959d75785d2c2d37b678ee"
HUB = f"{{hub: owner/set, revision: {COMMIT}, split: %s}}"
SUITE = """\
suite: s
seed: 1
model: smollm2-135m-instruct
data: {data}
train: {train}
systems: {{candidate: {{kind: adapter, role: candidate}}, bare: {{kind: prompt}}}}
checks: [{{kind: better_than}}]
"""


def parse(data: str, *, train: str = "{}", overrides: dict[str, str] | None = None) -> LoadedSuite:
    return parse_suite(SUITE.format(data=data, train=train), Path("suite.yaml"), overrides or {}, files=False)


def test_rows_may_come_from_the_hub_and_then_no_file_is_named(tmp_path: Path) -> None:
    data = f"{{train: {HUB % 'train'}, test: {HUB % 'test'}, validation: {HUB % 'dev'}, mix: {{from: {HUB % 'all'}}}}}"
    suite = parse(data).suite
    assert suite.data.test == HubRows(hub="owner/set", revision=COMMIT, split="test")
    assert str(suite.data.test) == "owner/set@e53f048856ff/test"
    assert list(named_files(suite)) == []


def test_a_configuration_is_in_the_name_of_hub_rows() -> None:
    rows = HubRows(hub="owner/set", revision=COMMIT, split="test", config="main")
    assert str(rows) == "owner/set@e53f048856ff/main/test"


def test_a_training_may_have_its_own_rows_from_the_hub() -> None:
    loaded = parse("{test: test.jsonl}", train=f"{{objective: dpo, rows: {HUB % 'train'}}}")
    assert isinstance(loaded.suite.trainings["candidate"].rows, HubRows)
    assert [name for _, name in named_files(loaded.suite)] == ["test.jsonl"]


def test_the_columns_that_are_renamed_are_known_by_their_keys() -> None:
    columns = parse("{train: a.csv, test: b.csv, columns: {prompt: question, tags: [topic, level]}}").suite.data.columns
    assert columns.named == {"prompt": "question", "tags": ["topic", "level"]}


BAD = [
    ("{train: a, test: {hub: owner/set, split: test}}", "4:24 data.test.revision: is required"),
    (f"{{train: a, test: {{hub: owner/set, revision: {COMMIT}}}}}", "4:24 data.test.split: is required"),
    (
        "{train: a, test: {hub: owner/set, revision: main, split: test}}",
        "data.test.revision: must be a commit, 40 hexadecimal digits",
    ),
    (f"{{train: a, test: {{hub: set, revision: {COMMIT}, split: test}}}}", "data.test.hub: string should match"),
    (
        f"{{train: a, test: {{hub: a/b, revision: {COMMIT}, split: a, splt: b}}}}",
        "splt: unknown key; did you mean 'split'?",
    ),
    ("{train: a, test: [b]}", "data.test: must be a valid string"),
    ("{train: a, test: b, columns: {promt: c}}", "data.columns.promt: unknown key; did you mean 'prompt'?"),
    ("{train: a, test: b, columns: {prompt: [c, d]}}", "data.columns.prompt: must be a valid string"),
    ("{train: a, test: b, columns: {prompt: c, completion: c}}", "the column 'c' is already the `prompt`"),
    ("{train: a, test: b, columns: {tags: [c, c]}}", "data.columns.tags: the column 'c' is already the `tags`"),
    (
        "{train: a, test: b, columns: {input: c, meta: [d, c]}}",
        "data.columns.meta: the column 'c' is already the `input`",
    ),
]


@pytest.mark.parametrize(("data", "problem"), BAD, ids=[problem for _, problem in BAD])
def test_a_wrong_declaration_of_data_is_one_problem_at_its_place(data: str, problem: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(data)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("suite.yaml:4:") and problem in line


def test_rows_of_the_hub_can_be_set_on_the_command_line() -> None:
    loaded = parse("{train: a, test: b}", overrides={"data.test": HUB % "test"})
    assert isinstance(loaded.suite.data.test, HubRows)


def test_a_file_for_validation_and_one_on_the_hub_follow_the_same_rule() -> None:
    for rows in ("held.jsonl", HUB % "validation"):
        with pytest.raises(InvalidInputError, match="no training learns from labelled rows, so none would use these"):
            parse(f"{{train: pairs, test: b, validation: {rows}}}", train="{objective: dpo}")
