from __future__ import annotations

import dataclasses
import math
from xml.etree import ElementTree

import pytest
from record_factory import diverged, make_record

from harness.report.charts import BAR_WIDTH, interval_bar, loss_curve, nice_ticks, small_bar
from harness.report.page import IntervalBar
from harness.report.page_sections import LossCurve
from harness.report.view import build_page

BAR = IntervalBar(
    low=0.2,
    high=0.6,
    value=0.4,
    axis_low=0.0,
    axis_high=1.0,
    limit=0.5,
    limit_text="50.0 %",
    passes_above=True,
    description="Measured 40 %.",
)


def parts(svg: str) -> dict[str, ElementTree.Element]:
    return {element.get("class", element.tag): element for element in ElementTree.fromstring(svg).iter()}


def curve_of(**changes: object) -> LossCurve:
    training = build_page(make_record(rows=2, probes=1)).training
    assert training is not None and training.curve is not None
    return dataclasses.replace(training.curve, **changes)  # type: ignore[arg-type]


def test_interval_bar_puts_everything_on_one_scale() -> None:
    found = parts(interval_bar(BAR))
    assert float(found["bar-limit"].get("x1", "")) == BAR_WIDTH / 2
    assert float(found["bar-range"].get("x", "")) == pytest.approx(6 + 0.2 * (BAR_WIDTH - 12), abs=0.1)
    assert float(found["bar-range"].get("width", "")) == pytest.approx(0.4 * (BAR_WIDTH - 12), abs=0.1)
    assert float(found["bar-point"].get("cx", "")) == pytest.approx(6 + 0.4 * (BAR_WIDTH - 12), abs=0.1)


def test_interval_bar_tells_its_content_in_words() -> None:
    root = ElementTree.fromstring(interval_bar(BAR))
    assert root.get("role") == "img"
    assert root.findtext("title") == "Measured 40 %."
    assert parts(interval_bar(BAR))["bar-label"].text == "50.0 %"


@pytest.mark.parametrize(("above", "start", "width"), [(True, 74, 68), (False, 6, 68)])
def test_pass_zone_lies_on_the_side_that_passes(above: bool, start: float, width: float) -> None:
    zone = parts(interval_bar(dataclasses.replace(BAR, passes_above=above)))["bar-zone"]
    assert (float(zone.get("x", "")), float(zone.get("width", ""))) == (start, width)


def test_interval_bar_has_no_line_when_there_is_no_limit() -> None:
    found = parts(interval_bar(dataclasses.replace(BAR, limit=None)))
    assert "bar-limit" not in found and "bar-zone" not in found


def test_interval_bar_stays_visible_when_the_interval_is_a_point() -> None:
    found = parts(interval_bar(dataclasses.replace(BAR, low=0.4, high=0.4)))
    assert float(found["bar-range"].get("width", "")) > 1


def test_what_lies_outside_the_axis_is_drawn_at_its_end() -> None:
    found = parts(small_bar(dataclasses.replace(BAR, low=-1.0, high=2.0, value=2.0)))
    assert float(found["bar-range"].get("x", "")) == 0
    assert float(found["bar-tick"].get("x", "")) == 110


@pytest.mark.parametrize("field", ["low", "high", "value"])
def test_a_bar_is_refused_when_a_number_is_not_finite(field: str) -> None:
    broken = dataclasses.replace(BAR, **{field: math.nan})
    with pytest.raises(ValueError, match="finite"):
        interval_bar(broken)
    with pytest.raises(ValueError, match="finite"):
        small_bar(broken)


def test_loss_curve_draws_both_losses_and_marks_best_and_stop() -> None:
    svg = loss_curve(curve_of())
    root = ElementTree.fromstring(svg)
    lines = [line for line in root.iter("polyline")]
    assert [len((line.get("points") or "").split()) for line in lines] == [18, 19]
    notes = [text.text for text in root.iter("text") if text.get("class") == "curve-note"]
    assert notes == ["best: step 75 (0.1384)", "stopped: step 90"]
    assert [text.text for text in root.iter("text") if "curve-name " in text.get("class", "")] == [
        "validation",
        "training",
    ]


def test_loss_curve_stays_inside_its_frame_when_training_diverged() -> None:
    training = build_page(diverged(make_record(rows=2, probes=1))).training
    assert training is not None and training.curve is not None
    root = ElementTree.fromstring(loss_curve(training.curve))
    for line in root.iter("polyline"):
        for pair in (line.get("points") or "").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= 790 and 0 <= y <= 316


def test_loss_curve_is_refused_when_a_loss_is_not_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        loss_curve(curve_of(validation=((0, 1.0), (1, math.inf))))


@pytest.mark.parametrize("text", ["</title><script>", "a & b", '"quoted"'])
def test_text_in_a_drawing_is_escaped(text: str) -> None:
    assert ElementTree.fromstring(interval_bar(dataclasses.replace(BAR, description=text))).findtext("title") == text
    assert ElementTree.fromstring(loss_curve(curve_of(description=text))).findtext("title") == text


@pytest.mark.parametrize(
    ("high", "ticks"),
    [
        (2.71, (0, 1, 2, 3)),
        (0.11, (0, 0.05, 0.1, 0.15)),
        (90, (0, 20, 40, 60, 80, 100)),
        (1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
    ],
)
def test_ticks_are_round_and_reach_the_highest_value(high: float, ticks: tuple[float, ...]) -> None:
    assert nice_ticks(0, high) == pytest.approx(ticks)
