from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from record_factory import complete, make_record

from harness.report.charts import small_bar
from harness.report.diagrams import (
    BOX_WIDTH,
    DOTS_ROW,
    DOTS_WIDTH,
    SHARES_WIDTH,
    history_line,
    judged_shares,
    length_box,
    reliability_diagram,
    subject_dots,
)
from harness.report.page import IntervalBar
from harness.report.page_sections import (
    CalibrationRow,
    CalibrationView,
    HistoryPoint,
    HistoryView,
    JudgedRow,
    LengthRow,
)
from harness.report.view import build_page

BAR = IntervalBar(
    low=0.2,
    high=0.6,
    value=0.4,
    axis_low=0.0,
    axis_high=1.0,
    limit=None,
    limit_text="",
    passes_above=True,
    description="Measured 40 %.",
)
LENGTHS = LengthRow(
    system="candidate",
    is_candidate=True,
    n="9",
    texts=("0", "25", "50", "75", "100"),
    quartiles=(0.0, 25.0, 50.0, 75.0, 100.0),
    axis_high=200.0,
    description="Half of the answers have 25 to 75 characters.",
)
JUDGED = JudgedRow(
    judge="tone",
    baseline="bare",
    preferred="5",
    tied="2",
    against="2",
    missing="1",
    agreement="8 of 8 pairs",
    shares=(0.5, 0.2, 0.2, 0.1),
    description="Candidate preferred 5.",
)
CALIBRATION = CalibrationView(
    system="candidate",
    scorer="brier",
    ece="0.1",
    n="50",
    missing="",
    rows=(
        CalibrationRow(
            bin="0.5", n="1", confidence_text="", accuracy_text="", confidence=0.5, accuracy=0.0, weight=0.01
        ),
        CalibrationRow(bin="1", n="49", confidence_text="", accuracy_text="", confidence=1.0, accuracy=1.0, weight=1.0),
    ),
    description="Accuracy by stated confidence.",
)


def run(value: float | None, **changes: Any) -> HistoryPoint:
    point = HistoryPoint(run_id="r", symbol="✓", word="Ship", score="", value=value, decision="ship", is_this=False)
    return dataclasses.replace(point, **changes)


HISTORY = HistoryView(
    scorer="exact_match", points=(run(0.2), run(None), run(0.8, is_this=True)), description="Two scores of three runs."
)


def elements(svg: str, tag: str, kind: str = "") -> list[ElementTree.Element]:
    return [one for one in ElementTree.fromstring(svg).iter(tag) if kind in (one.get("class") or "")]


def number(element: ElementTree.Element, name: str) -> float:
    return float(element.get(name) or "nan")


def test_subjects_share_one_axis_and_each_system_has_a_row_of_its_own() -> None:
    svg = subject_dots((BAR, dataclasses.replace(BAR, value=1.0, high=1.0)), ("candidate", "base model"))
    first, second = elements(svg, "circle")
    assert number(first, "cx") == pytest.approx(5 + 0.4 * (DOTS_WIDTH - 10), abs=0.1)
    assert number(second, "cx") == DOTS_WIDTH - 5
    assert number(second, "cy") - number(first, "cy") == DOTS_ROW
    assert [ends.get("x1") for ends in elements(svg, "line", "dots-range")] == ["47", "47"]


def test_a_subject_that_a_system_was_not_asked_has_no_dot() -> None:
    svg = subject_dots((BAR, None), ("candidate", "base model"))
    assert len(elements(svg, "circle")) == 1 and len(elements(svg, "line", "bar-track-line")) == 2
    assert elements(svg, "title")[0].text == "candidate: Measured 40 %."


def test_a_box_reaches_from_quartile_to_quartile_with_the_median_between() -> None:
    svg = length_box(LENGTHS)
    width = BOX_WIDTH - 6
    (box,) = elements(svg, "rect", "bar-range")
    (median,) = elements(svg, "rect", "bar-tick")
    (whole,) = elements(svg, "line")
    assert (number(box, "x"), number(box, "width")) == pytest.approx((3 + width / 8, width / 4), abs=0.1)
    assert number(median, "x") + 1 == pytest.approx(3 + width / 4, abs=0.1)
    assert (number(whole, "x1"), number(whole, "x2")) == pytest.approx((3, 3 + width / 2), abs=0.1)


