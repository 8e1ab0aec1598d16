"""Abstention: which texts abstain, and that it is scored both ways."""

from __future__ import annotations

import pytest

from harness.records import Score
from harness.scoring.abstention import abstains, abstention

UNSURE = ("I don't know", "N/A")

ABSTAINS: list[tuple[str, tuple[str, ...], bool]] = [
    ("null", ("null",), True),
    (" NULL\n", ("null",), True),
    ('"null"', ("null",), True),
    ("nullable", ("null",), False),
    ('{"queue": null}', ("null",), False),
    ("I don't know", UNSURE, True),
    ("I don\u2019t  know.", UNSURE, True),
    ("I don't know: the manual is silent.", UNSURE, True),
    ("I don't know - sorry", UNSURE, True),
    ("I don't know the answer, but 4.", UNSURE, False),
    ("Well, I don't know", UNSURE, False),
    ("n/a", UNSURE, True),
    ("unknown sender", ("unknown",), False),
    ("other-queue", ("other",), False),
    ("other_queue", ("other",), False),
    ("", ("null",), False),
]


@pytest.mark.parametrize(("text", "labels", "expected"), ABSTAINS)
def test_a_text_abstains_by_its_label_when_it_is(text: str, labels: tuple[str, ...], expected: bool) -> None:
    assert abstains(text, labels) is expected


@pytest.mark.parametrize(
    ("text", "target", "value"),
    [
        ("null", "null", 1),
        ("billing", "null", 0),  # it made something up
        ("null", "billing", 0),  # it gave up
        ("tech", "billing", 1),  # it answered; whether rightly is for another scorer
        ("", "null", 0),
        (" ", "billing", 0),
    ],
)
def test_abstention_counts_both_ways_when_answer_and_target_are(text: str, target: str, value: int) -> None:
    assert abstention(text, target) == Score(value)
