"""Stop an evaluation early: bet on paired differences item by item, and decide when a bet has won enough.

Wealth starts at 1 and is multiplied by each bet. While "the mean is at most the bar" is true no strategy makes
it reach 1/alpha with a chance above alpha, however often one looks. The mirrored bet is against "at least the
bar". Bets are fixed shares of the stake, so a worse value anywhere never moves fail towards pass.

Source: Waudby-Smith & Ramdas 2020 (without replacement), 2024 (mixed bets: "diversified Kelly"); Ville 1939.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp, inf, isfinite, log
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.findings import Status
from harness.stats.mean_tests import Floats

# The share of its wealth that each bettor stakes on every item: a lowest value loses the stake. Large shares win
# on clear effects, small ones on slight effects; their average needs no estimate from the first few items.
FRACTIONS: Floats = np.array([0.75 / 2**halvings for halvings in range(5)])
SLACK = 1e-9  # relative to the largest total of the population; sums closer than this differ by float rounding
LARGEST_LOG = 700.0  # exp beyond it overflows; infinite wealth is kept for what the data make impossible


class OneSidedTest(Protocol):
    """A test in both directions, such as `PairedResult`: H0 "mean <= bar", and in reverse "mean >= bar"."""

    @property
    def p_value(self) -> float:
        """Of "mean <= bar"."""

    @property
    def p_reverse(self) -> float:
        """Of "mean >= bar"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialResult:
    """What the bets have settled; 1 / wealth is a p-value that holds at any time."""

    decision: Status
    n_used: int
    n_planned: int
    wealth_pass: float  # the highest reached against "mean <= bar"; inf: the values seen rule that out
    wealth_fail: float  # the highest reached against "mean >= bar"
    method: str


class BettingTest:
    """Two one-sided betting tests of a mean, each at alpha, fed block by block."""

    def __init__(
        self, *, bar: float, low: float, high: float, alpha: float, n_planned: int, population: int | None = None
    ) -> None:
        """Prepare for up to `n_planned` values in [low, high].

        With `population` the claim is about the mean of exactly that many items, of which the values are drawn
        without replacement in one uniform random order (see `permutation`; a stratified order voids the test).
        Once all are seen that mean is known, and any mean but the bar is decided. Without it the values are
        independent and the claim is about items to come.

        Raises:
            ValueError: bar outside (low, high), alpha outside (0, 0.5), or more values planned than there are.
        """
        if not (isfinite(low) and isfinite(high) and low < bar < high):
            raise ValueError(f"the bar must lie between finite low and high, not {bar} in {low} to {high}")
        if not 0 < alpha < 0.5:
            raise ValueError(f"alpha must lie between 0 and 0.5, not {alpha}")
        if n_planned < 1 or (population is not None and n_planned > population):
            raise ValueError(f"need 1 to {population or 'any number of'} values, not {n_planned}")
        self._low, self._high, self._threshold = low, high, -log(alpha)
        share = (bar - low) / (high - low)
        self._above, self._below = _Wealth(share, population), _Wealth(1 - share, population)
        source = "independent items" if population is None else f"{population} items without replacement"
        self._result = SequentialResult(
            decision="undecided",
            n_used=0,
            n_planned=n_planned,
            wealth_pass=1.0,
            wealth_fail=1.0,
            method=f"betting e-process (mixed bets) at {alpha:g}, {source}",
        )

    def update(self, values: ArrayLike) -> SequentialResult:
        """Bet on the next values (n,), then look: a wealth that reached 1/alpha on the way counts.

        Raises:
            ValueError: no values, more than planned, one that is not finite or outside [low, high], or a test
                that has already decided.
        """
        block = np.asarray(values, dtype=float)
        n_used = self._result.n_used + block.size
        if block.ndim != 1 or not 0 < block.size <= self._result.n_planned - self._result.n_used:
            raise ValueError(f"an update needs values (n,) within the {self._result.n_planned} planned")
        if not np.all((block >= self._low) & (block <= self._high)):
            raise ValueError(f"every value must lie between {self._low} and {self._high}")
        if self._result.decision != "undecided":
            raise ValueError(f"the test must not go on once it has decided: {self._result.decision}")
        scaled = (block - self._low) / (self._high - self._low)
        self._above.update(scaled)
        self._below.update(1 - scaled)
        self._result = replace(
            self._result,
            decision=self._decide(),
            n_used=n_used,
            wealth_pass=self._above.highest(),
            wealth_fail=self._below.highest(),
        )
        return self._result

    def _decide(self) -> Status:
        above, below = self._above.log_highest, self._below.log_highest
        if max(above, below) < self._threshold:
            return "undecided"
        return "pass" if above > below else "fail"


