"""What the report says of test rows that stand among the training rows, in every rendering."""

from __future__ import annotations

import dataclasses
import io

import lxml.html
import pytest
from record_factory import leaky, make_record, priced
from rich.console import Console

from harness.findings import CleanSubset, RunRecord
from harness.records import LeakSearch
from harness.report.html import render_html
from harness.report.markdown import render_markdown
from harness.report.metrics import flat_metrics
from harness.report.page_sections import LeakageView
from harness.report.terminal import print_summary
from harness.report.view import build_page


def trust(record: RunRecord) -> dict[str, str]:
    return {fact.label: fact.value for fact in build_page(record).trust}


def view(record: RunRecord) -> LeakageView:
    found = build_page(record).leakage
    assert found is not None
    return found


def clean(record: RunRecord) -> CleanSubset:
    assert record.clean is not None
    return record.clean


def score(record: RunRecord, system: str) -> float:
    """Over the rows behind the first two, by hand."""
    ids = {example.id for example in record.examples["test"][2:]}
    values = [
        item.result.value  # type: ignore[union-attr]
        for item in record.scores
        if (item.system, item.scorer, item.dataset) == (system, "exact_match", "test") and item.example_id in ids
    ]
    return sum(values) / len(values)


def test_what_was_looked_for_is_told_when_nothing_was_found() -> None:
    page = build_page(make_record())
    leakage = next(fact for fact in page.trust if fact.label == "Leakage")
    assert leakage.value == (
        "none of 120 test rows found among 297 training rows (exact, disguised, contained, near copies)"
    )
    assert "look-alike letters" in leakage.whole
    assert "Clean subset" not in trust(make_record()) and page.leakage is None


def test_it_is_not_claimed_that_there_is_no_leak_when_the_adapter_was_trained_elsewhere() -> None:
    record = make_record(trained=False)
    assert trust(record)["Leakage"] == (
        "none of 120 test rows found among the suite's 297 training rows (exact, disguised, contained, near copies); "
        "what the adapter was trained on is not known"
    )
    assert trust(leaky(record))["Leakage"] == (
        "2 of 120 test rows found among the suite's 297 training rows, 1 for sure; "
        "what the adapter was trained on is not known"
    )
    nothing = dataclasses.replace(record, leaks=LeakSearch(compared=0, leaks=()))
    assert trust(nothing)["Leakage"] == (
        "not looked for: the suite has no training rows, and what the adapter was trained on is not known"
    )
    assert not [name for name in flat_metrics(nothing) if name.startswith("leakage")]


def test_the_score_on_the_clean_subset_stands_beside_the_full_one() -> None:
    record = leaky(make_record())
    facts = trust(record)
    assert facts["Leakage"] == "2 of 120 test rows found among 297 training rows, 1 for sure"
    assert facts["Clean subset"] == f"118 rows: candidate {100 * score(record, 'candidate'):.1f} % (full 88.3 %)"


def test_every_system_is_shown_on_the_clean_subset_with_the_gain_over_it() -> None:
    record = leaky(priced(make_record("hold")))
    found = view(record)
    assert found.rows[0].system == "candidate"
    assert {row.system for row in found.rows} == {fact.name for fact in record.manifest.systems}
    gains = {item.baseline: item.delta.value for item in clean(record).comparisons}
    for row in found.rows:
        assert row.clean.startswith(f"{100 * next(s.estimate.value for s in clean(record).summaries if s.system == row.system):.1f} %")  # fmt: skip  # noqa: E501
        assert (row.clean_gain == "–") == (row.system not in gains)
    previous = next(row for row in found.rows if row.system == "previous")
    assert previous.clean_gain.startswith(f"{100 * gains['previous']:+.1f} points (".replace("-", "−"))
    assert previous.full_gain != previous.clean_gain
    assert (found.n, found.clean_n) == ("120", "118")


def test_each_leak_names_both_rows_and_how_alike_they_are() -> None:
    rows = view(leaky(make_record())).leaks
    assert [(row.id, row.source, row.twin, row.how, row.sure) for row in rows] == [
        ("ticket-0001", "test.jsonl:1", "train.jsonl:7", "contained", "yes"),
        ("ticket-0002", "test.jsonl:2", "train.jsonl:8", "near copy, 91.4 % alike", "possible"),
    ]


def test_the_first_fifty_leaks_are_listed_and_the_others_counted() -> None:
    found = view(leaky(make_record(), sure=60))
    assert len(found.leaks) == 50
    assert found.more == "and 11 more in leaks.json"


def test_it_is_said_when_no_row_is_left() -> None:
    record = leaky(make_record(rows=4, probes=2), sure=4, possible=0)
    assert trust(record)["Leakage"] == "4 of 4 test rows found among 297 training rows, 4 for sure"
    assert trust(record)["Clean subset"] == "0 rows"
    assert view(record).rows == ()
    assert 'id="leakage"' in render_html(build_page(record))
    assert "<summary>Leakage</summary>" in render_markdown(build_page(record))


def test_every_rendering_shows_it_on_its_first_screen() -> None:
    record = leaky(make_record())
    page = build_page(record)
    leakage, subset = trust(record)["Leakage"], trust(record)["Clean subset"]
    root = lxml.html.document_fromstring(render_html(page).encode())
    shown = root.xpath('//section[@aria-labelledby="trust-title"]//dd/text()')
    assert leakage in shown and subset in shown
    first = render_markdown(page).partition("<details>")[0]
    assert f"Leakage: {leakage} · Clean subset: {subset}" in first
    stream = io.StringIO()
    print_summary(page, Console(file=stream, width=120))
    printed = " ".join(stream.getvalue().split())
    assert f"Leakage: {leakage} · Clean subset: {subset}" in printed


def test_the_details_are_in_html_and_markdown() -> None:
    page = build_page(leaky(make_record()))
    root = lxml.html.document_fromstring(render_html(page).encode())
    cells = [cell.text_content() for cell in root.xpath('//section[@id="leakage"]//td')]
    assert {"train.jsonl:7", "near copy, 91.4 % alike", view(leaky(make_record())).rows[1].clean_gain} <= set(cells)
    text = render_markdown(page)
    assert "| ticket-0001 | test.jsonl:1 | train.jsonl:7 | contained | yes |" in text


def test_metrics_have_the_leaks_and_the_clean_scores_beside_the_full_ones() -> None:
    record = leaky(make_record())
    metrics = flat_metrics(record)
    assert (metrics["leakage.rows"], metrics["leakage.sure"]) == (2, 1)
    assert metrics["clean.exact_match.few-shot"] == pytest.approx(score(record, "few-shot"))
    gain = score(record, "candidate") - score(record, "few-shot")
    assert metrics["clean_gain.exact_match.few-shot"] == pytest.approx(gain)
    without = flat_metrics(make_record())
    assert (without["leakage.rows"], without["leakage.sure"]) == (0, 0)
    assert not [name for name in without if name.startswith("clean")]
