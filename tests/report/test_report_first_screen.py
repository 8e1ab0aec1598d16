"""What changed, trust and identity, as the page model says them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from record_factory import CANDIDATE, complete, make_record

from harness.findings import LookCount, RunRecord
from harness.report.page import Fact
from harness.report.view import build_page


def facts(of: tuple[Fact, ...]) -> dict[str, str]:
    return {fact.label: fact.value for fact in of}


def trust(record: RunRecord) -> dict[str, str]:
    return facts(build_page(record).trust)


def with_manifest(**changes: Any) -> RunRecord:
    record = make_record(rows=4, probes=2)
    return dataclasses.replace(record, manifest=dataclasses.replace(record.manifest, **changes))


def test_highlights_are_about_the_baseline_with_the_smallest_gain() -> None:
    record = make_record("hold")
    page = build_page(record)
    closest = min((item for item in record.comparisons if item.tag is None), key=lambda item: item.delta.value)
    assert page.highlights is not None
    assert page.closest == page.highlights.baseline == closest.baseline == "previous"
    assert page.highlights.worse.count == f"{closest.losses} examples"
    assert page.highlights.better.count == f"{closest.wins} examples"


def test_highlights_show_the_three_largest_changes_of_each_side() -> None:
    page = build_page(make_record("hold"))
    change = next(item for item in page.changes if item.baseline == page.closest)
    assert page.highlights is not None
    assert page.highlights.worse.worst == change.worse[:3]
    assert page.highlights.better.worst == change.better[:3]


def test_slices_with_the_largest_net_movement_come_first_and_those_without_any_are_left_out() -> None:
    record = make_record("hold")
    moved = {"plain": (3, 8), "shifted": (0, 9)}  # tag -> better, worse
    comparisons = tuple(
        dataclasses.replace(item, wins=moved[item.tag][0], losses=moved[item.tag][1]) if item.tag else item
        for item in record.comparisons
    )
    page = build_page(dataclasses.replace(record, comparisons=comparisons))
    assert page.highlights is not None
    assert page.highlights.worse.slices == ("shifted: 9 of 30", "plain: 8 of 90")
    assert page.highlights.better.slices == ("plain: 3 of 90",)


def test_there_are_no_highlights_when_nothing_was_compared() -> None:
    assert build_page(dataclasses.replace(make_record(rows=4, probes=2), comparisons=())).highlights is None


def test_trust_counts_every_example_and_every_failed_answer() -> None:
    found = trust(make_record("hold", errors=2))
    assert found["Examples"] == "120 test, 200 probe, 240 general"
    assert found["Failed"] == "2 of 800 answers"
    assert found["Truncated"] == "0 training rows"


def test_detectable_effects_are_one_range_for_all_baselines_of_a_check() -> None:
    record = make_record()
    names = [check.name for check in record.verdict.checks]
    detectable = {names[0]: 0.083, names[1]: 0.121, "benchmark_drop/general": 0.039}
    page = build_page(dataclasses.replace(record, detectable=detectable))
    assert facts(page.trust)["Detectable"] == "8.3 to 12.1 points on exact_match, 3.9 points on general"
    assert {check.name: check.detectable for check in page.checks if check.detectable} == {
        names[0]: "8.3 points",
        names[1]: "12.1 points",
        "benchmark_drop/general": "3.9 points",
    }


def test_no_effect_is_named_when_none_was_computed() -> None:
    assert trust(dataclasses.replace(make_record(rows=4, probes=2), detectable={}))["Detectable"] == "–"


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        (None, "not counted"),
        (LookCount(number=3, budget=None, recorded=True), "3 at this test set"),
        (LookCount(number=3, budget=10, recorded=True), "3 of 10 allowed at this test set"),
        (LookCount(number=1, budget=None, recorded=False), "1 at this test set; earlier ones were not counted"),
    ],
)
def test_looks_are_told_with_their_budget_and_whether_they_were_counted(looks: LookCount | None, told: str) -> None:
    assert trust(dataclasses.replace(make_record(rows=4, probes=2), looks=looks))["Looks"] == told


def test_further_seeds_are_counted_and_other_trainings_are_not() -> None:
    assert trust(make_record(rows=4, probes=2))["Seeds"] == "17"
    assert trust(complete(make_record(rows=4, probes=2)))["Seeds"] == "17 and 1 further training"


def test_truncated_rows_are_counted_when_some_were_cut() -> None:
    record = make_record(rows=4, probes=2)
    assert record.training is not None
    cut = dataclasses.replace(record, training=dataclasses.replace(record.training, truncated_rows=3))
    assert trust(cut)["Truncated"] == "3 training rows, cut at the length limit"


def test_essentials_shorten_digests_and_keep_them_whole_beside() -> None:
    found = {fact.label: fact for fact in build_page(make_record(rows=4, probes=2)).essentials}
    assert list(found) == ["Adapter", "Base", "Suite", "test.jsonl", "Commit", "Cost", "Time"]
    assert (found["Adapter"].value, found["Adapter"].whole) == ("ef56ef56ef", "sha256:" + "ef56" * 16)
    assert (found["test.jsonl"].value, found["test.jsonl"].whole) == ("0a9b0a9b0a", "sha256:" + "0a9b" * 16)
    assert found["Commit"].value == "4f0d3c2b1a with uncommitted changes"
    assert found["Cost"].value == "38,912 tokens trained, 21,040 generated, 148,220 read"
    assert found["Time"].value == "6 min 30 s, until 2026-01-05 12:40 UTC"


def test_essentials_say_so_when_there_is_no_commit() -> None:
    record = with_manifest(git_commit=None, git_dirty=False)
    assert facts(build_page(record).essentials)["Commit"] == "none"


def test_an_accepted_check_says_so_and_why() -> None:
    record = make_record("undecided")
    checks = tuple(
        dataclasses.replace(check, accepted="the set is small by design") if check.status == "undecided" else check
        for check in record.verdict.checks
    )
    page = build_page(dataclasses.replace(record, verdict=dataclasses.replace(record.verdict, checks=checks)))
    assert (page.checks[0].status_text, page.checks[0].accepted) == (
        "Undecided, accepted",
        "the set is small by design",
    )


def test_the_adapter_is_that_of_the_candidate_and_of_no_baseline() -> None:
    digests = {f"adapter:{CANDIDATE}": "sha256:" + "1" * 64, "adapter:previous": "sha256:" + "2" * 64}
    found = {fact.label: fact.whole for fact in build_page(with_manifest(digests=digests)).essentials}
    assert found["Adapter"] == "sha256:" + "1" * 64
    assert list(found) == ["Adapter", "Commit", "Cost", "Time"]