def decide_sequential(
    values: ArrayLike,
    *,
    bar: float,
    low: float,
    high: float,
    alpha: float,
    population: int | None,
    look_every: int,
) -> SequentialResult:
    """Decide whether the mean of values in permutation order (n,) is above or below the bar; stop when clear.

    Looks after every `look_every` values and at the end. For 0/1 scores the values are c - b in [-1, 1]; for a
    relative margin m they are c - (1 - m) b in [-(1 - m), 1] with bar 0. `population` as in `BettingTest`.

    Raises:
        ValueError: as `BettingTest` and its `update`, or look_every < 1.
    """
    ordered = np.asarray(values, dtype=float)
    if look_every < 1:
        raise ValueError(f"look_every must be at least 1, not {look_every}")
    test = BettingTest(bar=bar, low=low, high=high, alpha=alpha, n_planned=ordered.size, population=population)
    result = test.update(ordered[:look_every])
    while result.decision == "undecided" and result.n_used < ordered.size:
        result = test.update(ordered[result.n_used : result.n_used + look_every])
    return result


def decide_hybrid(
    values: ArrayLike,
    final_test: Callable[[], OneSidedTest],
    *,
    bar: float,
    low: float,
    high: float,
    look_every: int,
    shares: tuple[float, float] = (0.01, 0.04),
) -> SequentialResult:
    """Spend the first share of alpha on the bets, and the second on a fixed test when they leave it open.

    The chance of a wrong pass is at most the sum of the shares. Both parts speak of items to come.

    Raises:
        ValueError: as `decide_sequential` and `with_final_test`.
    """
    early, final = shares
    result = decide_sequential(values, bar=bar, low=low, high=high, alpha=early, population=None, look_every=look_every)
    return with_final_test(result, final_test, alpha=final)


def with_final_test(
    early: SequentialResult, final_test: Callable[[], OneSidedTest], *, alpha: float
) -> SequentialResult:
    """Return an early decision as it is; else that of the fixed test, run once all planned values are seen.

    Raises:
        ValueError: undecided before the end, p-values that are not in [0, 1], or alpha outside (0, 0.5).
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, not {alpha}")
    if early.decision != "undecided":
        return early
    if early.n_used < early.n_planned:
        raise ValueError(f"the final test needs all {early.n_planned} values, {early.n_used} were used")
    test = final_test()
    if not (0 <= test.p_value <= 1 and 0 <= test.p_reverse <= 1):
        raise ValueError(f"p-values must lie between 0 and 1, not {test.p_value} and {test.p_reverse}")
    decision: Status = "pass" if test.p_value <= alpha else "fail" if test.p_reverse <= alpha else "undecided"
    return replace(early, decision=decision, method=f"{early.method}; then the fixed test at {alpha:g}")


def permutation(n: int, seed: int) -> NDArray[np.int64]:
    """Return 0 .. n - 1 in one uniform random order, the order in which to evaluate a benchmark.

    Raises:
        ValueError: n < 1, or a negative seed.
    """
    if n < 1:
        raise ValueError(f"a permutation needs at least one item, not {n}")
    return np.random.default_rng(seed).permutation(n)


class _Wealth:
    """The wealth of bets against "the mean is at most the bar", for values and bar scaled to [0, 1]."""

    def __init__(self, bar: float, population: int | None) -> None:
        self._bar, self._population = bar, population
        self._seen, self._total = 0, 0.0
        self._logs = np.zeros(len(FRACTIONS))
        self.log_highest = 0.0

    def update(self, values: Floats) -> None:
        # Carried sums are added in order, so that the size of the blocks changes no digit.
        totals = np.cumsum(np.concatenate(([self._total], values)))
        means = self._null_means(totals[:-1])
        payoffs = np.divide(values, means, out=np.ones_like(values), where=means > 0) - 1
        logs = np.cumsum(np.vstack((self._logs, np.log1p(np.outer(payoffs, FRACTIONS)))), axis=0)
        mixed = np.logaddexp.reduce(logs[1:], axis=1) - log(len(FRACTIONS))
        self.log_highest = max(self.log_highest, float(np.max(mixed)))
        self._seen, self._total, self._logs = self._seen + len(values), float(totals[-1]), logs[-1]
        if self._population is not None and self._total > self._population * (self._bar + SLACK):
            self.log_highest = inf  # even if all items to come have the lowest value, the mean is above the bar

    def highest(self) -> float:
        return inf if self.log_highest == inf else exp(min(self.log_highest, LARGEST_LOG))

    def _null_means(self, totals: Floats) -> Floats:
        """The largest mean of the items to come that H0 allows before each item; 0 where only rounding is left."""
        if self._population is None:
            return np.full(len(totals), self._bar)
        to_come = self._population - self._seen - np.arange(len(totals))
        left = self._population * self._bar - totals
        return np.where(left > self._population * SLACK, left / to_come, 0.0)
