"""Rows are read strictly, and no prompt may stand on both sides of a split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.data.formats import to_examples
from harness.data.sources import read_json_lines
from harness.data.splits import load_datasets, prompt_key, split_validation
from harness.errors import InvalidInputError
from harness.records import Example, Message
from harness.suite.load import load_suite


def examples_of(folder: Path, *lines: str, labelled: bool = True) -> tuple[Example, ...]:
    path = folder / "rows.jsonl"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    return to_examples(read_json_lines(path), labelled=labelled)


def test_both_formats_give_the_same_example(tmp_path: Path) -> None:
    chat, plain = examples_of(
        tmp_path,
        '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}',
        '{"prompt": "hi", "completion": "yo"}',
    )
    assert (chat.messages, chat.target, chat.id) == (plain.messages, plain.target, plain.id)
    assert (chat.source, plain.source) == ("rows.jsonl:1", "rows.jsonl:2")


def test_a_line_separator_inside_a_string_does_not_cut_the_row(tmp_path: Path) -> None:
    (example,) = examples_of(tmp_path, '{"prompt": "a\u2028b\u0085c", "completion": "d"}')
    assert example.messages[0].content == "a\u2028b\u0085c"


BAD_ROWS = [
    ("not json", "not valid JSON"),
    ("[1]", "a row must be a JSON object"),
    ('{"prompt": "a", "completion": NaN}', "not valid JSON"),
    ('{"prompt": "a", "prompt": "b", "completion": "c"}', "not valid JSON"),
    ('{"prompt": "a"}', "there is no answer"),
    ('{"prompt": " ", "completion": "c"}', "the prompt is empty"),
    ('{"prompt": "a", "completion": " "}', "the answer is empty"),
    ('{"prompt": "a", "completion": "b", "tag": ["x"]}', "unknown key tag"),
    ('{"prompt": "a", "completion": "b", "tags": "x"}', "`tags` must be a list of text"),
    ('{"prompt": "a", "completion": "b", "id": 3}', "`id` must be text"),
    ('{"text": "a"}', "needs `messages`, or `prompt` with `completion`"),
    ('{"messages": []}', "`messages` must be a non-empty list"),
    ('{"messages": [{"role": "bot", "content": "a"}]}', "messages[0].role 'bot' is not one of"),
    ('{"messages": [{"role": "user", "content": 3}]}', "messages[0].content must be text"),
    ('{"messages": [{"role": "assistant", "content": "a"}]}', "no user message"),
    ('{"messages": [{"role": "user", "content": "a"}]}', "there is no answer"),
    ("\udcff", "not UTF-8"),
]


@pytest.mark.parametrize(("line", "message"), BAD_ROWS, ids=[row[1] for row in BAD_ROWS])
def test_a_bad_row_is_named_with_file_and_line(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        examples_of(tmp_path, '{"prompt": "fine", "completion": "fine"}', line)
    assert str(caught.value).startswith("rows.jsonl:2: ")
    assert message in str(caught.value)


def example(text: str, target: str = "x", name: str = "") -> Example:
    return Example(id=name or text, messages=(Message(role="user", content=text),), target=target)


@pytest.mark.parametrize(
    "twin", ["HELLO  world", "hello, world!", "ｈｅｌｌｏ world", "hel\u200blo world", "Hello\nWorld"]
)
def test_prompts_that_differ_in_form_only_have_one_key(twin: str) -> None:
    assert prompt_key(example(twin)) == prompt_key(example("hello world"))


def test_prompts_of_punctuation_alone_stay_apart() -> None:
    assert prompt_key(example("???")) != prompt_key(example("!!!"))


def test_validation_is_a_seeded_share_and_keeps_twins_together() -> None:
    rows = tuple(example(f"row {i // 2}", name=str(i)) for i in range(200))
    train, validation = split_validation(rows, 0.10, seed=5)
    assert len(train) + len(validation) == 200
    assert 20 <= len(validation) <= 21
    assert not {prompt_key(row) for row in train} & {prompt_key(row) for row in validation}
    assert split_validation(rows, 0.10, seed=5) == (train, validation)
    assert split_validation(rows, 0.10, seed=6) != (train, validation)


SUITE = """\
suite: s
seed: 1
model: smollm2-135m-instruct
data: {train: train.jsonl, test: test.jsonl}
train: {}
systems: {candidate: {kind: adapter, role: candidate}, bare: {kind: prompt}}
checks: [{kind: better_than}]
"""


def write_suite(folder: Path, train: list[str], test: list[str]) -> Path:
    (folder / "suite.yaml").write_text(SUITE)
    for name, prompts in (("train", train), ("test", test)):
        rows = [json.dumps({"prompt": prompt, "completion": "x"}) for prompt in prompts]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    return folder


TRAIN, TEST = [f"train question {i}" for i in range(40)], [f"test question {i}" for i in range(20)]


def test_disjoint_sets_are_read(tmp_path: Path) -> None:
    found = load_datasets(load_suite(write_suite(tmp_path, TRAIN, TEST)))
    assert (len(found.train), len(found.validation), len(found.test)) == (36, 4, 20)
    assert set(found.digests) == {"train.jsonl", "test.jsonl"}


@pytest.mark.parametrize("twin", ["train question 7", "TRAIN   question 7!"])
def test_an_overlap_between_train_and_test_is_refused_with_both_places(twin: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        load_datasets(load_suite(write_suite(tmp_path, TRAIN, [*TEST, twin])))
    assert "test.jsonl:21" in str(caught.value) and "train.jsonl:8" in str(caught.value)


@pytest.mark.parametrize("test", [[], TEST[:9]])
def test_an_empty_or_tiny_test_set_is_refused(test: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=f"{len(test)} test rows"):
        load_datasets(load_suite(write_suite(tmp_path, TRAIN, test)))


def test_an_id_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"test.jsonl:21: id .* is also that of test.jsonl:1"):
        load_datasets(load_suite(write_suite(tmp_path, TRAIN, [*TEST, TEST[0]])))
