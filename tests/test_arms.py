from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from evidence_factory import SUITE, Fixture, history_of

from harness.arms import arm_use, break_even, effort_differences
from harness.findings import ArmUse
from harness.judge import judge_run
from harness.records import Prediction, TrainingHistory
from harness.suite.load import parse_suite
from harness.suite.schema import Suite

ARMS = """\
suite: arms
seed: 3
model: smollm2-135m-instruct
data: {train: train.jsonl, test: test.jsonl, schema: schema.json}
train: {method: lora, seeds: 2}
decoding: {max_new_tokens: 48, batch_size: 16}
prices: {currency: EUR, machine_hour: 3.6}
systems:
  bare: {kind: prompt}
  rules: {kind: constrained, over: few}
  hosted: {kind: endpoint, base_url: "https://api.example.com/v1", model: m, price_input: 2, price_output: 10}
  candidate: {kind: adapter, role: candidate}
  few: {kind: few_shot, shots: 2}
checks:
  - {kind: better_than, scorer: exact_match, baselines: all}
"""
PRESENT = ("bare", "rules", "hosted", "candidate", "few", "candidate@seed4")
NO_PRICES = ("prices: {currency: EUR, machine_hour: 3.6}\n", "")
NO_TOKEN_PRICES = (", price_input: 2, price_output: 10", "")


def suite_of(*changes: tuple[str, str]) -> Suite:
    text = ARMS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_suite(text, Path("suite.yaml"), {}, files=False).suite


def answer(system: str = "candidate", **facts: Any) -> Prediction:
    given = {"example_id": "e", "dataset": "test", "text": "yes", "stop": "end", "error": None}
    took = {"prompt_tokens": 1000, "output_tokens": 100, "seconds": 0.5}
    return Prediction(**{"system": system, **given, **took, **facts})


def failed(system: str = "candidate") -> Prediction:
    took = {"prompt_tokens": 0, "output_tokens": 0, "seconds": 60.0}
    return answer(system, text="", stop="error", error="no answer", **took)


def use_of(*rows: Prediction, suite: Suite | None = None) -> ArmUse:
    (arm,) = arm_use(suite or suite_of(), {rows[0].system}, rows)
    return arm


def an_arm(system: str, **facts: Any) -> ArmUse:
    plain: dict[str, Any] = {"requests": 100, "errors": 0, "truncated": 0, "cost": 0.5}
    return ArmUse(system=system, **{**plain, "prompt_tokens": 80.0, "output_tokens": 9.0, "seconds": 0.5, **facts})


def training(seconds: float = 3600.0) -> TrainingHistory:
    return history_of((2.0, 1.0), best=1, seconds=seconds)


def test_candidate_stands_first_and_a_constrained_arm_below_the_arm_it_constrains() -> None:
    arms = arm_use(suite_of(), PRESENT, [answer(name) for name in PRESENT])
    assert [(arm.system, arm.over) for arm in arms] == [
        ("candidate", None),
        ("bare", None),
        ("hosted", None),
        ("few", None),
        ("rules", "few"),
        ("candidate@seed4", None),
    ]


def test_arms_that_are_absent_are_left_out_and_a_constrained_one_stays_where_its_own_is_absent() -> None:
    assert [arm.system for arm in arm_use(suite_of(), {"candidate", "rules", "bare"}, [])] == [
        "candidate",
        "bare",
        "rules",
    ]


def test_means_are_over_the_answered_requests_of_the_test_set() -> None:
    arm = use_of(
        answer(prompt_tokens=10, output_tokens=4, seconds=0.25),
        answer(prompt_tokens=20, output_tokens=8, seconds=0.75, stop="length"),
        failed(),
        answer(dataset="probe", prompt_tokens=900, stop="length"),
    )
    assert (arm.requests, arm.errors, arm.truncated, arm.uncounted) == (3, 1, 1, 0)
    assert (arm.prompt_tokens, arm.output_tokens, arm.seconds) == (15.0, 6.0, 0.5)


def test_a_local_arm_costs_its_seconds_at_the_price_of_the_machine() -> None:
    assert use_of(answer(seconds=0.25), answer(seconds=0.75)).cost == pytest.approx(0.5)


def test_an_endpoint_costs_its_tokens_at_its_prices_whatever_the_machine_costs() -> None:
    rows = (answer("hosted"), answer("hosted", prompt_tokens=2000, output_tokens=300))
    assert use_of(*rows).cost == pytest.approx(5.0)


