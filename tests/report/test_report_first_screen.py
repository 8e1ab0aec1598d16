"""What changed, trust and identity, as the page model says them."""

from __future__ import annotations

import dataclasses
import io
import re
from typing import Any

import lxml.html
import pytest
from record_factory import BASELINES, CANDIDATE, complete, make_record
from rich.console import Console

from harness.findings import LookCount, RunRecord
from harness.report.html import render_html
from harness.report.markdown import render_markdown
from harness.report.page import Fact
from harness.report.terminal import print_summary
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


def without_checks(record: RunRecord, *kinds: str) -> RunRecord:
    left = tuple(check for check in record.verdict.checks if check.kind not in kinds)
    return dataclasses.replace(record, verdict=dataclasses.replace(record.verdict, checks=left))


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (("benchmark_drop",), "general ability"),
        (("valid_output",), "valid output"),
        (("benchmark_drop", "valid_output"), "general ability, valid output"),
    ],
)
def test_trust_names_what_no_check_asks_for(missing: tuple[str, ...], told: str) -> None:
    assert trust(without_checks(make_record(rows=4, probes=2), *missing))["Not checked"] == told


@pytest.mark.parametrize("kind", ["benchmark_drop", "logprob_drop", "kl_divergence"])
def test_nothing_is_named_as_not_checked_when_all_is(kind: str) -> None:
    record = make_record(rows=4, probes=2)
    checks = tuple(
        dataclasses.replace(check, kind=kind) if check.kind == "benchmark_drop" else check
        for check in record.verdict.checks
    )
    assert "Not checked" not in trust(
        dataclasses.replace(record, verdict=dataclasses.replace(record.verdict, checks=checks))
    )


def test_a_check_that_does_not_block_leaves_its_ability_not_checked() -> None:
    record = make_record(rows=4, probes=2)
    checks = tuple(
        dataclasses.replace(check, blocking=check.kind != "benchmark_drop") for check in record.verdict.checks
    )
    page = build_page(dataclasses.replace(record, verdict=dataclasses.replace(record.verdict, checks=checks)))
    (fact,) = (fact for fact in page.trust if fact.label == "Not checked")
    assert fact.value == "general ability"
    assert fact.whole == "No blocking check asks for: general ability (benchmark_drop or logprob_drop or kl_divergence)"


def against(record: RunRecord, **changes: Any) -> str:
    """What the first check of the record, with these fields, says of its baseline."""
    check = dataclasses.replace(record.verdict.checks[0], **changes)
    page = build_page(dataclasses.replace(record, verdict=dataclasses.replace(record.verdict, checks=(check,))))
    return page.checks[0].against


def test_a_gain_tells_the_scores_that_the_arm_table_shows() -> None:
    page = build_page(make_record())
    shown = {arm.name: arm.scores[0].value for arm in page.arms.rows if arm.scores[0] is not None}
    assert {check.baseline: check.against for check in page.checks if check.kind == "better_than"} == {
        name: f"{shown[CANDIDATE]} against {name}'s {shown[name]}" for name in BASELINES
    }


def test_a_gain_on_a_slice_tells_the_scores_on_that_slice() -> None:
    record = make_record()
    page = build_page(record)
    (table,) = (table for table in page.tag_scores if table.title == "shifted")
    place = [(column.dataset, column.scorer) for column in table.columns].index(("test", "rouge_l"))
    cells = {row.system: row.cells[place] for row in table.rows}
    ours, theirs = cells[CANDIDATE], cells["few-shot"]
    assert ours is not None and theirs is not None
    told = against(record, name="hard-ones/rouge_l/few-shot[shifted]", baseline="few-shot")
    assert told == f"{ours.value} against few-shot's {theirs.value}"


def test_a_gain_says_so_when_scores_are_missing_that_count_against_the_candidate() -> None:
    assert re.fullmatch(
        r"[0-9.]+ % \(2 without a score\) against prompt-only's [0-9.]+ %", against(make_record(errors=2))
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "better_than/exact_match/absent", "baseline": "absent"},
        {"name": "better_than/macro_f1/few-shot", "baseline": "few-shot"},
        {"name": "better_than/exact_match/few-shot[unknown]", "baseline": "few-shot"},
        {"kind": "recipe_better_than"},
    ],
)
def test_no_score_is_told_when_it_is_not_known(changes: dict[str, str]) -> None:
    record = make_record(rows=4, probes=2)
    baseline = changes.get("baseline", record.verdict.checks[0].baseline)
    assert against(record, **changes) == f"against {baseline}"


def test_every_rendering_shows_the_scores_and_what_was_not_checked() -> None:
    page = build_page(without_checks(make_record(), "benchmark_drop"))
    told = next(check.against for check in page.checks if check.baseline == "few-shot")
    document = lxml.html.document_fromstring(render_html(page).encode())
    (section,) = document.xpath("//section[@id='checks']")
    (beside,) = document.xpath("//div[@class='beside']")
    assert told in section.text_content()
    assert "Not checkedgeneral ability" in "".join(beside.text_content().split("\n"))
    console = Console(file=io.StringIO(), width=200)
    print_summary(page, console)
    for text in (render_markdown(page), console.file.getvalue()):  # type: ignore[attr-defined]
        assert told in text
        assert "Not checked: general ability · " in text
