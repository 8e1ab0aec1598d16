"""Small SVG drawings of the page model: interval bars and loss curves, coloured by the page's CSS variables.

Every drawing is an image to assistive technology (`role="img"`) whose `<title>` says in words what is drawn.
All text passes through `Markup.format`, which escapes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.report.formatting import number
from harness.report.page import IntervalBar
from harness.report.page_sections import LossCurve

BAR_WIDTH, BAR_HEIGHT = 148, 34
_BAR_INSET = 6  # so that a dot at the end of the axis is whole
_BAR_MIDDLE = 23

SMALL_WIDTH, SMALL_HEIGHT = 112, 12

CURVE_WIDTH, CURVE_HEIGHT = 790, 316
_PLOT_LEFT, _PLOT_RIGHT, _PLOT_TOP, _PLOT_BOTTOM = 56, 640, 62, 272

_BAR = Markup(
    '<svg class="bar" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">'
    "<title>{title}</title>{zone}"
    '<line class="bar-axis" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>{limit}'
    '<rect class="bar-range" x="{low}" y="{range_y}" width="{span}" height="8" rx="2"/>'
    '<circle class="bar-point" cx="{value}" cy="{y}" r="5"/></svg>'
)
_SMALL = Markup(
    '<svg class="bar bar-small" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">'
    '<title>{title}</title><rect class="bar-track" x="0" y="4" width="{width}" height="4" rx="2"/>'
    '<rect class="bar-range" x="{low}" y="3" width="{span}" height="6" rx="1"/>{limit}'
    '<rect class="bar-tick" x="{value}" y="0" width="2" height="{height}" rx="1"/></svg>'
)
_SMALL_LIMIT = Markup('<rect class="bar-limit-small" x="{x}" y="0" width="1.5" height="{height}"/>')
_ZONE = Markup('<rect class="bar-zone" x="{x}" y="14" width="{width}" height="18" rx="3"/>')
_LIMIT = Markup(
    '<line class="bar-limit" x1="{x}" x2="{x}" y1="12" y2="33"/>'
    '<text class="bar-label" x="{text_x}" y="9" text-anchor="{anchor}">{text}</text>'
)
_CURVE = Markup(
    '<svg class="curve" viewBox="0 0 {width} {height}" role="img"><title>{title}</title>'
    "{grid}{marks}{train}{validation}{labels}"
    '<text class="curve-axis-name" x="{middle}" y="310" text-anchor="middle">optimizer step</text>'
    '<text class="curve-axis-name" x="8" y="16">loss (nats per token)</text></svg>'
)
_GRID_Y = Markup(
    '<line class="curve-grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
    '<text class="curve-tick" x="{text_x}" y="{text_y}" text-anchor="end">{text}</text>'
)
_GRID_X = Markup('<text class="curve-tick" x="{x}" y="290" text-anchor="middle">{text}</text>')
_MARK = Markup(
    '<line class="curve-mark curve-mark-{kind}" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>'
    '<text class="curve-note" x="{text_x}" y="{text_y}" text-anchor="{anchor}">{text}</text>'
)
_LINE = Markup('<polyline class="curve-line curve-{kind}" points="{points}"/>')
_DOT = Markup('<circle class="curve-dot curve-dot-{kind}" cx="{x}" cy="{y}" r="{r}"/>')
_LINE_LABEL = Markup('<text class="curve-name curve-name-{kind}" x="{x}" y="{y}">{text}</text>')


def interval_bar(bar: IntervalBar) -> Markup:
    """Return an interval with its value, the line it is held against and the side on which it passes.

    Raises:
        ValueError: a number of the bar is not finite.
    """
    require_finite((bar.low, bar.high, bar.value, bar.axis_low, bar.axis_high))
    left, right = _BAR_INSET, BAR_WIDTH - _BAR_INSET
    scale = Scale(low=bar.axis_low, high=bar.axis_high, start=left, end=right)
    low, high = scale(bar.low), scale(bar.high)
    return _BAR.format(
        width=BAR_WIDTH,
        height=BAR_HEIGHT,
        title=bar.description,
        zone=_pass_zone(bar, scale),
        left=left,
        right=right,
        y=_BAR_MIDDLE,
        limit=_limit_line(bar, scale),
        low=pixels(low),
        range_y=_BAR_MIDDLE - 4,
        span=pixels(max(high - low, 1.5)),
        value=pixels(scale(bar.value)),
    )


def small_bar(bar: IntervalBar) -> Markup:
    """Return an interval on its whole axis with the line it is held against, small enough for a cell of a table.

    Raises:
        ValueError: a number of the bar is not finite.
    """
    require_finite((bar.low, bar.high, bar.value))
    scale = Scale(low=bar.axis_low, high=bar.axis_high, start=0, end=SMALL_WIDTH)
    return _SMALL.format(
        width=SMALL_WIDTH,
        height=SMALL_HEIGHT,
        title=bar.description,
        low=pixels(scale(bar.low)),
        span=pixels(max(scale(bar.high) - scale(bar.low), 1.5)),
        limit="" if bar.limit is None else _SMALL_LIMIT.format(x=pixels(scale(bar.limit) - 0.75), height=SMALL_HEIGHT),
        value=pixels(min(max(scale(bar.value) - 1, 0), SMALL_WIDTH - 2)),
    )


def loss_curve(curve: LossCurve) -> Markup:
    """Return both losses by step, with the best checkpoint and the stop marked by line and by words.

    Raises:
        ValueError: a loss is not finite.
    """
    losses = [loss for _, loss in (*curve.train, *curve.validation)]
    require_finite(losses)
    steps = [step for step, _ in (*curve.train, *curve.validation)]
    x = Scale(low=0, high=max(*steps, curve.last_step, 1), start=_PLOT_LEFT, end=_PLOT_RIGHT)
    y_ticks = nice_ticks(0.0, max(*losses, 1e-9))
    y = Scale(low=0, high=y_ticks[-1], start=_PLOT_BOTTOM, end=_PLOT_TOP)
    return _CURVE.format(
        width=CURVE_WIDTH,
        height=CURVE_HEIGHT,
        title=curve.description,
        middle=(_PLOT_LEFT + _PLOT_RIGHT) // 2,
        grid=_grid(x, y, y_ticks),
        marks=_step_marks(curve, x),
        train=_line("train", curve.train, x, y),
        validation=_line("validation", curve.validation, x, y) + _dots(curve, x, y),
        labels=_line_labels(curve, x, y),
    )


def nice_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return up to 8 numbers from `low` to at least `high`, in steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return tuple(low + step * place for place in range(math.ceil((high - low) / step - 1e-9) + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A linear map from an axis to pixels; what lies outside the axis is drawn at its end."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where a value of the axis lies."""
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.end - self.start)


