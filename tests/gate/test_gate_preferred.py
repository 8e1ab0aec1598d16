"""The preference of a judge decides like any gain: its errors count against the candidate, its order is told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from evidence_factory import SUITE, Fixture
from evidence_in_memory import GAIN, PREFERRED, judged, suite_of
from numpy.random import Generator
from scipy.stats import binom

from harness.cli.main import main
from harness.errors import BrokenRunError
from harness.findings import CheckResult, Decision, LookCount
from harness.gate.evidence import Evidence, index_preferences
from harness.gate.verdict import decide
from harness.records import Preference
from harness.stats.proportion import upper_bound
from harness.suite.schema import Suite

Orders = Sequence[tuple[int, int] | None]
BOTH, NONE, LOST = (1, 1), (0, 0), (-1, -1)
CLEAR: Orders = [BOTH] * 60 + [NONE] * 20 + [LOST] * 20


def result_of(evidence: Evidence, **check: Any) -> CheckResult:
    return decide(suite_of({**PREFERRED, **check}), evidence).checks[0]


def decision(evidence: Evidence, **check: Any) -> Decision:
    return decide(suite_of({**PREFERRED, **check}), evidence).decision


# --- what it decides -------------------------------------------------------------------------------------------------


TABLE: list[tuple[str, Orders, Decision, float]] = [
    ("preferred in both orders ships", CLEAR, "ship", 0.4),
    ("the baseline's preferred is held", [LOST] * 60 + [BOTH] * 20, "hold", -0.5),
    ("ties are undecided", [NONE] * 100, "undecided", 0.0),
    ("as often as not is undecided", [BOTH, LOST] * 50, "undecided", 0.0),
    ("one order of two counts half", [(1, 0)] * 80 + [NONE] * 20, "ship", 0.4),
    ("the second order counts as the first", [(0, 1)] * 80 + [NONE] * 20, "ship", 0.4),
    ("what only the order favours is no preference", [(1, -1)] * 100, "undecided", 0.0),
    ("what the order favours the other way is none either", [(-1, 1)] * 100, "undecided", 0.0),
    ("5 consistent preferences to 0 of 200 ship", [BOTH] * 5 + [NONE] * 195, "ship", 0.025),
    ("4 to 0 are undecided", [BOTH] * 4 + [NONE] * 196, "undecided", 0.02),
]  # fmt: skip


@pytest.mark.parametrize(("orders", "expected", "mean"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_mean_preference_decides(orders: Orders, expected: Decision, mean: float) -> None:
    evidence = judged(orders)
    assert decision(evidence) == expected
    found = result_of(evidence)
    assert found.observed == pytest.approx(mean) and found.n == len(orders)
    assert found.low is not None and found.high is not None and -1 <= found.low <= mean <= found.high <= 1
    assert (found.name, found.kind, found.baseline, found.unit) == (
        "preferred/strict/bare",
        "preferred",
        "bare",
        "points",
    )


def test_the_reason_and_the_verdict_say_the_numbers() -> None:
    found = decide(suite_of(PREFERRED), judged(CLEAR))
    assert found.checks[0].reason.startswith(
        "better: +40.0 points on the preference of judge strict against bare [+26.0, +52.2] over 100 examples, "
        "60 better and 20 worse (p = "
    )
    assert "its answers are preferred to those of bare (+40.0 points)" in found.sentence


@pytest.mark.parametrize(("bar", "expected"), [(0.0, "pass"), (0.2, "pass"), (0.4, "undecided"), (0.7, "fail")])
def test_a_preference_must_exceed_min_gain_when_one_is_asked(bar: float, expected: str) -> None:
    for orders in (CLEAR, [*CLEAR[:-1], (-1, 0)]):  # by the exact test, and by that of graded scores
        found = result_of(judged(orders), min_gain=bar)
        assert found.status == expected and found.limit == bar


def test_each_baseline_must_be_beaten_when_there_are_several() -> None:
    evidence = judged(CLEAR, [LOST] * 100)
    suite = suite_of(PREFERRED, baselines=2)
    assert [check.status for check in decide(suite, evidence).checks[:2]] == ["pass", "fail"]
    assert decide(suite, evidence).decision == "hold"
    assert decision(evidence, baselines=["bare"]) == "ship"


def test_a_baseline_that_is_absent_is_undecided_and_does_not_block() -> None:
    evidence = replace(judged(CLEAR), absent={"second": "no adapter was promoted yet"})
    found = decide(suite_of({**PREFERRED, "baselines": ["bare", "second"]}, baselines=2), evidence)
    assert [(check.status, check.blocking) for check in found.checks[:2]] == [("pass", True), ("undecided", False)]
    assert found.decision == "ship"
    assert decision(evidence, baselines=["second"]) == "undecided"


def test_preferences_within_a_cluster_are_not_independent() -> None:
    documents = [f"document {i // 20}" for i in range(100)]
    assert decision(judged(CLEAR)) == "ship"
    assert decision(judged(CLEAR, clusters=documents)) == "undecided"
    assert "over 5 clusters" in result_of(judged(CLEAR, clusters=documents)).method


def test_nothing_passes_when_the_looks_at_the_test_set_are_spent() -> None:
    suite, look = suite_of(PREFERRED, holdout_budget=2), LookCount(number=2, budget=2, recorded=True)
    assert decide(suite, judged(CLEAR), looks=look).decision == "ship"
    assert decide(suite, judged(CLEAR), looks=replace(look, number=3)).decision == "undecided"


def test_alpha_is_divided_when_there_is_a_budget_of_looks() -> None:
    close = judged([BOTH] * 5 + [NONE] * 195)  # p = 0.031
    assert decide(suite_of(PREFERRED), close).decision == "ship"
    assert decide(suite_of(PREFERRED, holdout_budget=2), close).decision == "undecided"


def test_a_preference_does_not_stand_in_for_a_gain() -> None:
    evidence = judged(CLEAR)
    equal = {key: evidence.scores["bare", "test", "exact_match"] for key in evidence.scores}
    assert decide(suite_of(GAIN, PREFERRED), evidence).decision == "ship"
    assert decide(suite_of(GAIN, PREFERRED), replace(evidence, scores=equal)).decision == "undecided"


# --- symmetry --------------------------------------------------------------------------------------------------------


def drawn(seed: int, *, n: int = 60, gain: float = 0.0) -> list[tuple[int, int]]:
    """A judge that sees the better answer through noise and favours what is shown first."""
    rng = np.random.default_rng(seed)
    better = rng.normal(gain, 1.0, n)
    first, second = (np.clip(np.rint(better + bias + rng.normal(0, 0.7, n)), -1, 1) for bias in (0.4, -0.4))
    return list(zip(first.astype(int).tolist(), second.astype(int).tolist(), strict=True))


@pytest.mark.parametrize("gain", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_nothing_changes_but_the_bias_when_the_orders_are_exchanged(seed: int, gain: float) -> None:
    orders = drawn(seed, gain=gain)
    found, exchanged = result_of(judged(orders)), result_of(judged([(b, a) for a, b in orders]))
    assert "being shown first is worth +" in found.reason and "being shown first is worth -" in exchanged.reason
    assert (found.status, found.observed, found.low, found.high) == (
        exchanged.status,
        exchanged.observed,
        exchanged.low,
        exchanged.high,
    )


@pytest.mark.parametrize("gain", [-1.0, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_what_passes_fails_when_candidate_and_baseline_are_exchanged(seed: int, gain: float) -> None:
    orders = drawn(seed, gain=gain)
    # With the sides exchanged, the answer that was shown first is now the other one's.
    found, exchanged = result_of(judged(orders)), result_of(judged([(-b, -a) for a, b in orders]))
    assert {found.status, exchanged.status} == {"pass", "fail"}
    assert found.observed is not None and exchanged.observed == pytest.approx(-found.observed)
    orders_of = [result.method.rsplit("; ", 1)[1] for result in (found, exchanged)]
    assert orders_of[0] == orders_of[1] and "both orders agree on " in orders_of[0]


# --- what the two orders say of each other ---------------------------------------------------------------------------


def test_agreement_and_position_bias_are_said_in_reason_and_method() -> None:
    found = result_of(judged([BOTH] * 70 + [(1, -1)] * 20 + [(1, 0)] * 10))
    words = "both orders agree on 70 of 100 pairs (70%), and being shown first is worth +25.0 points"
    assert words in found.reason and words in found.method
    assert "mean preference of judge strict" in found.method


def test_a_judge_that_goes_by_the_order_alone_is_told() -> None:
    words = "both orders agree on 0 of 100 pairs (0%), and being shown first is worth -100.0 points"
    assert words in result_of(judged([(-1, 1)] * 100)).reason


def test_equal_answers_and_errors_are_no_agreement() -> None:
    orders: Orders = [*[NONE] * 50, *[(1, 0)] * 49, None]
    words = "both orders agree on 0 of 49 pairs (0%), and being shown first is worth +50.0 points"
    assert words in result_of(judged(orders, equal=range(50))).reason
    assert "no pair of answers was judged in both orders" in result_of(judged([NONE] * 9, equal=range(9))).reason


# --- missing preferences ---------------------------------------------------------------------------------------------


def test_a_missing_preference_counts_as_the_baselines_and_is_said() -> None:
    found = result_of(judged([BOTH] * 99 + [None]))
    assert found.observed == pytest.approx(0.98) and found.status == "pass"
    assert "1 missing score was counted against the candidate" in found.reason
    assert found.reason.endswith("; the first of 1 without a preference: the server is gone")


def test_missing_preferences_never_help_the_candidate() -> None:
    assert decision(judged([BOTH] * 6 + [NONE] * 294)) == "ship"
    assert decision(judged([BOTH] * 6 + [None] * 2 + [NONE] * 292)) == "undecided"


@pytest.mark.parametrize(("missing", "expected"), [(2, "pass"), (3, "undecided")])
def test_too_many_missing_preferences_are_undecided(missing: int, expected: str) -> None:
    found = result_of(judged([BOTH] * (200 - missing) + [None] * missing))
    assert found.status == expected
    assert ("over 1.0%" in found.reason) == (expected == "undecided")


def test_a_server_that_is_gone_decides_nothing() -> None:
    assert decision(judged([None] * 100)) == "undecided"


# --- how often it errs -----------------------------------------------------------------------------------------------

Draw = Callable[[Generator], Evidence]


def noisy(n: int, *, bias: float, noise: float, documents: int | None = None) -> Draw:
    """A judge of answers that are equally good on average; those of one document may be so together."""

    def draw(rng: Generator) -> Evidence:
        better = rng.normal(0, 1, documents or n).repeat(n // (documents or n))
        orders = [np.clip(np.rint(better + b + rng.normal(0, noise, n)), -1, 1).astype(int) for b in (bias, -bias)]
        clusters = [f"document {i * documents // n}" for i in range(n)] if documents else None
        return judged(list(zip(*(order.tolist() for order in orders), strict=True)), clusters=clusters)

    return draw


EQUAL = {
    "40 graded": noisy(40, bias=0.0, noise=0.7),
    "100 by a judge that is always of one mind": noisy(100, bias=0.0, noise=0.0),
    "40 by a judge that favours the first": noisy(40, bias=0.8, noise=0.7),
    "20 documents of 5": noisy(100, bias=0.3, noise=0.7, documents=20),
}


def decisions(suite: Suite, draw: Draw, *, replicates: int, seed: int) -> Counter[Decision]:
    rng = np.random.default_rng(seed)
    return Counter(decide(suite, draw(rng)).decision for _ in range(replicates))


@pytest.mark.parametrize("name", EQUAL)
def test_few_equal_candidates_ship_or_are_held_when_simulated_200_times(name: str) -> None:
    found = decisions(suite_of(PREFERRED), EQUAL[name], replicates=200, seed=50)
    most = int(binom.isf(0.001, 200, 0.05))  # 10 expected at 5 %
    assert 0 < found["ship"] <= most
    assert found["hold"] <= most


@pytest.mark.slow
@pytest.mark.parametrize("name", EQUAL)
def test_upper_bound_of_the_ship_rate_is_6_percent_when_equal_candidates_are_judged_10_000_times(name: str) -> None:
    found = decisions(suite_of(PREFERRED), EQUAL[name], replicates=10_000, seed=51)
    assert upper_bound(found["ship"], 10_000, 0.05) <= 0.06
    assert upper_bound(found["hold"], 10_000, 0.05) <= 0.06


# --- damaged evidence ------------------------------------------------------------------------------------------------


EVIDENCE = judged([BOTH, NONE, LOST, None])
ROWS = list(EVIDENCE.preferences["strict", "bare"].values())
WANTED = [("strict", "bare")]


def test_preferences_are_indexed_when_nothing_is_wrong_with_them() -> None:
    assert index_preferences(reversed(ROWS), WANTED, EVIDENCE.examples["test"]) == EVIDENCE.preferences
    assert index_preferences([], [], EVIDENCE.examples["test"]) == {}


def changed(**changes: Any) -> list[Preference]:
    return [replace(ROWS[0], **changes), *ROWS[1:]]


DAMAGED = {
    "one is missing": (ROWS[1:], "1 missing"),
    "all are missing": ([], "4 missing"),
    "one is there twice": ([*ROWS, ROWS[0]], "judged twice"),
    "one is there twice and they differ": ([*ROWS, replace(ROWS[0], shown_first=-1)], "judged twice"),
    "one has another id": (changed(example_id="elsewhere"), "1 unknown"),
    "one more is of an unknown example": ([*ROWS, replace(ROWS[0], example_id="elsewhere")], "1 unknown"),
    "one is of another judge": (changed(judge="lenient"), "that no check of the suite asks for"),
    "one is of another baseline": (changed(baseline="second"), "that no check of the suite asks for"),
    "a value is too large": (changed(shown_first=2), "must be -1, 0 or 1"),
    "a value is too small": (changed(shown_second=-2), "must be -1, 0 or 1"),
    "a value is between": (changed(shown_first=0.5), "must be -1, 0 or 1"),
    "a value is no whole number": (changed(shown_first=1.0), "must be -1, 0 or 1"),
    "a value is true": (changed(shown_first=True), "must be -1, 0 or 1"),
    "a value is not a number": (changed(shown_second=float("nan")), "must be -1, 0 or 1"),
    "an order is missing": (changed(shown_second=None), "must be -1, 0 or 1"),
    "both orders are missing without a reason": (changed(shown_first=None, shown_second=None), "must be -1, 0 or 1"),
    "there are values beside an error": (changed(error="the server is gone"), "must be -1, 0 or 1"),
    "there is one value beside an error": (changed(shown_first=None, error="gone"), "must be -1, 0 or 1"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_preferences_are_refused_when(name: str) -> None:
    rows, message = DAMAGED[name]
    with pytest.raises(BrokenRunError, match=message):
        index_preferences(rows, WANTED, EVIDENCE.examples["test"])


def test_preferences_are_refused_when_they_are_not_of_every_example_that_is_judged() -> None:
    evidence = judged(CLEAR)
    fewer = dict(list(evidence.preferences["strict", "bare"].items())[1:])
    with pytest.raises(BrokenRunError, match=r"judge strict on bare: .* 1 missing"):
        decide(suite_of(PREFERRED), replace(evidence, preferences={("strict", "bare"): fewer}))


# --- from a run folder -----------------------------------------------------------------------------------------------


JUDGED = SUITE.replace(
    "benchmarks:",
    "judges:\n  strict: {rubric: rubric.txt, base_url: http://localhost:1/v1, model: some/model}\nbenchmarks:",
) + ("  - {kind: preferred, judge: strict}\n")


def stored(count: int = 200, baseline: str = "bare") -> tuple[Preference, ...]:
    return tuple(
        Preference(judge="strict", baseline=baseline, example_id=f"test-{i}", shown_first=1, shown_second=i % 2)  # type: ignore[arg-type]
        for i in range(count)
    )


def gate(fixture: Fixture, folder: Path) -> Result:
    return CliRunner().invoke(main, ["gate", str(fixture.write(folder)), "--json"])


RUNS = [
    ("preferences that pass ship", JUDGED, stored(), 0),
    ("preferences the other way are held", JUDGED, tuple(replace(p, shown_first=-1) for p in stored()), 3),
    ("missing preferences are broken", JUDGED, stored(199), 1),
    ("no preferences are broken", JUDGED, (), 1),
    ("preferences that nobody asked for are broken", SUITE, stored(), 1),
    ("preferences against a baseline that there is not are broken", JUDGED, stored(baseline="second"), 1),
]


@pytest.mark.parametrize(("suite", "rows", "code"), [row[1:] for row in RUNS], ids=[row[0] for row in RUNS])
def test_a_stored_run_is_judged_by_its_preferences(
    suite: str, rows: tuple[Preference, ...], code: int, tmp_path: Path
) -> None:
    result = gate(Fixture(suite_text=suite, preferences=rows), tmp_path / "run")
    assert result.exit_code == code, result.output + str(result.exception)


def test_a_run_is_refused_when_its_preferences_were_edited(tmp_path: Path) -> None:
    folder = Fixture(suite_text=JUDGED, preferences=stored()).write(tmp_path / "run")
    file = folder / "preferences.jsonl"
    file.write_text(file.read_text().replace('"shown_second": 0', '"shown_second": 1', 1))
    assert CliRunner().invoke(main, ["gate", str(folder)]).exit_code == 5


# --- before a run ----------------------------------------------------------------------------------------------------


def plan(folder: Path, check: str) -> dict[str, dict[str, Any]]:
    text = f"""\
