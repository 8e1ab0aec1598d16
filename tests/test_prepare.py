"""What can be refused before a model is loaded is refused there, with what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from plain_suite import FILES, SUITE, write_plain_suite

from harness.errors import InvalidInputError
from harness.prepare import Inputs, read_inputs
from harness.suite.load import load_suite


def read(project: Path, text: str) -> Inputs:
    folder = write_plain_suite(project, text=text)
    return read_inputs(load_suite(folder), registry=project / "baselines")


def with_arm(arm: str) -> str:
    return SUITE.replace("checks:", f"  other: {arm}\nchecks:")


def test_what_every_arm_needs_is_read_before_anything_is_loaded(tmp_path: Path) -> None:
    text = SUITE.replace(
        "checks:",
        "  shots: {kind: few_shot, shots: 3}\n"
        "  found: {kind: retrieval, documents: handbook, template: template.txt}\n"
        "  bound: {kind: constrained, over: shots, lark: answer.lark}\n"
        "checks:",
    )
    inputs = read(tmp_path, text)
    assert [passage.text for passage in inputs.passages["found"]] == ["Refunds take a week."]
    assert inputs.templates == {"found": "{passages}\n\n{question}"}
    assert inputs.grammars == {"bound": FILES["answer.lark"]}
    assert inputs.prompts["bound"] == inputs.prompts["bare"] == "Answer."
    assert inputs.datasets.digests["handbook"]


ARMS = {
    "{kind: few_shot, shots: 64}": r"systems.other: 64 shots need as many training rows; there are 54",
    "{kind: constrained, over: bare, regex: '(a'}": r"systems.other: the regular expression cannot constrain",
    "{kind: constrained, over: bare, lark: bare.txt}": r"systems.other: the Lark grammar cannot constrain",
    "{kind: retrieval, template: bare.txt}": r"bare.txt: the template must contain \{passages\}",
    '{kind: constrained, over: bare, regex: \'"x0"|"y1"\'}': (
        r"""^test.jsonl:2: the answer '"x1"' cannot be written under the grammar of the arm other; 20 rows have this """
        r"answer \(suite.yaml:9\); correct the grammar or the answer; a typo in a label is the usual cause$"
    ),
    "{kind: adapter, from: handbook}": r"handbook: neither an adapter folder",
}


@pytest.mark.parametrize(("arm", "message"), ARMS.items())
def test_an_arm_that_cannot_answer_is_refused(arm: str, message: str, tmp_path: Path) -> None:
    folder = write_plain_suite(tmp_path, text=with_arm(arm), train=60)
    with pytest.raises(InvalidInputError, match=message):
        read_inputs(load_suite(folder), registry=tmp_path / "baselines")


@pytest.mark.parametrize(("content", "says"), [(b" \n", "the rubric of judge fair is empty"), (b"\xff", "as UTF-8")])
def test_a_rubric_that_says_nothing_is_refused_with_the_data(content: bytes, says: str, tmp_path: Path) -> None:
    judge = "judges: {fair: {base_url: 'https://host/v1', model: m, rubric: rubric.txt, key_env: NOT_HERE}}\nchecks:"
    folder = write_plain_suite(tmp_path, text=SUITE.replace("checks:", judge) + "  - {kind: preferred, judge: fair}\n")
    (folder / "rubric.txt").write_bytes(content)
    with pytest.raises(InvalidInputError, match=says):
        read_inputs(load_suite(folder), registry=tmp_path / "baselines")


def test_a_run_is_told_of_an_arm_whose_answers_may_be_impossible_once_and_goes_on(tmp_path: Path) -> None:
    grammar = r"{kind: constrained, over: bare, regex: '\{\}'}"
    rows = [{"prompt": str(i), "completion": f'{{"number":{i % 3}}}'} for i in range(40)]
    folder = write_plain_suite(tmp_path, text=with_arm(grammar))
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (warning,) = (one for one in read_inputs(load_suite(folder), registry=tmp_path / "b").warnings if "arm" in one)
    assert warning.startswith(
        """test.jsonl:1: the answer '{"number":0}' cannot be written under the grammar of the arm"""
    )
    assert warning.endswith("; 2 more, see `harness lint`")


@pytest.mark.parametrize("name", ["suite", "base", "adapter:candidate"])
def test_a_data_file_cannot_take_another_digests_place(name: str, tmp_path: Path) -> None:
    folder = write_plain_suite(tmp_path, text=SUITE.replace("test: test.jsonl", f"test: '{name}'"))
    (folder / name).write_bytes((folder / "test.jsonl").read_bytes())
    with pytest.raises(InvalidInputError, match=f"'{name}' is what the manifest calls something else"):
        read_inputs(load_suite(folder), registry=tmp_path / "baselines")


REPEATED = '{"id": "again", "prompt": "TEST   question 7", "completion": "\\"x1\\""}\n'


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "checks:",
            "statistics: {mode: anytime}\nchecks:",
            "statistics.mode: anytime bets on independent examples, but",
        ),
        ("checks:", "checks:\n  - {kind: recipe_better_than}", "checks.0: `recipe_better_than` takes examples as"),
    ],
)
def test_rows_that_ask_the_same_are_refused_where_rows_must_be_independent(
    old: str, new: str, says: str, tmp_path: Path
) -> None:
    text = SUITE.replace("  - {kind: valid_output, on: test, bar: 90%}\n", "").replace(old, new)
    text = text.replace("learning_rate: 2e-4", "learning_rate: 2e-4, seeds: 3")
    folder = write_plain_suite(tmp_path, text=text)
    read_inputs(load_suite(folder), registry=tmp_path / "baselines")
    with (folder / "test.jsonl").open("a") as stream:
        stream.write(REPEATED)
    with pytest.raises(InvalidInputError, match=re.escape(says)) as refused:
        read_inputs(load_suite(folder), registry=tmp_path / "baselines")
    assert "test.jsonl:8 is of the cluster " in str(refused.value)


def test_general_rows_that_ask_the_same_are_refused(tmp_path: Path) -> None:
    check = "checks:\n  - {kind: kl_divergence, prompts: general.jsonl, limit: 0.1}"
    folder = write_plain_suite(tmp_path, text=SUITE.replace("checks:", check))
    rows = [{"prompt": f"general {i}", "completion": "yes"} for i in range(100)]
    again = {"id": "again", "prompt": "General 7", "completion": "no"}
    for written in (rows, [*rows, again]):
        (folder / "general.jsonl").write_text("".join(json.dumps(row) + "\n" for row in written))
        if again not in written:
            read_inputs(load_suite(folder), registry=tmp_path / "baselines")
    with pytest.raises(
        InvalidInputError, match=r"checks\.0\.prompts: the rows must be independent, but general\.jsonl:101"
    ):
        read_inputs(load_suite(folder), registry=tmp_path / "baselines")


def test_weights_as_a_pickle_are_refused_by_name(tmp_path: Path) -> None:
    folder = write_plain_suite(tmp_path, text=with_arm("{kind: adapter, from: old}"))
    (folder / "old").mkdir()
    (folder / "old" / "adapter_config.json").write_text("{}")
    (folder / "old" / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(InvalidInputError, match=r"adapter_model.bin: weights as a pickle can run code"):
        read_inputs(load_suite(folder), registry=tmp_path / "baselines")
