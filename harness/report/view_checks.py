"""The check table: what was needed, what was measured, and the bar that shows one against the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from harness.findings import CheckResult, Comparison, Decision, Status
from harness.report.formatting import (
    NOTHING,
    clean,
    count,
    interval,
    p_value,
    plural,
    points,
    quantity,
)
from harness.report.page import CheckRow, ComparisonRow, IntervalBar

SYMBOLS: dict[Status, str] = {"pass": "✓", "fail": "✕", "undecided": "?"}
WORDS: dict[Status, str] = {"pass": "Pass", "fail": "Fail", "undecided": "Undecided"}
DECISION_SYMBOLS: dict[Decision, str] = {"ship": "✓", "hold": "✕", "undecided": "?"}
DECISION_WORDS: dict[Decision, str] = {"ship": "Ship", "hold": "Hold", "undecided": "Undecided"}
_ORDER: dict[Status, int] = {"fail": 0, "undecided": 1, "pass": 2}


def check_rows(
    checks: Sequence[CheckResult],
    detectable: Mapping[str, float],
    scores: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> tuple[CheckRow, ...]:
    """Return the rows of the check table: what decided comes first, otherwise in the order of the suite.

    Checks of one kind share an axis, so that their bars can be compared by eye. `detectable` maps a check to the
    smallest true difference (a fraction) that it shows with 80 % power, `scores` to what candidate and baseline scored.

    Raises:
        ValueError: a check carries a number that is not finite.
    """
    axes = {
        key: shared_axis([check for check in checks if _axis_key(check) == key])
        for key in {_axis_key(check) for check in checks}
    }
    ordered = sorted(checks, key=lambda check: (not check.blocking, _ORDER[check.status]))
    return tuple(
        _check_row(check, axes[_axis_key(check)], detectable.get(check.name), scores.get(check.name))
        for check in ordered
    )


def short_title(check: CheckResult) -> str:
    """Return a check's name without its baseline, which stands beside it."""
    return check.name.removesuffix(f"/{check.baseline}")


def comparison_rows(comparisons: Sequence[Comparison]) -> tuple[ComparisonRow, ...]:
    """Return every comparison with its bar around the line of no difference, those over all rows first.

    Those over all rows share an axis, and so do those of slices, whose intervals are wider.

    Raises:
        ValueError: a comparison carries a number that is not finite.
    """
    ends: dict[tuple[str, bool], list[float]] = {}
    for item in comparisons:
        ends.setdefault((item.scorer, item.tag is None), [0.0]).extend((item.delta.low, item.delta.high))
    axes = {key: _axis(numbers, bounded=False) for key, numbers in ends.items()}
    ordered = sorted(comparisons, key=lambda item: item.tag is not None)
    return tuple(_comparison_row(item, axes[item.scorer, item.tag is None]) for item in ordered)


def shared_axis(checks: Iterable[CheckResult]) -> tuple[float, float]:
    """Return an axis that holds every number of these checks, with some air at both ends."""
    numbers, unit = [], ""
    for check in checks:
        unit = check.unit
        numbers += [x for x in (check.observed, check.low, check.high, check.limit) if x is not None]
    return _axis(numbers, bounded=unit == "fraction")


def _axis(numbers: Sequence[float], *, bounded: bool) -> tuple[float, float]:
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    air = (high - low) * 0.12 or 0.05
    low, high = low - air, high + air
    return (max(low, 0.0), min(high, 1.0)) if bounded else (low, high)


def _axis_key(check: CheckResult) -> tuple[str, str]:
    return check.kind, check.unit


def _check_row(
    check: CheckResult, axis: tuple[float, float], detectable: float | None, scores: tuple[str, str] | None
) -> CheckRow:
    measured = NOTHING if check.observed is None else quantity(check.observed, check.unit)
    return CheckRow(
        name=clean(check.name),
        title=clean(short_title(check)),
        kind=clean(check.kind),
        status=check.status,
        symbol=SYMBOLS[check.status],
        status_text=WORDS[check.status] + (", accepted" if check.accepted else ""),
        blocking=check.blocking,
        baseline=clean(check.baseline or ""),
        scores=scores,
        needed=_needed(check),
        measured=clean(measured),
        interval=_interval(check),
        bar=_bar(check, axis),
        n=count(check.n) if check.n else NOTHING,
        detectable="" if detectable is None else points(detectable).removeprefix("+"),
        reason=clean(check.reason),
        declared_reason=clean(check.declared_reason),
        method=clean(check.method),
        needs=clean(check.needs),
        accepted=clean(check.accepted),
    )


def _needed(check: CheckResult) -> str:
    if check.limit is None:
        return NOTHING
    # A bar on a share is reached ("at least 95 %"); a difference must lie beyond its limit.
    words = ("at least", "at most") if check.unit == "fraction" else ("more than", "less than")
    return clean(f"{words[check.direction == 'below']} {quantity(check.limit, check.unit)}")


def _interval(check: CheckResult) -> str:
    if check.low is None or check.high is None:
        return ""
    return clean(interval(check.low, check.high, check.unit))


def _bar(check: CheckResult, axis: tuple[float, float]) -> IntervalBar | None:
    if check.observed is None or check.low is None or check.high is None:
        return None
    sentence = f"Measured {quantity(check.observed, check.unit)}, interval {_interval(check)}"
    if check.limit is not None:
        sentence += f"; needed: {_needed(check)}"
    return IntervalBar(
        low=check.low,
        high=check.high,
        value=check.observed,
        axis_low=axis[0],
        axis_high=axis[1],
        limit=check.limit,
        limit_text="" if check.limit is None else clean(quantity(check.limit, check.unit)),
        passes_above=check.direction == "above",
        description=clean(f"{sentence}. {WORDS[check.status]}."),
    )


def _comparison_row(item: Comparison, axis: tuple[float, float]) -> ComparisonRow:
    delta = item.delta
    gain = points(delta.value)
    spread = interval(delta.low, delta.high, "points")
    bar = IntervalBar(
        low=delta.low,
        high=delta.high,
        value=delta.value,
        axis_low=axis[0],
        axis_high=axis[1],
        limit=0.0,
        limit_text="0",
        passes_above=True,
        description=f"Difference {gain}, interval {spread}, against no difference.",
    )
    return ComparisonRow(
        baseline=clean(item.baseline),
        scorer=clean(item.scorer),
        tag=clean(item.tag or ""),
        delta=gain,
        interval=spread,
        bar=bar,
        wins=count(item.wins),
        losses=count(item.losses),
        p_value=p_value(item.p_value),
        n=count(item.n),
        imputed=plural(item.imputed, "missing score") + " counted against the candidate" if item.imputed else "",
        method=clean(item.method),
    )
