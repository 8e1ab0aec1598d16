"""Slices, subjects, schema errors, lengths, calibration, judges, trainings and earlier runs in the page model."""

from __future__ import annotations

import dataclasses

import pytest
from record_factory import BASELINES, CANDIDATE, SYSTEMS, complete, make_record

from harness.findings import AnswerLengths, CalibrationBin, CalibrationResult, PastRun, SchemaProblem
from harness.records import BASE_MODEL
from harness.report.view import build_page


def test_slices_show_the_candidate_and_its_gain_over_every_baseline() -> None:
    record = make_record("hold")
    (table,) = build_page(record).slices
    assert (table.scorer, table.baselines) == ("exact_match", BASELINES)
    assert {row.tag: row.n for row in table.rows} == {"plain": "90", "shifted": "30"}
    for row in table.rows:
        wins = [item.wins for item in record.comparisons if item.tag == row.tag]
        assert [gain.wins for gain in row.gains if gain] == [str(count) for count in wins]
        assert row.score is not None and row.score.n == row.n


def test_the_slice_on_which_most_is_lost_comes_first() -> None:
    record = make_record("hold")
    lost = tuple(
        dataclasses.replace(item, delta=dataclasses.replace(item.delta, value=-0.9, low=-0.95, high=-0.8))
        if item.tag == "shifted" and item.baseline == "engineered"
        else item
        for item in record.comparisons
    )
    (table,) = build_page(dataclasses.replace(record, comparisons=lost)).slices
    assert [row.tag for row in table.rows] == ["shifted", "plain"]


def test_wide_intervals_of_slices_do_not_squeeze_those_over_all_rows() -> None:
    record = make_record("hold")
    wide = tuple(
        dataclasses.replace(item, delta=dataclasses.replace(item.delta, low=-0.9, high=0.99)) if item.tag else item
        for item in record.comparisons
    )
    rows = build_page(dataclasses.replace(record, comparisons=wide)).comparisons
    assert max(row.bar.axis_high for row in rows if not row.tag) < 0.8
    assert min(row.bar.axis_high for row in rows if row.tag) > 0.99


def test_each_subject_has_a_bar_for_each_system() -> None:
    record = make_record()
    (benchmark,) = build_page(record).benchmarks
    food = next(row for row in benchmark.subjects if row.subject == "food")
    estimates = {item.system: item.estimate for item in record.benchmark_summaries if item.tag == "food"}
    assert [(bar.low, bar.value, bar.high) for bar in food.bars if bar] == [
        (estimates[name].low, estimates[name].value, estimates[name].high) for name in (CANDIDATE, BASE_MODEL)
    ]


def test_schema_errors_stand_by_system_with_keyword_path_and_count() -> None:
    rows = build_page(make_record()).schema_errors
    assert [(row.system, row.keyword, row.path, row.count) for row in rows] == [
        (CANDIDATE, "enum", "$.category", "1"),
        ("prompt-only", "not JSON", "$", "188"),
        ("prompt-only", "required", "$", "7"),
    ]
    assert rows[0].example == "'delivery' is not one of the labels"


def test_schema_errors_are_few_and_short_however_many_kinds_there_are() -> None:
    problems = tuple(
        SchemaProblem(system=CANDIDATE, keyword="type", path=f"$.f{place}", count=90 - place, example="x" * 900)
        for place in range(40)
    )
    rows = build_page(dataclasses.replace(make_record(rows=4, probes=2), schema_problems=problems)).schema_errors
    assert [row.path for row in rows] == [f"$.f{place}" for place in range(12)]
    assert rows[0].example == "x" * 160 + "… (740 more characters)"


def test_lengths_stand_in_the_order_of_the_arms_and_the_references_last() -> None:
    rows = build_page(make_record()).lengths
    assert [row.system for row in rows] == [*SYSTEMS, "the references"]
    assert [row.is_candidate for row in rows] == [True, *[False] * 5]
    assert len({row.axis_high for row in rows}) == 1


