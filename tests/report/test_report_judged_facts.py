"""What the judge computes for the report alone: keywords, detectable effects, lengths, judged pairs, past runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from evidence_factory import INVALID, LABELS, SUITE, Fixture, history_of

from harness.findings import RunRecord
from harness.judge import build_record, judge_run
from harness.records import Prediction, Preference, RunManifest
from harness.stats.power import smallest_detectable_gain
from harness.store.facts import read_record, to_plain
from harness.store.ledger import Look
from harness.store.runs import MANIFEST, finish_run, read_run
from harness.suite.load import parse_suite

NOW = datetime(2026, 1, 2, tzinfo=UTC)
JUDGED = SUITE.replace(
    "benchmarks:",
    "judges:\n  strict: {rubric: rubric.txt, base_url: http://localhost:1/v1, model: some/model}\nbenchmarks:",
) + ("  - {kind: preferred, judge: strict}\n")
SMALL: dict[str, Any] = {"n_test": 40, "n_probe": 20, "questions": 40}


def record_of(folder: Path, fixture: Fixture, schema: dict[str, Any] | None = None) -> RunRecord:
    run = read_run(fixture.write(folder))
    loaded = parse_suite(run.suite_text, folder / "suite.yaml", {}, files=False)
    return build_record(run if schema is None else replace(run, schema=schema), loaded, NOW)


def probed(*texts: str) -> Callable[[list[Prediction]], list[Prediction]]:
    """Gives the first probes these answers."""

    def edit(rows: list[Prediction]) -> list[Prediction]:
        answers = dict(zip((f"probe-{place}" for place in range(len(texts))), texts, strict=True))
        return [replace(row, text=answers.get(row.example_id, row.text)) for row in rows]

    return edit


def problems(record: RunRecord) -> dict[tuple[str, str, str], int]:
    return {(item.system, item.keyword, item.path): item.count for item in record.schema_problems}


def test_schema_problems_are_counted_by_keyword_and_path(tmp_path: Path) -> None:
    texts = ('{"label":"c"}', '{"label":"d"}', "{}", '{"label":"a","more":1}', '{"label":"c","more":1}', INVALID, "[1]")
    found = record_of(tmp_path / "run", Fixture(**SMALL, edit_predictions=probed(*texts)))
    assert problems(found) == {
        ("candidate", "enum", "$.label"): 3,
        ("candidate", "additionalProperties", "$"): 2,
        ("candidate", "required", "$"): 1,
        ("candidate", "not JSON", "$"): 1,
        ("candidate", "type", "$"): 1,
    }
    assert [item.count for item in found.schema_problems] == [3, 2, 1, 1, 1]
    assert found.schema_problems[0].example == "'c' is not one of ['a', 'b']"
    assert next(item.example for item in found.schema_problems if item.keyword == "not JSON").startswith("not JSON: ")


def test_places_in_an_array_are_one_path(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"items": {"type": "array", "items": {"required": ["price"]}}}}
    answer = json.dumps({"items": [{"price": 1}, {}, *[{}] * 10]})
    found = record_of(tmp_path / "run", Fixture(**SMALL, edit_predictions=probed(answer)), schema)
    assert problems(found) == {("candidate", "required", "$.items[*]"): 11}


def test_every_invalid_answer_has_a_problem_and_no_valid_one(tmp_path: Path) -> None:
    found = record_of(tmp_path / "run", Fixture(**SMALL, invalid_probes=7))
    assert problems(found) == {("candidate", "not JSON", "$"): 7}
    assert record_of(tmp_path / "other", Fixture(**SMALL)).schema_problems == ()


@pytest.mark.parametrize(
    ("keyword", "schema", "text"),
    [
        ("not judged", {"properties": {"a": {"multipleOf": 0.1}}}, '{"a": 1' + "0" * 400 + "}"),
        ("multipleOf", {"properties": {"a": {"multipleOf": 0.5}}}, '{"a": 1.3}'),
        ("format", {"properties": {"a": {"format": "date"}}}, '{"a": "tomorrow"}'),
    ],
)
def test_a_keyword_is_named_as_the_validator_judges_it(
    tmp_path: Path, keyword: str, schema: dict[str, Any], text: str
) -> None:
    found = record_of(tmp_path / "run", Fixture(**SMALL, edit_predictions=probed(text)), schema)
    assert [item.keyword for item in found.schema_problems] == [keyword]


@pytest.mark.parametrize(("n", "period"), [(200, 10), (400, 4), (1000, 5)])
def test_the_detectable_gain_is_that_of_the_exact_power_of_the_test(tmp_path: Path, n: int, period: int) -> None:
    # Both right on all examples but one in `period`, of which each side gets one half.
    sides = {"candidate_right": lambda i: i % period != 0, "baseline_right": lambda i: i % period != 1}
    record = record_of(tmp_path / "run", Fixture(n_test=n, n_probe=20, questions=40, **sides))
    exact = smallest_detectable_gain(n, 2 / period, 0.05)
    assert exact is not None
    assert record.detectable["better_than/exact_match/bare"] == pytest.approx(exact, rel=0.1)


def test_detectable_effects_are_those_of_differences_that_have_an_interval(tmp_path: Path) -> None:
    record = record_of(tmp_path / "run", Fixture(**SMALL))
    assert record.detectable.keys() == {"better_than/exact_match/bare", "benchmark_drop/general"}


def test_a_budget_of_looks_makes_effects_harder_to_detect(tmp_path: Path) -> None:
    budget = SUITE + "statistics: {holdout_budget: 10}\n"
    name = "better_than/exact_match/bare"
    free = record_of(tmp_path / "free", Fixture(**SMALL)).detectable[name]
    assert record_of(tmp_path / "budget", Fixture(**SMALL, suite_text=budget)).detectable[name] > free


def test_lengths_are_quartiles_of_each_arm_and_of_the_references(tmp_path: Path) -> None:
    def stretch(rows: list[Prediction]) -> list[Prediction]:
        return [
            replace(row, text="x" * (int(row.example_id.removeprefix("test-")) + 1)) if row.system == "bare" else row
            for row in rows
        ]

    found = {
        item.system: item for item in record_of(tmp_path / "run", Fixture(**SMALL, edit_predictions=stretch)).lengths
    }
    assert list(found) == ["candidate", "bare", "the references"]
    assert found["bare"].quartiles == (1, 10.75, 20.5, 30.25, 40)
    assert found["the references"].quartiles == (len(LABELS[0]),) * 5
    assert {item.n for item in found.values()} == {40}


def test_failed_answers_have_no_length(tmp_path: Path) -> None:
    def fail(rows: list[Prediction]) -> list[Prediction]:
        first = [row for row in rows if row.system == "candidate" and row.dataset == "test"][:30]
        return [replace(row, text="", stop="error", error="gone") if row in first else row for row in rows]

    found = {item.system: item for item in record_of(tmp_path / "run", Fixture(**SMALL, edit_predictions=fail)).lengths}
    assert found["candidate"].n == 10 and found["candidate"].quartiles[0] > 0


def preferences(orders: Sequence[tuple[int, int] | None]) -> tuple[Preference, ...]:
    return tuple(
        Preference(
            judge="strict",
            baseline="bare",
            example_id=f"test-{place}",
            shown_first=None if both is None else both[0],  # type: ignore[arg-type]
            shown_second=None if both is None else both[1],  # type: ignore[arg-type]
            error="no choice" if both is None else None,
        )
        for place, both in enumerate(orders)
    )


def test_judged_pairs_are_counted_over_both_orders(tmp_path: Path) -> None:
    orders = [(1, 1), (1, 0), (1, -1), (0, 0), (-1, -1), (-1, 0), (0, -1), None]
    fixture = Fixture(
        **{**SMALL, "n_test": 8},
        suite_text=JUDGED,
        candidate_right=lambda i: True,
        baseline_right=lambda i: False,
        preferences=preferences(orders),
    )
    (found,) = record_of(tmp_path / "run", fixture).judged_pairs
    assert (found.judge, found.baseline) == ("strict", "bare")
    assert (found.candidate_preferred, found.tied, found.baseline_preferred, found.missing) == (2, 2, 3, 1)
    assert (found.asked, found.agreeing) == (7, 3)


def test_equal_answers_are_ties_and_no_agreement_of_a_judge(tmp_path: Path) -> None:
    fixture = Fixture(
        **{**SMALL, "n_test": 8},
        suite_text=JUDGED,
        candidate_right=lambda i: True,
        baseline_right=lambda i: i < 6,
        preferences=preferences([(0, 0)] * 6 + [(1, 1), (1, -1)]),
    )
    (found,) = record_of(tmp_path / "run", fixture).judged_pairs
    assert (found.candidate_preferred, found.tied, found.asked, found.agreeing) == (1, 7, 2, 1)


def test_trainings_beside_the_candidates_are_read_back(tmp_path: Path) -> None:
    folder = Fixture(**SMALL).write(tmp_path / "run")
    (folder / "trained" / "wide").mkdir(parents=True)
    (folder / "trained" / "wide" / "adapter_config.json").write_text("{}")
    history = history_of((2.0, 1.5), best=1, method="rslora")
    (folder / "histories").mkdir()
    (folder / "histories" / "wide.v2.json").write_text(json.dumps(to_plain(history)))
    finish_run(folder, read_record(RunManifest, folder / MANIFEST))
    assert judge_run(folder, lambda: NOW).record.trainings == {"wide.v2": history}


def test_subjects_are_summed_up_beside_the_whole_benchmark(tmp_path: Path) -> None:
    record = record_of(tmp_path / "run", Fixture(**SMALL))
    found = {(item.system, item.tag): item.estimate for item in record.benchmark_summaries}
    assert Counter(tag for _, tag in found) == {None: 2, "first": 2, "second": 2}
    outcomes = next(result.outcomes for result in record.benchmarks if result.system == "candidate")
    first = [outcome.correct for outcome in outcomes if outcome.subject == "first"]
    assert found["candidate", "first"].value == sum(first) / len(first)
    assert found["candidate", "first"].n == len(first) == 20


# --- earlier runs ----------------------------------------------------------------------------------------------------


def judged(folder: Path, right: int = 9, **options: Any) -> RunRecord:
    fixture = Fixture(**SMALL, candidate_right=lambda i: i % 10 < right)
    return judge_run(fixture.write(folder), lambda: NOW, **options).record


def test_earlier_runs_are_those_of_the_folders_beside_it(tmp_path: Path) -> None:
    judged(tmp_path / "20260101-090000-a", right=2)
    judged(tmp_path / "20260101-100000-a", right=8)
    record = judged(tmp_path / "20260101-110000-a")
    assert [(run.run_id, run.value) for run in record.earlier] == [
        ("20260101-090000-a", 0.2),
        ("20260101-100000-a", 0.8),
    ]
    assert [run.decision for run in record.earlier] == ["hold", "undecided"]


def test_a_run_knows_nothing_of_later_ones_when_it_is_judged_again(tmp_path: Path) -> None:
    judged(tmp_path / "20260101-090000-a", right=2)
    first = judged(tmp_path / "20260101-100000-a")
    judged(tmp_path / "20260101-110000-a")
    again = judge_run(tmp_path / "20260101-100000-a", lambda: NOW).record
    assert [run.run_id for run in again.earlier] == ["20260101-090000-a"]
    assert again.earlier == first.earlier


@pytest.mark.parametrize("change", [{"suite": "another"}, {"digests": {"test.jsonl": "u" * 64}}])
def test_runs_of_another_suite_or_test_set_are_no_history(tmp_path: Path, change: dict[str, Any]) -> None:
    before = tmp_path / "20260101-090000-a"
    judged(before)
    manifest = json.loads((before / MANIFEST).read_text())
    (before / MANIFEST).write_text(json.dumps(manifest | change))
    assert judged(tmp_path / "20260101-100000-a").earlier == ()


@pytest.mark.parametrize("damaged", ["verdict.json", "metrics.json", MANIFEST])
def test_a_damaged_neighbour_is_passed_over(tmp_path: Path, damaged: str) -> None:
    before = tmp_path / "20260101-090000-a"
    judged(before)
    (before / damaged).write_text('{"half": ')
    assert judged(tmp_path / "20260101-100000-a").earlier == ()


def test_looks_of_runs_that_are_gone_are_history_without_a_score(tmp_path: Path) -> None:
    registry = tmp_path / "baselines"
    looks = [
        Look(
            test_digest=test * 64,
            candidate_digest="e" * 64,
            suite_digest="s" * 64,
            run_id=run,
            judged="2025-12-31",
            decision="hold",
        )
        for test, run in (("t", "20251231-090000-a"), ("u", "20251231-100000-a"))
    ]
    (registry / "fixture").mkdir(parents=True)
    (registry / "fixture" / "looks.jsonl").write_text("".join(json.dumps(to_plain(look)) + "\n" for look in looks))
    record = judged(tmp_path / "reports" / "20260101-090000-a", registry=registry)
    assert [(run.run_id, run.decision, run.value) for run in record.earlier] == [("20251231-090000-a", "hold", None)]