def test_a_box_is_seen_when_all_answers_are_equally_long() -> None:
    svg = length_box(dataclasses.replace(LENGTHS, quartiles=(7.0,) * 5, axis_high=7.0))
    assert number(elements(svg, "rect", "bar-range")[0], "width") >= 2


def test_shares_of_judged_pairs_fill_the_bar_one_after_the_other() -> None:
    parts = elements(judged_shares(JUDGED), "rect")
    assert [part.get("class") for part in parts] == ["share-ours", "share-tied", "share-theirs", "share-lost"]
    assert [number(part, "x") for part in parts] == pytest.approx([0, 110, 154, 198])
    assert sum(number(part, "width") for part in parts) == pytest.approx(SHARES_WIDTH)


def test_reliability_dots_lie_by_confidence_and_accuracy_with_a_gap_to_the_diagonal() -> None:
    svg = reliability_diagram(CALIBRATION)
    low, high = elements(svg, "circle")
    gap, none = elements(svg, "line", "reliability-gap")
    (ideal,) = elements(svg, "line", "reliability-ideal")
    assert (number(high, "cx"), number(high, "cy")) == (number(ideal, "x2"), number(ideal, "y2"))
    assert number(low, "cy") == number(ideal, "y1") and number(low, "cx") == number(gap, "x1")
    assert number(gap, "y1") == pytest.approx((number(ideal, "y1") + number(ideal, "y2")) / 2)
    assert number(none, "y1") == number(none, "y2")
    assert number(high, "r") > number(low, "r") >= 3


def test_history_draws_scores_in_order_and_marks_every_verdict() -> None:
    svg = history_line(HISTORY)
    (line,) = elements(svg, "polyline")
    first, last = [tuple(map(float, pair.split(","))) for pair in (line.get("points") or "").split()]
    assert first[0] < last[0] and first[1] > last[1]
    assert len(elements(svg, "circle")) == 2 and len(elements(svg, "circle", "history-this")) == 1
    assert [mark.text for mark in elements(svg, "text", "history-mark")] == ["✓", "✓", "✓"]


@pytest.mark.parametrize("points", [(run(None),), (run(0.5), run(0.5)), (run(0.0), run(1.0)), (run(0.5),)])
def test_history_stays_inside_its_frame_whatever_the_scores_are(points: tuple[HistoryPoint, ...]) -> None:
    root = ElementTree.fromstring(history_line(dataclasses.replace(HISTORY, points=points)))
    for dot in root.iter("circle"):
        assert 0 <= number(dot, "cx") <= 760 and 0 <= number(dot, "cy") <= 150


def test_a_small_bar_shows_the_line_it_is_held_against_when_there_is_one() -> None:
    assert elements(small_bar(BAR), "rect", "bar-limit-small") == []
    (limit,) = elements(small_bar(dataclasses.replace(BAR, limit=0.5)), "rect", "bar-limit-small")
    assert number(limit, "x") + 0.75 == pytest.approx(56, abs=0.1)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: subject_dots((dataclasses.replace(BAR, high=math.nan),), ("candidate",)),
        lambda: length_box(dataclasses.replace(LENGTHS, axis_high=math.inf)),
        lambda: judged_shares(dataclasses.replace(JUDGED, shares=(math.nan, 0.0, 0.0, 0.0))),
        lambda: reliability_diagram(
            dataclasses.replace(CALIBRATION, rows=(dataclasses.replace(CALIBRATION.rows[0], accuracy=math.nan),))
        ),
        lambda: history_line(dataclasses.replace(HISTORY, points=(run(math.inf),))),
    ],
)
def test_a_drawing_is_refused_when_a_number_is_not_finite(draw: Callable[[], str]) -> None:
    with pytest.raises(ValueError, match="finite"):
        draw()


def test_every_drawing_of_a_record_says_its_content_in_words_and_escapes_it() -> None:
    page = build_page(complete(make_record("hold", rows=8, probes=2)))
    assert page.history is not None
    hostile = '</title><script> & "'
    drawings = [
        history_line(dataclasses.replace(page.history, description=hostile)),
        length_box(dataclasses.replace(page.lengths[0], description=hostile)),
        judged_shares(dataclasses.replace(page.judged_pairs[0], description=hostile)),
        reliability_diagram(dataclasses.replace(page.calibrations[0], description=hostile)),
        subject_dots((dataclasses.replace(BAR, description=hostile),), ("x",)).replace("x: ", ""),
    ]
    assert [elements(svg, "title")[0].text for svg in drawings] == [hostile] * 5
