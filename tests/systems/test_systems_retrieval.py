"""The nearest passages stand before the question, and what is written in them does nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.records import Example, Message, Passage
from harness.systems.retrieval import DEFAULT_TEMPLATE, retrieval_builder, training_passages

TEMPLATE = "<{passages}> {question}"


def example(*turns: tuple[str, str], target: str | None = None) -> Example:
    messages = tuple(Message(role=role, content=content) for role, content in turns)  # type: ignore[arg-type]
    return Example(id="an id", messages=messages, target=target)


def asked(text: str) -> Example:
    return example(("user", text))


def passages(*texts: str) -> tuple[Passage, ...]:
    return tuple(Passage(text=text, source=f"a.md#{n}") for n, text in enumerate(texts, start=1))


FAQ = passages("refunds take five days", "parcels leave on Monday", "refunds for parcels go to your card")


def filled(question: str, found: tuple[Passage, ...] = FAQ, template: str | None = TEMPLATE, count: int = 2) -> str:
    build, _ = retrieval_builder(None, found, count=count, template=template)
    (message,) = build(asked(question))
    assert message.role == "user"
    return message.content


def test_the_best_passages_come_first_when_several_match() -> None:
    assert filled("when do parcels leave?") == (
        "<[1] parcels leave on Monday\n\n[2] refunds for parcels go to your card> when do parcels leave?"
    )


def test_the_default_template_is_used_when_none_is_given() -> None:
    assert filled("refunds?", template=None, count=1) == (
        "Passages that may help:\n\n[1] refunds take five days\n\nQuestion: refunds?"
    )


def test_all_passages_are_shown_when_there_are_fewer_than_asked_for() -> None:
    assert filled("zzz", FAQ[:2], count=9) == "<[1] refunds take five days\n\n[2] parcels leave on Monday> zzz"


def test_braces_do_nothing_when_they_stand_in_passages_or_questions() -> None:
    found = passages("{question} {passages} {0} {} {{x}} \\1 \\g<0> refund")
    question = "{passages} {question} refund {n!r} %s \\2"
    assert filled(question, found) == f"<[1] {found[0].text}> {question}"


def test_other_braces_stay_when_they_stand_in_the_template() -> None:
    template = '{"a": {}, "q": "{question}"} {passages}{ question }{{question}}'
    assert filled("Q", passages("P"), template) == '{"a": {}, "q": "Q"} [1] P{ question }{Q}'


def test_only_the_last_user_message_is_searched_for_and_replaced_when_there_are_several_turns() -> None:
    build, _ = retrieval_builder("New.", FAQ, count=1, template=TEMPLATE)
    turns = [("system", "Old."), ("user", "refunds refunds"), ("assistant", "refunds"), ("user", "Monday?")]
    assert build(example(*turns)) == (
        Message(role="system", content="New."),
        Message(role="user", content="refunds refunds"),
        Message(role="assistant", content="refunds"),
        Message(role="user", content="<[1] parcels leave on Monday> Monday?"),
    )


def test_what_follows_stays_when_the_last_user_message_is_not_the_last() -> None:
    build, _ = retrieval_builder(None, FAQ, count=1, template=TEMPLATE)
    first, last = build(example(("user", "Monday?"), ("system", "Answer in French.")))
    assert (first.content, last.content) == ("<[1] parcels leave on Monday> Monday?", "Answer in French.")


@pytest.mark.parametrize(
    ("template", "missing"),
    [
        ("{question}", "{passages}"),
        ("{passages}", "{question}"),
        ("{ question } {Passages}", "{passages} and {question}"),
        ("", "{passages} and {question}"),
    ],
)
def test_a_template_is_refused_when_a_place_is_missing(template: str, missing: str) -> None:
    with pytest.raises(ValueError) as caught:
        retrieval_builder(None, FAQ, count=1, template=template)
    assert str(caught.value) == f"the template must contain {missing}"


def test_it_is_refused_when_there_are_no_passages() -> None:
    with pytest.raises(ValueError, match="there are no passages to search"):
        retrieval_builder(None, (), count=1, template=None)


def test_the_digest_changes_when_anything_that_may_be_added_does() -> None:
    variants: list[tuple[str | None, tuple[Passage, ...], int, str | None]] = [
        (None, FAQ, 1, None),
        ("Be brief.", FAQ, 1, None),
        (None, FAQ, 2, None),
        (None, FAQ, 1, TEMPLATE),
        (None, FAQ[::-1], 1, None),
        (None, FAQ[:2], 1, None),
        (None, (*FAQ[:2], replace(FAQ[2], text="refunds")), 1, None),
        (None, passages(FAQ[0].text + FAQ[1].text, FAQ[2].text), 1, None),
    ]
    digests = {
        retrieval_builder(system, found, count=count, template=template)[1]
        for system, found, count, template in variants
    }
    assert len(digests) == len(variants)


def test_the_digest_stays_when_the_model_is_shown_the_same() -> None:
    moved = tuple(replace(passage, source="other.md#9") for passage in FAQ)
    _, digest = retrieval_builder(None, FAQ, count=1, template=None)
    assert retrieval_builder(None, moved, count=1, template=DEFAULT_TEMPLATE)[1] == digest


def test_a_training_row_becomes_its_question_and_answer() -> None:
    row = replace(example(("system", "Sort it."), ("user", "where is it?"), target="delivery"), source="train.jsonl:7")
    assert training_passages([row]) == (
        Passage(text="Question: where is it?\nAnswer: delivery", source="train.jsonl:7"),
    )


def test_a_training_row_keeps_its_earlier_turns_when_it_has_some() -> None:
    row = example(("user", "hi"), ("assistant", "hello"), ("user", "where is it?"), target="on its way")
    assert training_passages([row]) == (
        Passage(text="Question: hi\nAnswer: hello\nQuestion: where is it?\nAnswer: on its way", source="an id"),
    )


def test_the_nearest_training_rows_are_shown_when_they_are_the_passages() -> None:
    train = [example(("user", text), target=target) for text, target in [("late parcel", "A"), ("app crash", "B")]]
    assert filled("the app!", training_passages(train), count=1) == "<[1] Question: app crash\nAnswer: B> the app!"