def _pass_zone(bar: IntervalBar, scale: Scale) -> Markup:
    if bar.limit is None:
        return Markup("")
    line = scale(bar.limit)
    start, end = (line, scale.end) if bar.passes_above else (scale.start, line)
    return _ZONE.format(x=pixels(start), width=pixels(max(end - start, 0)))


def _limit_line(bar: IntervalBar, scale: Scale) -> Markup:
    if bar.limit is None:
        return Markup("")
    x = scale(bar.limit)
    anchor = _anchor(x, margin=34, start=scale.start, end=scale.end)
    return _LIMIT.format(x=pixels(x), text_x=pixels(x), anchor=anchor, text=bar.limit_text)


def _anchor(x: float, *, margin: float, start: float, end: float) -> str:
    if x - start < margin:
        return "start"
    return "end" if end - x < margin else "middle"


def _grid(x: Scale, y: Scale, y_ticks: Sequence[float]) -> Markup:
    rows = [
        _GRID_Y.format(
            left=_PLOT_LEFT,
            right=_PLOT_RIGHT,
            y=pixels(y(tick)),
            text_x=_PLOT_LEFT - 8,
            text_y=pixels(y(tick) + 4),
            text=number(tick),
        )
        for tick in y_ticks
    ]
    steps = [tick for tick in nice_ticks(0, x.high) if tick <= x.high and tick == int(tick)]
    columns = [_GRID_X.format(x=pixels(x(tick)), text=f"{int(tick):,}") for tick in steps]
    return Markup("").join([*rows, *columns])


def _step_marks(curve: LossCurve, x: Scale) -> Markup:
    # Each note has a line of its own above the plot. The best step is never after the last one, so only the
    # first note may have to stand left of its mark for want of room.
    best_turns = x(curve.best_step) > _PLOT_RIGHT - 40
    marks = (
        ("best", curve.best_step, curve.best_text, 26, best_turns),
        ("stop", curve.last_step, curve.stop_text, 42, False),
    )
    return Markup("").join(
        _MARK.format(
            kind=kind,
            x=pixels(x(step)),
            top=top,
            bottom=_PLOT_BOTTOM,
            text_x=pixels(x(step) + (-5 if turns else 5)),
            text_y=top + 8,
            anchor="end" if turns else "start",
            text=text,
        )
        for kind, step, text, top, turns in marks
    )


def _line(kind: str, points: Sequence[tuple[int, float]], x: Scale, y: Scale) -> Markup:
    return _LINE.format(kind=kind, points=" ".join(f"{pixels(x(step))},{pixels(y(loss))}" for step, loss in points))


def _dots(curve: LossCurve, x: Scale, y: Scale) -> Markup:
    return Markup("").join(
        _DOT.format(
            kind="best" if step == curve.best_step else "validation",
            x=pixels(x(step)),
            y=pixels(y(loss)),
            r=5 if step == curve.best_step else 2.5,
        )
        for step, loss in curve.validation
    )


def _line_labels(curve: LossCurve, x: Scale, y: Scale) -> Markup:
    """Name each line at its end; two ends that meet are named one above the other."""
    ends = [
        (kind, text, x(points[-1][0]), y(points[-1][1]))
        for kind, text, points in (
            ("train", "training", curve.train),
            ("validation", "validation", curve.validation),
        )
        if points
    ]
    ends.sort(key=lambda end: end[3])
    labels, previous = [], -math.inf
    for kind, text, end_x, end_y in ends:
        label_y = max(end_y + 4, previous + 15)
        previous = label_y
        labels.append(_LINE_LABEL.format(kind=kind, x=pixels(end_x + 10), y=pixels(label_y), text=text))
    return Markup("").join(labels)


def require_finite(numbers: Sequence[float]) -> None:
    """Refuse with ValueError what cannot be drawn."""
    if not all(math.isfinite(value) for value in numbers):
        raise ValueError("a drawing needs finite numbers")


def pixels(value: float) -> str:
    """Return a coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")
