"""Test rows are drawn so that training rows tell nothing about them."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from planted_suite import LABELS, prompts

from harness.data.holdout import hold_out
from harness.data.leakage import find_leaks
from harness.records import Example, Message


def row(prompt: str, target: str = "a", *, cluster: str | None = None) -> Example:
    message = Message(role="user", content=prompt)
    return Example(id=f"{prompt}|{target}", messages=(message,), target=target, cluster=cluster)


def rows(count: int, *, seed: int = 1) -> list[Example]:
    return [row(text, LABELS[place % len(LABELS)]) for place, text in enumerate(prompts(count, seed))]


DISGUISES = {
    "the same": lambda text: text,
    "in capitals": str.upper,
    "with other spaces": lambda text: text.replace(" ", "  "),
    "with a zero-width letter": lambda text: text[:4] + "\u200b" + text[4:],
    "full-width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "a" <= c <= "z" else c for c in text),
    "within a longer row": lambda text: f"Please be so kind as to answer me this today: {text} Thank you very much.",
    "with a word changed": lambda text: " ".join([*text.split()[:-1], "indeed?"]),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_row_and_what_gives_it_away_are_on_one_side(disguise: str) -> None:
    data = rows(60)
    data += [row(DISGUISES[disguise](one.messages[0].content), str(one.target)) for one in data[:30]]
    held = hold_out(data, wanted=40, seed=3)
    assert sorted((*held.train, *held.test, *held.repeated)) == list(range(90))
    assert find_leaks([data[i] for i in held.test], [data[i] for i in held.train]) == ()
    test = {*held.test, *held.repeated}
    assert {place in test for place in range(30)} == {True, False}  # both sides have such rows
    divided = [place for place in range(30) if (place in test) != (60 + place in test)]
    # A longer row may be tested on where the shorter was trained on: it asks more.
    assert [place for place in divided if place in test or disguise != "within a longer row"] == []


def test_copies_of_copies_stay_together_too() -> None:
    data = rows(40)
    for place in range(8):
        words = data[place].messages[0].content.split()
        for changed in (1, 2, 3):
            words = [*words[:changed], f"word{place}{changed}", *words[changed + 1 :]]
            data.append(row(" ".join(words), str(data[place].target)))
    held = hold_out(data, wanted=25, seed=3)
    test = {*held.test, *held.repeated}
    families = [[place, *range(40 + 3 * place, 43 + 3 * place)] for place in range(8)]
    assert held.near > 0
    assert find_leaks([data[i] for i in held.test], [data[i] for i in held.train]) == ()
    assert sum(len({place in test for place in family}) == 1 for family in families) >= 7  # by chance: 1 of 8


def test_a_cluster_is_never_divided() -> None:
    texts = prompts(90, 1)
    data = [row(text, LABELS[place % 3], cluster=f"user {place % 30}") for place, text in enumerate(texts)]
    held = hold_out(data, wanted=27, seed=5)
    clusters = [{data[place].cluster for place in side} for side in (held.train, held.test)]
    assert (len(held.test), len(clusters[1]), clusters[0] & clusters[1]) == (27, 9, set())


def test_a_row_that_is_given_twice_is_tested_once() -> None:
    data = rows(40)
    data += data[:20]
    held = hold_out([row(one.messages[0].content, str(one.target)) for one in data], wanted=20, seed=1)
    ids = [data[place].id for place in held.test]
    assert len(ids) == len(set(ids)) == 20
    assert {data[place].id for place in held.repeated} < set(ids)
    assert sorted((*held.train, *held.test, *held.repeated)) == list(range(60))


def test_each_answer_has_the_same_share_on_both_sides() -> None:
    labels = ["often"] * 150 + ["seldom"] * 40 + ["rare"] * 10
    random.Random(0).shuffle(labels)
    data = [row(text, label) for text, label in zip(prompts(200, 1), labels, strict=True)]
    held = hold_out(data, wanted=60, seed=9)
    assert Counter(data[place].target for place in held.test) == {"often": 45, "seldom": 12, "rare": 3}


def test_the_seed_decides_what_is_drawn() -> None:
    data = rows(60)
    assert hold_out(data, wanted=20, seed=1) == hold_out(data, wanted=20, seed=1)
    assert hold_out(data, wanted=20, seed=1).test != hold_out(data, wanted=20, seed=2).test


def test_a_group_that_is_too_large_to_test_on_is_trained_on() -> None:
    data = [row(text, cluster="all" if place < 50 else None) for place, text in enumerate(prompts(80, 1))]
    held = hold_out(data, wanted=24, seed=1)
    assert len(held.test) == 24
    assert min(held.test) >= 50