@pytest.mark.parametrize("system", ["candidate", "hosted"])
def test_cost_is_not_known_when_nothing_has_a_price(system: str) -> None:
    assert use_of(answer(system), suite=suite_of(NO_PRICES, NO_TOKEN_PRICES)).cost is None


@pytest.mark.parametrize(
    ("missing", "known"),
    [({"prompt_tokens": 0}, (None, 100.0)), ({"output_tokens": 0}, (1000.0, None))],
)
def test_tokens_and_cost_are_not_known_when_a_server_left_a_count_out(
    missing: dict[str, int], known: tuple[float | None, float | None]
) -> None:
    arm = use_of(answer("hosted"), answer("hosted", **missing))
    assert (arm.prompt_tokens, arm.output_tokens) == known
    assert (arm.cost, arm.uncounted, arm.seconds) == (None, 1, 0.5)


def test_an_empty_answer_has_a_count_when_it_is_zero() -> None:
    arm = use_of(answer("hosted", text="", output_tokens=0))
    assert (arm.output_tokens, arm.uncounted) == (0.0, 0)
    assert arm.cost == pytest.approx(2.0)


@pytest.mark.parametrize("system", ["candidate", "hosted"])
def test_nothing_is_known_when_every_request_failed(system: str) -> None:
    arm = use_of(failed(system), failed(system))
    assert (arm.requests, arm.errors) == (2, 2)
    assert (arm.prompt_tokens, arm.output_tokens, arm.seconds, arm.cost) == (None, None, None, None)


@pytest.mark.parametrize("seconds", [math.nan, math.inf])
def test_a_time_is_refused_when_it_is_not_finite(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        use_of(answer(seconds=seconds))


def test_training_is_paid_back_after_as_many_requests_as_its_cost_holds_savings() -> None:
    (found,) = break_even(suite_of(), [an_arm("candidate", cost=0.5), an_arm("hosted", cost=3.0)], training())
    assert (found.endpoint, found.requests, found.unknown) == ("hosted", 1440, "")
    assert (found.training_cost, found.saving) == (pytest.approx(3.6), pytest.approx(2.5))


def test_the_request_that_pays_the_rest_back_is_counted() -> None:
    arms = [an_arm("candidate", cost=0.0), an_arm("hosted", cost=1000.0)]
    (found,) = break_even(suite_of(), arms, training(2500.0))  # 2.50 at 1.00 a request
    assert found.requests == 3


@pytest.mark.parametrize("cost", [0.5, 0.25, 0.0])
@pytest.mark.parametrize("history", [training(), None])
def test_training_is_never_paid_back_when_requests_are_not_cheaper(
    cost: float, history: TrainingHistory | None
) -> None:
    (found,) = break_even(suite_of(), [an_arm("candidate", cost=0.5), an_arm("hosted", cost=cost)], history)
    assert (found.requests, found.saving, found.unknown) == (None, cost - 0.5, "")


@pytest.mark.parametrize(
    ("changes", "candidate", "hosted", "history", "unknown"),
    [
        ((), {"cost": None}, {}, training(), "the candidate answered no request"),
        ((), {}, {"cost": None, "uncounted": 2}, training(), "the server left out token counts"),
        ((), {}, {"cost": None}, training(), "the endpoint answered no request"),
        ((), {}, {"cost": 3.0}, None, "the candidate was not trained in this run"),
    ],
)
def test_break_even_says_why_it_is_not_known(
    changes: tuple[tuple[str, str], ...],
    candidate: dict[str, Any],
    hosted: dict[str, Any],
    history: TrainingHistory | None,
    unknown: str,
) -> None:
    arms = [an_arm("candidate", **candidate), an_arm("hosted", **hosted)]
    (found,) = break_even(suite_of(*changes), arms, history)
    assert (found.requests, found.unknown) == (None, unknown)


def test_there_is_no_break_even_when_no_endpoint_has_prices() -> None:
    arms = [an_arm("candidate"), an_arm("bare"), an_arm("hosted", cost=None)]
    assert break_even(suite_of(NO_TOKEN_PRICES), arms, training()) == ()


def test_nothing_is_said_when_the_arms_are_alike() -> None:
    arms = [an_arm("candidate"), an_arm("bare", truncated=4), an_arm("few")]
    assert effort_differences(suite_of(), arms) == ()


def test_an_endpoint_says_how_its_tokens_and_seconds_are_counted() -> None:
    assert effort_differences(suite_of(), [an_arm("candidate"), an_arm("hosted")]) == (
        "hosted counts its tokens, and its limit of 48, by its server's tokenizer; its seconds are those of one "
        "request with the network, up to 4 at a time, those of a local arm a share of its batch of up to 16",
    )


def test_an_endpoint_says_that_its_draws_are_its_own_when_answers_are_drawn() -> None:
    suite = suite_of(("batch_size: 16", "batch_size: 16, temperature: 0.7"))
    told = effort_differences(suite, [an_arm("candidate"), an_arm("hosted")])
    assert told[1:] == ("hosted draws its answers with its server's random numbers, local arms all with the same",)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("smollm2-360m-instruct", "smollm2-360m-instruct"),
        ("{path: models/other}", "models/other"),
        (f"{{hub: org/other, revision: {'0123456789abcdef' * 2}01234567}}", "org/other at 0123456"),
    ],
)
def test_an_arm_with_a_model_of_its_own_names_it(model: str, named: str) -> None:
    suite = suite_of(("few: {kind: few_shot, shots: 2}", f"few: {{kind: prompt, model: {model}}}"))
    assert effort_differences(suite, [an_arm("candidate"), an_arm("few")]) == (
        f"few has a model of its own, {named} instead of smollm2-135m-instruct, "
        "and counts tokens by that model's tokenizer",
    )


