"""Further SVG drawings, made like those of `charts`: subjects, answer lengths, calibration, judges, earlier runs."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from harness.report.charts import Scale, nice_ticks, pixels, require_finite
from harness.report.formatting import number
from harness.report.page import IntervalBar
from harness.report.page_sections import (
    CalibrationRow,
    CalibrationView,
    HistoryPoint,
    HistoryView,
    JudgedRow,
    LengthRow,
)

DOTS_WIDTH, DOTS_ROW = 220, 13
BOX_WIDTH, BOX_HEIGHT = 260, 18
SHARES_WIDTH, SHARES_HEIGHT = 220, 14
SQUARE, _SQUARE_LEFT, _SQUARE_END = 250, 34, 240
_SQUARE_TOP, _SQUARE_BOTTOM = 26, 216
HISTORY_WIDTH, HISTORY_HEIGHT = 760, 150
_HISTORY_LEFT, _HISTORY_RIGHT, _HISTORY_TOP, _HISTORY_BOTTOM = 56, 740, 26, 120
_LARGEST, _SMALLEST = 9.0, 3.0  # radius of the dot of the fullest bin, and of one that holds next to nothing

_FRAME = Markup(
    '<svg class="{kind}" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">'
    "<title>{title}</title>{body}</svg>"
)
_RECT = Markup('<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}"/>')
_LINE = Markup('<line class="{kind}" x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}"/>')
_DOT = Markup('<circle class="{kind}" cx="{x}" cy="{y}" r="{r}"/>')
_TEXT = Markup('<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>')
_POLYLINE = Markup('<polyline class="history-line" points="{points}"/>')


def subject_dots(bars: Sequence[IntervalBar | None], systems: Sequence[str]) -> Markup:
    """Return one system's share below the other, each a dot with its interval on an axis from 0 to 1.

    Raises:
        ValueError: a number of a bar is not finite.
    """
    scale = Scale(low=0, high=1, start=5, end=DOTS_WIDTH - 5)
    parts, told = [], []
    for place, (bar, system) in enumerate(zip(bars, systems, strict=True)):
        y = place * DOTS_ROW + DOTS_ROW // 2 + 1
        parts.append(_line("bar-track-line", scale.start, scale.end, y, y))
        if bar is not None:
            require_finite((bar.low, bar.high, bar.value))
            first = "first" if place == 0 else "other"
            parts.append(_line(f"dots-range dots-{first}", scale(bar.low), scale(bar.high), y, y))
            parts.append(_DOT.format(kind=f"dots-point dots-{first}", x=pixels(scale(bar.value)), y=y, r=4))
            told.append(f"{system}: {bar.description}")
    return _frame("dots", DOTS_WIDTH, DOTS_ROW * len(bars) + 2, " ".join(told), parts)


def length_box(row: LengthRow) -> Markup:
    """Return a box from quartile to quartile with its median, on a line from the shortest to the longest.

    Raises:
        ValueError: a length is not finite.
    """
    require_finite((*row.quartiles, row.axis_high))
    scale = Scale(low=0, high=row.axis_high, start=3, end=BOX_WIDTH - 3)
    shortest, lower, median, upper, longest = map(scale, row.quartiles)
    middle = BOX_HEIGHT // 2
    parts = [
        _line("bar-axis", shortest, longest, middle, middle),
        _RECT.format(kind="bar-range", x=pixels(lower), y=4, width=pixels(max(upper - lower, 2)), height=10),
        _RECT.format(kind="bar-tick", x=pixels(median - 1), y=2, width=2, height=14),
    ]
    return _frame("box", BOX_WIDTH, BOX_HEIGHT, row.description, parts)


def judged_shares(row: JudgedRow) -> Markup:
    """Return one bar of four parts: candidate preferred, tie, baseline preferred, no usable reply.

    Raises:
        ValueError: a share is not finite.
    """
    require_finite(row.shares)
    parts, start = [], 0.0
    for kind, share in zip(("ours", "tied", "theirs", "lost"), row.shares, strict=True):
        width = share * SHARES_WIDTH
        parts.append(
            _RECT.format(kind=f"share-{kind}", x=pixels(start), y=0, width=pixels(width), height=SHARES_HEIGHT)
        )
        start += width
    return _frame("shares", SHARES_WIDTH, SHARES_HEIGHT, row.description, parts)


def reliability_diagram(view: CalibrationView) -> Markup:
    """Return accuracy against confidence, bin by bin: the area of a dot is its answers, the diagonal is the ideal.

    Source: DeGroot & Fienberg 1983; as in Guo et al. 2017 (arXiv 1706.04599).

    Raises:
        ValueError: a number is not finite.
    """
    x = Scale(low=0, high=1, start=_SQUARE_LEFT, end=_SQUARE_END)
    y = Scale(low=0, high=1, start=_SQUARE_BOTTOM, end=_SQUARE_TOP)
    parts = [_line("reliability-ideal", x(0), x(1), y(0), y(1))]
    for tick in (0, 0.5, 1):
        parts.append(_line("curve-grid", x(0), x(1), y(tick), y(tick)))
        parts.append(_text("curve-tick", x(0) - 6, y(tick) + 4, "end", number(tick)))
        parts.append(_text("curve-tick", x(tick), _SQUARE_BOTTOM + 15, "middle", number(tick)))
    for row in view.rows:
        parts += _bin(row, x, y)
    parts.append(_text("curve-axis-name", (x(0) + x(1)) / 2, SQUARE - 6, "middle", "confidence"))
    parts.append(_text("curve-axis-name", 2, 12, "start", "accuracy"))
    return _frame("reliability", SQUARE, SQUARE, view.description, parts)


def _bin(row: CalibrationRow, x: Scale, y: Scale) -> list[Markup]:
    require_finite((row.confidence, row.accuracy, row.weight))
    at = x(row.confidence)
    radius = max(_LARGEST * row.weight**0.5, _SMALLEST)
    return [
        _line("reliability-gap", at, at, y(row.confidence), y(row.accuracy)),
        _DOT.format(kind="reliability-point", x=pixels(at), y=pixels(y(row.accuracy)), r=pixels(radius)),
    ]


def history_line(view: HistoryView) -> Markup:
    """Return the candidates' scores from run to run; each run carries the mark of its verdict.

    Raises:
        ValueError: a score is not finite.
    """
    known = [point.value for point in view.points if point.value is not None]
    require_finite(known)
    low, high = min(known, default=0.0), max(known, default=1.0)
    air = (high - low) * 0.15 or 0.05
    y = Scale(low=low - air, high=high + air, start=_HISTORY_BOTTOM, end=_HISTORY_TOP)
    x = Scale(low=0, high=len(view.points) - 1, start=_HISTORY_LEFT + 20, end=_HISTORY_RIGHT - 20)
    parts = [
        part
        for tick in nice_ticks(0, y.high)
        if y.low <= tick <= y.high
        for part in (
            _line("curve-grid", _HISTORY_LEFT, _HISTORY_RIGHT, y(tick), y(tick)),
            _text("curve-tick", _HISTORY_LEFT - 8, y(tick) + 4, "end", number(tick)),
        )
    ]
    placed = [(x(place), y(point.value)) for place, point in enumerate(view.points) if point.value is not None]
    parts.append(_POLYLINE.format(points=" ".join(f"{pixels(left)},{pixels(top)}" for left, top in placed)))
    for place, point in enumerate(view.points):
        parts += _run(point, x(place), _HISTORY_BOTTOM if point.value is None else y(point.value))
    return _frame("history", HISTORY_WIDTH, HISTORY_HEIGHT, view.description, parts)


def _run(point: HistoryPoint, x: float, y: float) -> list[Markup]:
    kind = point.decision or "unknown"
    this = " history-this" if point.is_this else ""
    dot = _DOT.format(kind=f"history-{kind}{this}", x=pixels(x), y=pixels(y), r=5.5 if point.is_this else 4)
    mark = _text(f"history-mark history-mark-{kind}", x, _HISTORY_BOTTOM + 20, "middle", point.symbol)
    return [dot, mark] if point.value is not None else [mark]


def _frame(kind: str, width: float, height: float, title: str, parts: Sequence[Markup]) -> Markup:
    return _FRAME.format(kind=kind, width=width, height=height, title=title, body=Markup("").join(parts))


def _line(kind: str, x1: float, x2: float, y1: float, y2: float) -> Markup:
    return _LINE.format(kind=kind, x1=pixels(x1), x2=pixels(x2), y1=pixels(y1), y2=pixels(y2))


def _text(kind: str, x: float, y: float, anchor: str, text: str) -> Markup:
    return _TEXT.format(kind=kind, x=pixels(x), y=pixels(y), anchor=anchor, text=text)
