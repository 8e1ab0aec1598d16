from __future__ import annotations

import dataclasses
from functools import cache

import pytest
from hostile_texts import PAYLOADS
from markdown_it import MarkdownIt
from markdown_it.token import Token
from record_factory import make_record, poisoned, priced

from harness.findings import RunRecord
from harness.report.card import END, CardFacts, eval_results, render_card
from harness.report.view import build_page

DIGEST = "ab12" * 16


def facts(text: str = "plain") -> CardFacts:
    return CardFacts(
        base=text,
        base_digest=DIGEST,
        system=text,
        signature=f"model:{text}|adapter:{text}",
        files={text: DIGEST, "adapter_config.json": DIGEST},
        suite_digest=DIGEST,
        verdict_digest=DIGEST,
        expires="2026-02-04T12:40:11Z",
        signed_by=text,
        levels=(0.9,),
        alpha=0.05,
    )


def small_record() -> RunRecord:
    return priced(make_record("hold", rows=12, probes=3, errors=1, warnings=["something to know"]))


def parse(text: str) -> list[Token]:
    blocks = MarkdownIt("commonmark").enable("table").parse(text)
    return [token for block in blocks for token in (block, *(block.children or ()))]


@cache
def tokens(payload: str) -> list[Token]:
    return parse(render_card(build_page(poisoned(small_record(), payload)), facts(payload)))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_becomes_markup_when_every_text_is_hostile(payload: str) -> None:
    # A file name that could end a code span stands outside of one, so spans are not compared.
    shape = [token.type for token in tokens(payload) if token.type not in ("code_inline", "text", "inline")]
    assert shape == [token.type for token in tokens("harmless") if token.type not in ("code_inline", "text", "inline")]
    assert not {"html_block", "html_inline", "link_open", "image"} & set(shape)


@pytest.mark.parametrize("payload", [END, f"{END}\n# After"])
def test_no_text_can_end_the_section(payload: str) -> None:
    assert END not in render_card(build_page(poisoned(small_record(), payload)), facts(payload))


def test_every_arm_and_check_has_its_row() -> None:
    page = build_page(small_record())
    text = render_card(page, facts())
    for arm in page.arms.rows:
        assert (f"| {arm.name} |" in text or f"| **{arm.name}** |" in text) is not arm.absent
    assert "smaller-model: absent: no weights in the local folder" in text
    assert "grammar is prompt-only held to the JSON Schema" in text
    assert "- something to know" in text
    assert text.count("| ✓ Pass |") + text.count("| ✕ Fail |") == len(page.checks)


def test_the_metadata_holds_estimates_over_all_rows_of_the_candidate_alone() -> None:
    record = small_record()
    found = eval_results(record, task="text-generation", revisions={"test": DIGEST})
    wanted = [
        item.estimate.value
        for item in (*record.summaries, *record.benchmark_summaries)
        if item.system == record.candidate and item.tag is None
    ]
    assert [item.metric_value for item in found] == wanted
    assert {item.dataset_revision for item in found if item.dataset_split == "test"} == {DIGEST}
    assert {item.dataset_revision for item in found if item.dataset_split != "test"} == {None}


def test_rows_without_a_score_are_told_beside_the_estimate() -> None:
    record = small_record()
    summaries = tuple(dataclasses.replace(item, unscored=3) for item in record.summaries)
    found = eval_results(dataclasses.replace(record, summaries=summaries), task="text-generation", revisions={})
    assert all((item.metric_name or "").endswith("3 without a score") for item in found[: len(found) - 1])


def test_a_card_says_so_when_nothing_was_checked() -> None:
    page = dataclasses.replace(build_page(small_record()), checks=())
    assert "Nothing was checked." in render_card(page, facts())
