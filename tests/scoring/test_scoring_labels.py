"""Label sets: how they are written, their F1 and their equality."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import Score, Unscored
from harness.scoring.labels import label_f1, label_match, label_set

WRITTEN: list[tuple[str, set[str] | None]] = [
    ('["billing", "tech"]', {"billing", "tech"}),
    ('```json\n["billing"]\n```', {"billing"}),
    ('Labels: ["billing"].', {"billing"}),
    ("billing, tech", {"billing", "tech"}),
    (" billing ,, tech,\n", {"billing", "tech"}),
    ("late  delivery", {"late delivery"}),
    ('"billing, tech"', {"billing", "tech"}),
    ("billing, billing", {"billing"}),
    ("Billing", {"Billing"}),
    ("42, null", {"42", "null"}),
    ("[]", set()),
    ("", None),  # no label is written as []
    (" , ", None),
    ('""', None),
    ("[1, 2]", None),
    ('["a", null]', None),
    ('{"labels": ["a"]}', None),
]


@pytest.mark.parametrize(("text", "labels"), WRITTEN)
def test_labels_are_read_when_they_are_written_as(text: str, labels: set[str] | None) -> None:
    assert label_set(text) == labels


SCORED: list[tuple[str, str, float, int]] = [
    ("a, b", '["b", "a"]', 1, 1),
    ("a", "a, b", 2 / 3, 0),
    ("a, b, c", "a, b", 4 / 5, 0),
    ("c", "a, b", 0, 0),
    ("A", "a", 0, 0),
    ("[]", "[]", 1, 1),
    ("[]", "a", 0, 0),
    ("a", "[]", 0, 0),
    ("", "[]", 0, 0),
    ('{"a": 1}', "a", 0, 0),
]


@pytest.mark.parametrize(("text", "target", "f1", "match"), SCORED)
def test_label_scores_follow_the_table_when_answer_and_target_are(
    text: str, target: str, f1: float, match: int
) -> None:
    result = label_f1(text, target)
    assert isinstance(result, Score)
    assert result.value == pytest.approx(f1)
    assert label_match(text, target) == Score(match)


@given(st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef"), min_size=1))
def test_label_f1_is_the_harmonic_mean_of_precision_and_recall_when_sets_differ(
    given_labels: set[str], wanted: set[str]
) -> None:
    hits = sum(label in wanted for label in given_labels)
    precision, recall = hits / max(1, len(given_labels)), hits / len(wanted)
    harmonic = 2 / (1 / precision + 1 / recall) if hits else 0.0
    result = label_f1(json.dumps(sorted(given_labels)), ", ".join(wanted))
    assert isinstance(result, Score)
    assert result.value == pytest.approx(harmonic)


@pytest.mark.parametrize("target", ["", '{"a": 1}', "[1]"])
def test_labels_are_unscored_when_the_target_is_no_list(target: str) -> None:
    assert isinstance(label_f1("a", target), Unscored)
    assert isinstance(label_match("a", target), Unscored)
