"""Columns are renamed where a file has them, and nothing of a row is lost without a word."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.data.columns import Columns
from harness.data.formats import to_examples
from harness.data.reading import read_rows
from harness.data.sources import Source
from harness.data.splits import load_datasets
from harness.errors import InvalidInputError
from harness.suite.load import load_suite


def read(folder: Path, content: str, columns: Columns, name: str = "rows.csv") -> Source:
    path = folder / name
    path.write_text(content)
    return read_rows(path, columns)


def test_columns_take_the_names_of_a_format(tmp_path: Path) -> None:
    source = read(tmp_path, "question,answer\nwhy?,so\n", {"prompt": "question", "completion": "answer"})
    (row,) = to_examples(source, labelled=True)
    assert (row.messages[0].content, row.target, row.source) == ("why?", "so", "rows.csv:2")
    assert source.renamed == {"question", "answer"}


def test_columns_may_change_places(tmp_path: Path) -> None:
    source = read(tmp_path, "prompt,completion\nso,why?\n", {"prompt": "completion", "completion": "prompt"})
    assert source.rows[0].value == {"prompt": "why?", "completion": "so"}


def test_several_columns_become_tags_and_an_empty_one_none(tmp_path: Path) -> None:
    columns = {"tags": ["topic", "level"]}
    source = read(tmp_path, "prompt,completion,topic,level\na,b,tax,hard\nc,d,,easy\ne,f,,\n", columns)
    assert [row.tags for row in to_examples(source, labelled=True)] == [("tax", "hard"), ("easy",), ()]


def test_remarks_are_dropped_and_nothing_else(tmp_path: Path) -> None:
    columns = {"meta": ["created", "author"]}
    source = read(tmp_path, "prompt,completion,created,author,topic\na,b,today,me,tax\n", columns)
    with pytest.raises(InvalidInputError, match=r"^rows\.csv:2: unknown key topic;"):
        to_examples(source, labelled=True)


def test_a_file_without_the_columns_is_read_as_it_is(tmp_path: Path) -> None:
    source = read(tmp_path, '{"prompt": "a", "completion": "b"}', {"prompt": "question"}, name="rows.jsonl")
    assert source.rows[0].value == {"prompt": "a", "completion": "b"} and source.renamed == frozenset()


def test_a_list_of_tags_stays_one(tmp_path: Path) -> None:
    row = json.dumps({"prompt": "a", "completion": "b", "topics": ["x", "y"], "kind": "z"})
    source = read(tmp_path, row, {"tags": ["topics", "kind"]}, name="rows.jsonl")
    assert source.rows[0].value["tags"] == ["x", "y", "z"]


BAD = [
    ({"prompt": "question"}, {"prompt": "a", "question": "b"}, "makes `question` the `prompt`, and the row has a `pro"),
    ({"tags": "level"}, {"prompt": "a", "completion": "b", "level": 3}, "`level` must be text to be a tag, not 3"),
]


@pytest.mark.parametrize(("columns", "row", "reason"), BAD)
def test_a_row_that_cannot_be_renamed_is_named(
    columns: Columns, row: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(tmp_path, "\n" + json.dumps(row), columns, name="rows.jsonl")
    assert str(caught.value).startswith("rows.jsonl:2: ") and reason in str(caught.value)


SUITE = """\
suite: s
seed: 1
model: smollm2-135m-instruct
data: {{train: train.csv, test: test.csv, columns: {columns}}}
train: {{}}
systems: {{candidate: {{kind: adapter, role: candidate}}, bare: {{kind: prompt}}}}
checks: [{{kind: better_than}}]
"""


def write_suite(folder: Path, columns: str) -> Path:
    for name, count in (("train", 40), ("test", 20)):
        rows = [f"{name} question {i},answer {i % 2}" for i in range(count)]
        (folder / f"{name}.csv").write_text("\n".join(["question,answer", *rows]))
    (folder / "suite.yaml").write_text(SUITE.format(columns=columns))
    return folder


def test_a_suite_of_csv_files_is_read(tmp_path: Path) -> None:
    found = load_datasets(load_suite(write_suite(tmp_path, "{prompt: question, completion: answer}")))
    assert (len(found.train), len(found.validation), len(found.test)) == (36, 4, 20)
    assert found.formats == {
        "train.csv": "CSV, 40 rows of prompt and completion",
        "test.csv": "CSV, 20 rows of prompt and completion",
    }


def test_a_column_that_no_file_has_is_refused(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "{prompt: question, completion: answer, tags: [topic, level]}")
    message = r"^suite.yaml:4 data.columns: no file has a column 'level', 'topic'; their columns are answer, question$"
    with pytest.raises(InvalidInputError, match=message):
        load_datasets(load_suite(suite))


@pytest.mark.parametrize("columns", ["{prompt: question, completion: anwser}", "{completion: anwser}"])
def test_a_misspelt_column_is_one_problem_at_its_line_and_not_one_of_each_row(columns: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        load_datasets(load_suite(write_suite(tmp_path, columns)))
    (line,) = str(caught.value).splitlines()
    assert line.startswith("suite.yaml:4 data.columns: no file has a column 'anwser'; their columns are ")
    assert line.endswith("; did you mean 'answer'?")
    assert sorted(re.findall("question|answer", line.split("their columns are ")[1])) == [
        "answer",
        "answer",
        "question",
    ]


@pytest.mark.parametrize("lacking", ["test", "probe"])
def test_a_file_that_is_judged_without_the_declared_clusters_is_refused(lacking: str, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "{prompt: question, completion: answer, cluster: document}")
    text = (suite / "suite.yaml").read_text().replace("test: test.csv,", "test: test.csv, probe: probe.csv,")
    (suite / "suite.yaml").write_text(text)
    for name in ("test", "probe"):
        rows = [f"{name} question {i},{i % 2},d{i // 4}" for i in range(20)]
        (suite / f"{name}.csv").write_text("\n".join(["question,answer,document", *rows]))
    found = load_datasets(load_suite(suite))  # the rows that are only learned from need none
    assert [row.cluster for row in found.test[:5]] == ["d0", "d0", "d0", "d0", "d1"]
    rows = (suite / f"{lacking}.csv").read_text().splitlines()
    (suite / f"{lacking}.csv").write_text("\n".join(row.rpartition(",")[0] for row in rows))
    message = rf"^suite.yaml:4 data.columns.cluster: {lacking}.csv has no column 'document', so its rows would count as"
    with pytest.raises(InvalidInputError, match=message):
        load_datasets(load_suite(suite))
    (suite / f"{lacking}.csv").write_text("\n".join(["question,answer,cluster", *rows[1:]]))
    load_datasets(load_suite(suite))  # a file may call it by the key of the format