@pytest.mark.parametrize(
    ("grammar", "named"),
    [
        ("", "the JSON Schema"),
        (", lark: answer.lark", "the grammar answer.lark"),
        (", regex: 'a|b'", "a regular expression"),
    ],
)
def test_a_constrained_arm_says_what_holds_it(grammar: str, named: str) -> None:
    suite = suite_of(("over: few}", f"over: few{grammar}}}"))
    assert effort_differences(suite, [an_arm("candidate"), an_arm("few"), an_arm("rules", over="few")]) == (
        f"rules is few held to {named} while it answers; few answers freely",
    )


def test_failed_requests_and_missing_counts_are_said() -> None:
    arms = [an_arm("candidate", errors=1), an_arm("bare", requests=1200, errors=200, uncounted=3)]
    assert effort_differences(suite_of(), arms) == (
        "1 of 100 requests of candidate failed; its means leave them out",
        "200 of 1,200 requests of bare failed; its means leave them out",
        "the server of bare did not report the tokens of 3 of 1,000 answers, so that its mean tokens and its cost "
        "are not known",
    )


def test_an_arm_that_was_cut_off_far_more_than_another_is_said() -> None:
    arms = [an_arm("candidate", truncated=25, requests=210, errors=10), an_arm("bare", truncated=4), an_arm("few")]
    told = [sentence for sentence in effort_differences(suite_of(), arms) if "cut off" in sentence]
    assert told == ["25 of 200 answers of candidate were cut off at the limit of 48 tokens, 0 of 100 of few"]


def test_a_judged_run_has_its_arms_in_every_report(tmp_path: Path) -> None:
    fixture = Fixture(suite_text=SUITE + "prices: {currency: EUR, machine_hour: 0.36}\n", n_test=40, n_probe=20)
    folder = fixture.write(tmp_path / "run")
    record = judge_run(folder, lambda: datetime(2026, 1, 2, tzinfo=UTC)).record
    assert [(arm.system, arm.requests, arm.prompt_tokens) for arm in record.arms] == [
        ("candidate", 40, 12.0),
        ("bare", 40, 12.0),
    ]
    assert (record.currency, record.break_even, record.differences) == ("EUR", (), ())
    assert record.arms[0].cost == pytest.approx(0.001)
    assert json.loads((folder / "metrics.json").read_text())["use.cost_per_1000.bare"] == pytest.approx(0.001)
    for name in ("report.html", "summary.md"):
        assert "Cost of 1,000 (EUR)" in (folder / name).read_text(encoding="utf-8")


def test_a_classifier_writes_no_token_and_its_use_is_known() -> None:
    arm = use_of(answer(output_tokens=0), answer(output_tokens=0))
    assert (arm.uncounted, arm.output_tokens) == (0, 0.0) and arm.cost is not None
