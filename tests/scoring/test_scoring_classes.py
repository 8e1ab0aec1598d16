"""Macro-averaged F1 against its definition counted one by one, and its statistics when answers are drawn anew."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import Score, Unscored
from harness.scoring.classes import macro_f1, macro_f1_statistics
from harness.scoring.text import exact_match

TARGETS = ["a", "b", " c\n d", '{"x": 1, "y": [2]}', '{"x": 2}']
ANSWERS = [*TARGETS, "a ", "c d", "A", "no class", "", '{"y": [2.0], "x": 1}', 'Sure:\n```json\n{"x": 2}\n```', '{"x"']
_rows = st.lists(st.tuples(st.sampled_from(ANSWERS), st.sampled_from(TARGETS)), min_size=1, max_size=25)


def score(texts: list[str], targets: list[str]) -> float:
    statistics, compute = macro_f1_statistics(texts, targets)
    return float(compute(statistics.sum(axis=0)))


def _by_definition(texts: list[str], targets: list[str]) -> float:
    """The mean over the targets' classes of the harmonic mean of precision and recall, 0 where there is no hit."""

    def same(text: str, target: str) -> bool:
        return exact_match(text, target).value == 1

    classes = [name for n, name in enumerate(targets) if not any(same(name, other) for other in targets[:n])]
    found = []
    for name in classes:
        answered = [same(text, name) for text in texts]
        wanted = [same(target, name) for target in targets]
        hits = sum(said and right for said, right in zip(answered, wanted, strict=True))
        if hits == 0:
            found.append(Fraction(0))
        else:
            precision, recall = Fraction(hits, sum(answered)), Fraction(hits, sum(wanted))
            found.append(2 * precision * recall / (precision + recall))
    return float(sum(found, Fraction(0)) / len(classes))


@given(_rows)
def test_macro_f1_is_that_of_the_definition_when_answers_and_targets_are_any(rows: list[tuple[str, str]]) -> None:
    texts, targets = [text for text, _ in rows], [target for _, target in rows]
    assert score(texts, targets) == pytest.approx(_by_definition(texts, targets), abs=1e-12)


@given(_rows, st.randoms(use_true_random=False))
def test_macro_f1_is_that_of_the_resample_when_statistics_are_resampled(
    rows: list[tuple[str, str]], draw: Random
) -> None:
    texts, targets = [text for text, _ in rows], [target for _, target in rows]
    statistics, compute = macro_f1_statistics(texts, targets)
    drawn = [[draw.choice(range(len(rows))) for _ in rows] for _ in range(3)]
    expected = [_by_definition([texts[i] for i in picks], [targets[i] for i in picks]) for picks in drawn]
    totals = np.array([statistics[picks].sum(axis=0) for picks in drawn])
    assert compute(totals) == pytest.approx(expected, abs=1e-12)


WORKED: list[tuple[list[str], list[str], float]] = [
    (["a", "b"], ["a", "b"], 1),
    (["b", "a"], ["a", "b"], 0),
    (list("021001"), list("012012"), 4 / 15),  # the example of scikit-learn's f1_score
    (["a", "a", "a", "a"], ["a", "a", "a", "b"], (6 / 7 + 0) / 2),  # the majority class for all
    (["a", "?", "b"], ["a", "a", "b"], (2 / 3 + 1) / 2),  # no class: a miss of `a`, a false alarm of none
    (["a", "b", "b"], ["a", "a", "b"], (2 / 3 + 2 / 3) / 2),  # a wrong class: a false alarm too
    (["a"] * 9 + ["a"], ["a"] * 9 + ["b"], 9 / 19),  # accuracy would be 0.9
    (["", ""], ["a", ""], 0),  # an empty target is no class, so nothing is right by being empty
    ([""], [""], 0),
]


@pytest.mark.parametrize(("texts", "targets", "value"), WORKED)
def test_macro_f1_follows_the_table_when_answers_and_targets_are(
    texts: list[str], targets: list[str], value: float
) -> None:
    assert score(texts, targets) == pytest.approx(value, abs=1e-12)


def test_the_class_that_is_wanted_counts_when_an_answer_is_one_as_text_and_another_as_json() -> None:
    both = 'see {"x": 1}'
    assert score([both, both], [both, '{"x": 1}']) == 1
    assert score([both, both, "a"], [both, '{"x": 1}', "a"]) == 1
    assert score([both, "a"], ["a", '{"x": 1}']) == 0


@pytest.mark.parametrize(
    ("text", "target", "result"),
    [
        ("a ", "a", Score(1.0)),
        ("b", "a", Score(0.0)),
        ("", "a", Score(0.0)),
        ('{"x": 1.0}', '{"x": 1}', Score(1.0)),
        ("", " \n", Unscored("the target is empty, so it names no class")),
    ],
)
def test_one_answer_is_right_or_wrong_when_it_is_scored_alone(text: str, target: str, result: object) -> None:
    assert macro_f1(text, target) == result


def test_statistics_are_refused_when_texts_and_targets_do_not_pair() -> None:
    with pytest.raises(ValueError, match="zip"):
        macro_f1_statistics(["a", "b"], ["a"])
