"""A row is shown in the very tokens that are asked and trained, through the one place that applies a chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_tokenizer import TEMPLATE, write_tokenizer

from harness.data.local_tokenizer import LocalTokenizer
from harness.engine.chat import training_ids
from harness.errors import InvalidInputError
from harness.records import Message
from harness.showing import ShownRow, find_row, render_row
from harness.suite.load import load_suite

ALTERNATING = "{{ raise_exception('only user and assistant') if messages[0]['role'] == 'system' }}" + TEMPLATE

SUITE = """\
suite: s
seed: 1
model: smollm2-135m-instruct
data: {{{data}}}
train: {train}
systems: {{candidate: {{kind: adapter, role: candidate, system: plain.txt}}, bare: {{kind: prompt, system: plain.txt}}}}
checks: [{{kind: better_than}}]
"""
DATA = "train: train.jsonl, test: test.jsonl, probe: probe.jsonl, mix: {from: mix.jsonl}"
ASKED = "<|im_start|>system\nWhich colour?<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def write_suite(folder: Path, *, train: str = "{}", data: str = DATA, rows: list[dict[str, Any]] | None = None) -> Path:
    """A suite whose training rows are two, the second on line 3."""
    rows = rows or [{"prompt": f"item {i}", "completion": "réd"} for i in range(2)]
    (folder / "train.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    (folder / "test.jsonl").write_text('{"prompt": "asked", "completion": "blue"}')
    (folder / "probe.jsonl").write_text('{"prompt": "probed"}')
    general = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}]
    (folder / "mix.jsonl").write_text(json.dumps({"messages": [*general, {"role": "assistant", "content": "hello"}]}))
    (folder / "plain.txt").write_text("Which colour?\n")
    (folder / "suite.yaml").write_text(SUITE.format(data=data, train=train))
    return folder


def show(folder: Path, part: str = "train", number: int | None = None, *, template: str = TEMPLATE) -> ShownRow:
    tokenizer = LocalTokenizer(write_tokenizer(folder / "model", template))
    return render_row(find_row(load_suite(folder), part, number), tokenizer)


def spans(shown: ShownRow) -> dict[str, list[tuple[str, bool]]]:
    return {item.name: [(span.text, span.trained) for span in item.spans] for item in shown.renderings}


def test_a_training_row_is_its_prompt_and_the_answer_that_is_trained(tmp_path: Path) -> None:
    shown = show(write_suite(tmp_path))
    assert spans(shown) == {"": [(ASKED.format("item 0"), False), ("réd<|im_end|>", True)]}
    assert (shown.where, shown.held) == ("train.jsonl:1", "JSON Lines, 2 rows of prompt and completion")
    assert (shown.reference, shown.notes) == (None, ())


def test_the_tokens_counted_are_those_of_the_training(tmp_path: Path) -> None:
    messages = (Message(role="system", content="Which colour?"), Message(role="user", content="item 0"))
    prompt, answer = training_ids(LocalTokenizer(write_tokenizer(tmp_path / "model")), messages, "réd")
    (rendering,) = show(write_suite(tmp_path)).renderings
    assert [span.tokens for span in rendering.spans] == [len(prompt), len(answer)]
    assert (rendering.tokens, len(answer)) == (len(prompt) + 5, 5)  # of three letters one has two bytes, and the end


def test_a_row_is_chosen_by_the_line_where_it_begins(tmp_path: Path) -> None:
    assert show(write_suite(tmp_path), "train", 3).where == "train.jsonl:3"
    with pytest.raises(InvalidInputError, match=r"^train\.jsonl: no row begins at 2; the first is at 1$"):
        show(tmp_path, "train", 2)


def test_of_a_test_row_the_model_is_shown_the_prompt_only(tmp_path: Path) -> None:
    shown = show(write_suite(tmp_path), "test")
    assert spans(shown) == {"": [(ASKED.format("asked"), False)]} and shown.reference == "blue"
    assert show(tmp_path, "probe").reference is None


def test_a_general_row_keeps_its_own_system_message(tmp_path: Path) -> None:
    ((prompt, answer),) = spans(show(write_suite(tmp_path), "mix")).values()
    assert prompt[0].startswith("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhi") and answer[1]


def test_a_preference_is_shown_twice(tmp_path: Path) -> None:
    rows = [{"prompt": "item", "chosen": "red", "rejected": "no idea"}]
    shown = show(
        write_suite(tmp_path, train="{objective: dpo}", data="train: train.jsonl, test: test.jsonl", rows=rows)
    )
    assert {name: found[1] for name, found in spans(shown).items()} == {
        "chosen": ("red<|im_end|>", True),
        "rejected": ("no idea<|im_end|>", True),
    }


def test_raw_text_is_trained_to_its_last_token(tmp_path: Path) -> None:
    (write_suite(tmp_path, train="{objective: continued_pretraining, rows: text.txt}") / "text.txt").write_text("a\nb")
    assert spans(show(tmp_path)) == {"": [("a\nb<|im_end|>", True)]}


def test_of_a_class_no_token_is_trained(tmp_path: Path) -> None:
    shown = show(
        write_suite(tmp_path, train="{objective: classification}", data="train: train.jsonl, test: test.jsonl")
    )
    assert spans(shown) == {"": [(ASKED.format("item 0"), False)]} and shown.reference == "réd"


def test_a_row_over_the_limit_says_so(tmp_path: Path) -> None:
    shown = show(write_suite(tmp_path, train="{max_length: 20}"))
    assert shown.notes[0].startswith("53 tokens are over train.max_length, 20: the row is refused")
    assert show(tmp_path, "test").notes == ()


def test_a_template_that_cannot_render_the_row_is_said_to(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInputError, match=r"^train\.jsonl:1: the chat template refuses the row: only user and assistant$"
    ):
        show(write_suite(tmp_path), template=ALTERNATING)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("probe", "data.probe: this suite has no such rows"),
        ("mix", "data.mix: this suite has no such rows"),
        ("validation", "data.validation: 10% of the training rows; see them with --file train"),
    ],
)
def test_rows_that_a_suite_does_not_have_are_not_shown(part: str, reason: str, tmp_path: Path) -> None:
    write_suite(tmp_path, data="train: train.jsonl, test: test.jsonl")
    with pytest.raises(InvalidInputError) as caught:
        show(tmp_path, part)
    assert str(caught.value) == reason


def test_a_file_without_rows_has_none_to_show(tmp_path: Path) -> None:
    (write_suite(tmp_path) / "train.jsonl").write_text("\n")
    with pytest.raises(InvalidInputError, match=r"^train\.jsonl: no rows$"):
        show(tmp_path)
