"""Solved examples come from the training rows: drawn once by the seed, or the nearest to each example."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.records import Example, Message
from harness.systems.few_shot import few_shot_builder, nearest_shots_builder


def example(name: str, *turns: tuple[str, str], target: str | None = None) -> Example:
    return Example(
        id=name,
        messages=tuple(Message(role=role, content=content) for role, content in turns),  # type: ignore[arg-type]
        target=target,
    )


def asked(text: str) -> Example:
    return example(text, ("user", text))


def row(text: str, target: str) -> Example:
    return example(text, ("user", text), target=target)


TRAIN = (
    row("the parcel is late", "delivery"),
    row("my card was charged twice", "billing"),
    row("the parcel came broken and late", "returns"),
    row("the app crashes", "website"),
)


def texts(messages: object) -> list[str]:
    return [message.content for message in messages]  # type: ignore[attr-defined]


def test_the_draw_and_its_digest_are_the_known_ones_when_selection_is_random() -> None:
    train = [row(f"question {n}", f"answer {n}") for n in range(10)]
    build, digest = few_shot_builder("Be brief.", train, shots=2, seed=3)
    assert texts(build(train[0])) == [
        *("Be brief.", "question 5", "answer 5", "question 8", "answer 8", "question 0"),
    ]
    # What baselines promoted earlier were judged with.
    assert digest == "04005a5f546c786c67db45826067e209f2aa88ac32257954abbe4cfdc8be97f2"


def test_the_nearest_rows_come_last_when_selection_is_nearest() -> None:
    build, _ = nearest_shots_builder("Sort it.", TRAIN, shots=2)
    messages = build(asked("a parcel came late and broken"))
    assert texts(messages) == [
        "Sort it.",
        *("the parcel is late", "delivery"),
        *("the parcel came broken and late", "returns"),
        "a parcel came late and broken",
    ]
    assert [message.role for message in messages] == ["system", *("user", "assistant") * 2, "user"]


def test_each_example_gets_its_own_shots_when_selection_is_nearest() -> None:
    build, _ = nearest_shots_builder(None, TRAIN, shots=1)
    assert texts(build(asked("charged again!")))[:2] == ["my card was charged twice", "billing"]
    assert texts(build(asked("App crashes...")))[:2] == ["the app crashes", "website"]


def test_an_equal_row_is_not_left_out_when_selection_is_nearest() -> None:
    build, _ = nearest_shots_builder(None, TRAIN, shots=1)
    assert texts(build(TRAIN[3])) == ["the app crashes", "website", "the app crashes"]


def test_earlier_rows_count_as_nearer_when_nothing_matches() -> None:
    build, _ = nearest_shots_builder(None, TRAIN, shots=2)
    assert texts(build(asked("zzz")))[:4] == ["my card was charged twice", "billing", "the parcel is late", "delivery"]


def test_only_user_text_decides_when_rows_have_other_turns() -> None:
    train = (
        example("decoy", ("system", "parcel"), ("user", "hello"), ("assistant", "parcel"), ("user", "bye"), target="x"),
        example("long", ("user", "the parcel"), ("assistant", "what about it?"), ("user", "it is late"), target="y"),
    )
    build, _ = nearest_shots_builder(None, train, shots=1)
    question = example("q", ("system", "hello bye"), ("user", "my parcel"), ("assistant", "hello"), ("user", "is late"))
    assert texts(build(question)) == [
        "hello bye",
        *("the parcel", "what about it?", "it is late", "y"),
        *("my parcel", "hello", "is late"),
    ]


def test_it_is_refused_when_there_are_fewer_rows_than_shots() -> None:
    with pytest.raises(ValueError, match="5 shots need as many training rows; there are 4"):
        nearest_shots_builder(None, TRAIN, shots=5)
    with pytest.raises(ValueError, match="5 shots need as many training rows; there are 4"):
        few_shot_builder(None, TRAIN, shots=5, seed=0)


def test_the_digest_changes_when_anything_that_may_be_added_does() -> None:
    variants = [
        (None, TRAIN, 1),
        ("Sort it.", TRAIN, 1),
        (None, TRAIN, 2),
        (None, TRAIN[::-1], 1),
        (None, TRAIN[:3], 1),
        (None, (replace(TRAIN[0], target="other"), *TRAIN[1:]), 1),
        (None, (asked("the parcel was late"), *TRAIN[1:]), 1),
    ]
    digests = {nearest_shots_builder(system, train, shots=shots)[1] for system, train, shots in variants}
    digests.add(few_shot_builder(None, TRAIN, shots=1, seed=0)[1])
    assert len(digests) == len(variants) + 1


def test_the_digest_stays_when_only_the_names_of_the_rows_change() -> None:
    renamed = tuple(replace(one, id=f"other {one.id}", source="other.jsonl:1", tags=("new",)) for one in TRAIN)
    assert nearest_shots_builder(None, renamed, shots=2)[1] == nearest_shots_builder(None, TRAIN, shots=2)[1]