def test_lengths_are_told_as_five_numbers() -> None:
    lengths = (AnswerLengths(system=CANDIDATE, n=3, quartiles=(3.0, 10.5, 20.0, 1234.0, 2000.0)),)
    (row,) = build_page(dataclasses.replace(make_record(rows=4, probes=2), lengths=lengths)).lengths
    assert row.texts == ("3", "10.5", "20", "1,234", "2,000")
    assert (
        row.description == "Half of the answers have 10.5 to 1,234 characters, the median is 20, all have 3 to 2,000."
    )


def test_calibration_is_told_bin_by_bin() -> None:
    bins = (
        CalibrationBin(low=0.6, high=0.7, n=10, confidence=0.66, accuracy=0.5),
        CalibrationBin(low=0.9, high=1.0, n=40, confidence=0.97, accuracy=0.9),
    )
    found = CalibrationResult(system=CANDIDATE, scorer="brier", ece=0.0881, n=50, missing=1, bins=bins)
    (view,) = build_page(dataclasses.replace(make_record(rows=4, probes=2), calibrations=(found,))).calibrations
    assert (view.ece, view.n, view.missing) == ("0.0881", "50", "1 answer without a confidence")
    assert [(row.bin, row.n, row.confidence_text, row.accuracy_text, row.weight) for row in view.rows] == [
        ("60.0 % to 70.0 %", "10", "66.0 %", "50.0 %", 0.25),
        ("90.0 % to 100.0 %", "40", "97.0 %", "90.0 %", 1.0),
    ]


def test_judges_are_told_by_counts_shares_and_the_agreement_of_both_orders() -> None:
    first, second = build_page(complete(make_record())).judged_pairs
    assert (first.judge, first.baseline, first.agreement) == ("tone", "prompt-only", "101 of 108 pairs")
    assert (first.preferred, first.tied, first.against, first.missing) == (
        "97 (80.8 %)",
        "12 (10.0 %)",
        "11 (9.2 %)",
        "",
    )
    assert second.missing == "2 (1.7 %)" and "no usable reply 2 (1.7 %)" in second.description
    assert sum(second.shares) == pytest.approx(1)


def test_other_trainings_stand_beside_that_of_the_candidate() -> None:
    page = build_page(complete(make_record()))
    assert page.training is not None and page.training.system == CANDIDATE
    assert [training.system for training in page.other_trainings] == ["tuned-fully", f"{CANDIDATE}@seed18"]
    assert page.other_trainings[0].facts[0].value == "full fine-tuning"


def test_history_ends_with_this_run_and_keeps_runs_without_a_score() -> None:
    record = complete(make_record("ship"))
    history = build_page(record).history
    assert history is not None and history.scorer == "exact_match"
    assert [point.word for point in history.points] == ["Hold", "Undecided", "Ship", "Hold", "Ship", "Ship"]
    assert [point.score for point in history.points[:4]] == ["31.0 %", "55.0 %", "68.0 %", "–"]
    assert [point.is_this for point in history.points] == [False] * 5 + [True]
    assert history.points[-1].value == record.summaries[0].estimate.value


def test_there_is_no_history_when_no_earlier_run_is_known() -> None:
    assert build_page(make_record(rows=4, probes=2)).history is None


def test_history_shows_the_last_thirty_runs_when_there_were_more() -> None:
    runs = tuple(PastRun(run_id=f"run-{place:03}", decision="hold", value=0.5) for place in range(100))
    history = build_page(dataclasses.replace(make_record(rows=4, probes=2), earlier=runs)).history
    assert history is not None
    assert [point.run_id for point in history.points][:2] == ["run-071", "run-072"] and len(history.points) == 30


def test_a_decision_of_another_version_is_shown_as_it_is() -> None:
    runs = (PastRun(run_id="run-1", decision="maybe", value=0.5),)
    history = build_page(dataclasses.replace(make_record(rows=4, probes=2), earlier=runs)).history
    assert history is not None
    assert (history.points[0].word, history.points[0].symbol, history.points[0].decision) == ("maybe", "–", None)