suite: s
seed: 1
model: smollm2-135m-instruct
data: {{train: train.jsonl, test: test.jsonl}}
train: {{learning_rate: 1e-4}}
systems:
  candidate: {{kind: adapter, role: candidate}}
  bare: {{kind: prompt}}
  previous: {{kind: adapter, from: promoted}}
judges:
  strict: {{rubric: rubric.txt, base_url: http://localhost:1/v1, model: some/model}}
checks:
  - {{kind: better_than}}
  - {check}
"""
    (folder / "suite.yaml").write_text(text)
    (folder / "rubric.txt").write_text("Prefer the shorter one.")
    for name, count in (("train", 40), ("test", 200)):
        rows = [json.dumps({"prompt": f"{name} {i}", "completion": f"x{i % 2}"}) for i in range(count)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    result = CliRunner().invoke(main, ["plan", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    return {check["name"]: check for check in json.loads(result.stdout.splitlines()[-1])["checks"]}


def test_a_plan_says_the_requests_and_what_they_could_show(tmp_path: Path) -> None:
    found = plan(tmp_path, "{kind: preferred, judge: strict}")
    assert found["preferred/strict/bare"]["lines"][:3] == [
        "up to 400 requests to some/model: 200 pairs in both orders; equal answers are not asked about, and requests "
        "after a fault come on top",
        "200 examples, one answer preferred in 80% of them (assumed)",
        "smallest gain shown with 80% power: 16.1 points",
    ]
    assert found["preferred/strict/previous"]["lines"] == ["not compared: no adapter of suite s was promoted yet"]
