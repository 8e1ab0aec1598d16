from __future__ import annotations

import dataclasses
import re
from functools import cache

import pytest
from hostile_texts import PAYLOADS
from markdown_it import MarkdownIt
from markdown_it.token import Token
from record_factory import complete, make_record, poisoned, priced

from harness.findings import RunRecord
from harness.report.markdown import LIMIT, escape, fence, render_markdown, table
from harness.report.view import build_page

# What GitHub takes: characters of a comment (a database column of 262,144 bytes holds four times as many bytes) and
# bytes of a step's summary.
COMMENT_CHARACTERS, SUMMARY_BYTES = 65_536, 1024 * 1024
OWN_MARKUP = re.compile(r"</?details>|<details><summary>[^<>]*</summary>")


def parse(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def flat(tokens: list[Token]) -> list[Token]:
    return [token for block in tokens for token in (block, *(block.children or ()))]


def small_record() -> RunRecord:
    return complete(priced(make_record("hold", rows=4, probes=2, errors=1, warnings=["something to know"])))


@cache
def hostile_tokens(payload: str) -> list[Token]:
    return parse(render_markdown(build_page(poisoned(small_record(), payload))))


def first_table(text: str) -> list[int]:
    """Return the number of cells in each row of the first table, the header first."""
    rows: list[int] = []
    for token in parse(text):
        if token.type == "tr_open":
            rows.append(0)
        elif token.type in ("th_open", "td_open"):
            rows[-1] += 1
        elif token.type == "table_close":
            break
    return rows


@pytest.mark.parametrize(
    ("decision", "line"),
    [
        ("ship", "### ✓ Ship: ticket-triage"),
        ("hold", "### ✕ Hold: ticket-triage"),
        ("undecided", "### ? Undecided: ticket-triage"),
    ],
)
def test_verdict_stands_first_and_headings_start_at_the_third_level(decision: str, line: str) -> None:
    text = render_markdown(build_page(make_record(decision)))  # type: ignore[arg-type]
    assert text.splitlines()[0] == line
    assert [token.tag for token in parse(text) if token.type == "heading_open"] == ["h3"]


def test_check_table_has_a_row_for_every_check() -> None:
    assert first_table(render_markdown(build_page(make_record("hold")))) == [6] * 9


@pytest.mark.parametrize("payload", PAYLOADS)
def test_tables_keep_their_shape_when_every_text_is_hostile(payload: str) -> None:
    hostile, harmless = hostile_tokens(payload), hostile_tokens("harmless")
    assert [token.type for token in hostile] == [token.type for token in harmless]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_markup_link_or_image_appears_when_every_text_is_hostile(payload: str) -> None:
    for token in flat(hostile_tokens(payload)):
        assert token.type not in ("link_open", "image", "html_inline")
        if token.type == "html_block":
            assert OWN_MARKUP.fullmatch(token.content.strip())


def test_details_are_folded_and_closed() -> None:
    text = render_markdown(build_page(complete(make_record())))
    assert text.count("<details>") == text.count("</details>") > 5
    assert "<details><summary>Training</summary>" in text


def test_arms_are_listed_with_score_validity_and_use() -> None:
    text = render_markdown(build_page(priced(make_record())))
    body = text.split("<details><summary>Arms</summary>")[1].split("</details>")[0]
    assert set(first_table(body)) == {11}
    assert "| grammar | constrained over prompt-only | 4.2 % (0.0 to 9.7 %) |" in body
    assert "| 80.0 | 14.0 | 0.210 | 0.0583 | 0 | 0 |" in body
    assert "\n\nBreak-even against hosted: 234,567 requests. " in body
    assert "\n- smaller-model: absent: no weights in the local folder\n" in body


def test_names_keep_their_underscores_when_they_stand_in_a_summary() -> None:
    record = make_record(rows=12, probes=3)
    page = build_page(record)
    change = dataclasses.replace(page.changes[0], baseline="few_shot & <b>")
    text = render_markdown(dataclasses.replace(page, changes=(change,)))
    assert "<summary>Against few_shot &amp; &lt;b&gt;: " in text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("`code`", r"\`code\`"),
        ("*bold* _it_", r"\*bold\* \_it\_"),
        ("<b>&amp;", r"\<b\>\&amp;"),
        ("two\nlines", "two lines"),
        (r"back\slash", r"back\\slash"),
        ("@team #12", "@\u200bteam \\#\u200b12"),
        ("see https://x.example", "see https://\u200bx.example"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("+3.3 points, 95 % (n = 4)", r"\+3.3 points, 95 % (n = 4)"),
    ],
)
def test_escape_makes_text_stay_text(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_escape_says_what_it_cut_when_text_is_long() -> None:
    assert escape("x" * 400) == "x" * 300 + "… (100 more characters)"


def test_fence_is_longer_than_any_fence_inside() -> None:
    (token,) = parse(fence("a\n````\nb\n```\nc"))
    assert (token.type, token.content) == ("fence", "a\n````\nb\n```\nc\n")


def test_table_aligns_numbers_to_the_right() -> None:
    assert table(("a", "b"), [("1", "2")], right=(1,)) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"


def test_text_is_cut_and_says_so_when_it_is_too_long() -> None:
    record = make_record("hold", rows=400)
    systems = tuple(dataclasses.replace(record.manifest.systems[1], name=f"prompt-{place}") for place in range(60))
    answers = tuple(
        dataclasses.replace(row, system=f"prompt-{place}", text=f"`{place}` " * 100)
        for place in range(60)
        for row in record.predictions
        if row.system == "prompt-only" and row.dataset == "test"
    )
    scores = tuple(
        dataclasses.replace(item, system=f"prompt-{place}")
        for place in range(60)
        for item in record.scores
        if item.system == "prompt-only"
    )
    manifest = dataclasses.replace(record.manifest, systems=(record.manifest.systems[0], *systems))
    long = dataclasses.replace(
        record,
        manifest=manifest,
        predictions=(*(row for row in record.predictions if row.system == "candidate"), *answers),
        scores=(*(item for item in record.scores if item.system == "candidate"), *scores),
    )
    text = render_markdown(build_page(long))
    assert len(text) <= LIMIT
    assert text.rstrip().splitlines()[-1].startswith("_Cut at 60,000 characters. In the HTML report only: ")
    assert text.count("<details>") == text.count("</details>")
    assert first_table(text) == [6] * 9


FIRST_SCREEN = (
    "\n| Result | Check | Against | Needed | Measured | n |\n",
    "\n- **▼ Got worse** against previous",
    "\n- **▲ Got better** against previous",
    "\n**Can it be trusted?** Examples: ",
    "\n**What was judged:** Adapter: ",
    "Run it again:\n\n```text\nharness run ",
)


def test_the_first_screen_stands_unfolded_before_every_detail() -> None:
    text = render_markdown(build_page(complete(make_record("hold"))))
    places = [text.index(part) for part in (*FIRST_SCREEN, "<details>")]
    assert places == sorted(places)
    assert "28 examples (plain: 21 of 90; shifted: 7 of 30), most of all `ticket-0006`, `ticket-0011`" in text


# Characters that are escaped, and one that takes four bytes and cannot be seen.
@pytest.mark.parametrize("filling", ["_", "🙂", "x"])
def test_the_first_screen_is_never_cut_however_long_every_text_is(filling: str) -> None:
    record = complete(priced(make_record("hold", rows=12, probes=3, errors=1, warnings=["w" * 1000] * 500)))
    checks = tuple(
        dataclasses.replace(record.verdict.checks[0], name=f"check-{place}/previous", baseline="previous")
        for place in range(200)
    )
    verdict = dataclasses.replace(record.verdict, checks=checks, notes=("note",) * 500)
    text = render_markdown(build_page(poisoned(dataclasses.replace(record, verdict=verdict), filling * 2000)))
    assert all(part in text for part in FIRST_SCREEN)
    assert text.startswith("### ✕ Hold: ") and text.count("and 492 more") == 2
    assert "and 170 further checks in the HTML report." in text
    assert text.rstrip().splitlines()[-1].startswith("_Cut at 60,000 characters. In the HTML report only: ")
    assert len(text) <= LIMIT < COMMENT_CHARACTERS and len(text.encode()) < SUMMARY_BYTES


def test_details_that_fit_stay_when_one_before_them_does_not() -> None:
    page = build_page(make_record("hold"))
    long = tuple(dataclasses.replace(check, reason="why " * 250) for check in page.checks) * 3
    text = render_markdown(dataclasses.replace(page, checks=(*long, *long, *long)))
    assert text.rstrip().endswith("In the HTML report only: how each check was decided._")
    assert "<details><summary>Arms</summary>" in text and "<details><summary>This run</summary>" in text
