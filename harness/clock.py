"""The only reader of the wall clock; everyone else takes a `Clock` as an argument."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present moment, with its time zone."""
    return datetime.now(UTC)  # noqa: TID251


def monotonic_seconds() -> float:
    """Seconds from an arbitrary origin, for durations only."""
    return time.perf_counter()
