from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import lxml.html
import pytest
from hostile_texts import PAYLOADS
from record_factory import complete, diverged, make_record, poisoned, priced

from harness.findings import RunRecord
from harness.report.html import SCRIPTS, STYLES, TEMPLATES, content_security_policy, data_block, render_html
from harness.report.page import Page
from harness.report.view import BULKY, build_page

# What a value may change: where links and labels point, what a download is called. The attribute names stay the same.
TEXT_ATTRIBUTES = {"href", "title", "aria-label", "content", "download"}


class Structure(HTMLParser):
    """The elements of a document with their attributes, without any text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = tuple((name, None if name in TEXT_ATTRIBUTES else value) for name, value in attrs)
        self.elements.append((tag, kept))
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcset")]


def small_record() -> RunRecord:
    return complete(priced(make_record("hold", rows=12, probes=3, errors=1, warnings=["something to know"])))


@cache
def hostile_page(payload: str) -> Page:
    return build_page(poisoned(small_record(), payload))


@cache
def hostile_html(payload: str) -> str:
    return render_html(hostile_page(payload))


def structure(html: str) -> Structure:
    parser = Structure()
    parser.feed(html)
    parser.close()
    return parser


def elements_by_lxml(html: str) -> list[tuple[str, tuple[str, ...]]]:
    root = lxml.html.document_fromstring(html.encode())
    return [(str(element.tag), tuple(element.attrib)) for element in root.iter() if isinstance(element.tag, str)]


def islands(html: str) -> dict[str, str]:
    """Every data block of the page by its id."""
    return dict(re.findall(r'<script type="application/json" id="([a-z-]+)">(.*?)</script>', html, re.DOTALL))


def script() -> str:
    return "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)


@pytest.fixture(scope="module")
def harmless() -> str:
    return hostile_html("harmless")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_element_or_attribute_appears_when_every_text_is_hostile(payload: str, harmless: str) -> None:
    html = hostile_html(payload)
    assert structure(html).elements == structure(harmless).elements
    assert elements_by_lxml(html) == elements_by_lxml(harmless)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_links_lead_nowhere_else_when_every_text_is_hostile(payload: str) -> None:
    html = hostile_html(payload)
    assert all(link.startswith("#") for link in structure(html).links)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_data_blocks_hold_every_text_and_no_markup_when_it_is_hostile(payload: str) -> None:
    page = hostile_page(payload)
    blocks = islands(hostile_html(payload))
    data = json.loads(blocks["example-data"])
    texts = data["texts"]
    assert [(row[1], texts[row[2]], None if row[3] is None else texts[row[3]]) for row in data["rows"]] == [
        (row.id, row.input, row.reference) for row in page.examples.rows
    ]
    assert json.loads(blocks["record-data"])["verdict"]["sentence"].endswith(payload)
    assert not set("".join(blocks.values())) & set("<>&\u2028\u2029")


def test_templates_are_not_evaluated_when_a_text_looks_like_one() -> None:
    html = render_html(build_page(poisoned(small_record(), "{{ 7 * 7 }}")))
    assert "{{ 7 * 7 }}" in html


def test_policy_admits_exactly_the_embedded_script() -> None:
    html = render_html(build_page(small_record()))
    root = lxml.html.document_fromstring(html.encode())
    (policy,) = root.xpath('//meta[@http-equiv="Content-Security-Policy"]/@content')
    (found,) = root.xpath("//script[not(@type)]/text()")
    digest = base64.b64encode(hashlib.sha256(str(found).encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert policy == content_security_policy(script())


def test_file_is_self_contained() -> None:
    html = render_html(build_page(make_record()))
    tags = {tag for tag, _ in structure(html).elements}
    assert not tags & {"link", "img", "iframe", "object", "embed", "audio", "video", "base"}
    assert "http://" not in html and "https://" not in html
    assert "url(" not in html and "@import" not in html


def test_no_attribute_runs_script() -> None:
    elements = structure(render_html(build_page(make_record()))).elements
    names = {name for _, attributes in elements for name, _ in attributes}
    assert not {name for name in names if name.startswith("on")}
    assert "style" not in names


def test_script_turns_no_text_into_markup() -> None:
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert sink not in script()
    assert "</script" not in script() and "<!--" not in script()


def test_a_page_is_small_beside_its_data() -> None:
    html = render_html(build_page(complete(priced(make_record("hold", errors=2)))))
    assert len(html.encode()) - sum(len(block.encode()) for block in islands(html).values()) < 300_000
    assert sum(Path(TEMPLATES, name).stat().st_size for name in (*STYLES, *SCRIPTS)) < 80_000


def test_every_number_but_those_of_single_rows_travels_in_the_page() -> None:
    record = complete(priced(make_record("hold")))
    raw = json.loads(islands(render_html(build_page(record)))["record-data"])
    assert raw.keys() == {field.name for field in dataclasses.fields(record)} - set(BULKY)
    assert raw["verdict"]["checks"][0]["observed"] == record.verdict.checks[0].observed
    assert raw["manifest"]["digests"] == record.manifest.digests


def test_losses_that_are_not_numbers_are_words_in_the_data() -> None:
    raw = json.loads(islands(render_html(build_page(diverged(make_record("hold")))))["record-data"])
    assert raw["training"]["points"][-1]["validation_loss"] == "inf"


def test_data_block_refuses_what_json_does_not_know() -> None:
    with pytest.raises(ValueError, match="JSON"):
        data_block([float("nan")])


def test_data_block_reads_back_unchanged() -> None:
    value = ["</script>", "<!--", "a & b > c", "\u2028\u2029", "naïve 🙂", '"\\']
    assert json.loads(data_block(value)) == value


@pytest.mark.parametrize(("decision", "word"), [("ship", "Ship"), ("hold", "Hold"), ("undecided", "Undecided")])
def test_verdict_stands_first_and_every_check_has_a_row(decision: str, word: str) -> None:
    record = make_record(decision)  # type: ignore[arg-type]
    root = lxml.html.document_fromstring(render_html(build_page(record)).encode())
    assert root.xpath("string(//h1)") == word
    assert root.xpath('string(//p[@class="sentence"])') == record.verdict.sentence
    rows = root.xpath('//table[contains(@class, "checks")]/tbody/tr[not(contains(@class, "because"))]')
    told = root.xpath('//table[contains(@class, "checks")]/tbody/tr[contains(@class, "because")]')
    assert len(rows) == len(record.verdict.checks)
    assert len(told) == sum(check.status != "pass" for check in record.verdict.checks)
    assert all(row.xpath('.//span[starts-with(@class, "status ")]') for row in rows)


def test_every_arm_has_a_row_with_a_cell_for_every_heading() -> None:
    page = build_page(priced(make_record()))
    root = lxml.html.document_fromstring(render_html(page).encode())
    (table,) = root.xpath('//table[contains(@class, "arms")]')
    rows = table.xpath("./tbody/tr")
    assert [row.xpath("string(./th/bdi)") for row in rows] == [arm.name for arm in page.arms.rows]
    assert {len(row.xpath("./th|./td")) for row in rows} == {len(table.xpath("./thead/tr/th"))}
    assert [cell.text for cell in rows[0].xpath('./td[@class="use"]')] == list(page.arms.rows[0].use)


def test_break_even_and_differences_stand_below_the_arms() -> None:
    page = build_page(priced(make_record()))
    root = lxml.html.document_fromstring(render_html(page).encode())
    assert root.xpath('//p[@class="told"]/text()') == list(page.arms.break_even)
    assert root.xpath('//ul[@class="notes"]/li/text()') == list(page.arms.notes)


def test_sections_are_left_out_when_they_have_nothing_to_show() -> None:
    sections = {
        "checks",
        "scores",
        "leakage",
        "changes",
        "slices",
        "examples",
        "answers",
        "benchmarks",
        "training",
        "history",
        "run",
    }

    def shown(record: RunRecord) -> set[str]:
        root = lxml.html.document_fromstring(render_html(build_page(record)).encode())
        found = {str(name) for name in root.xpath("//section/@id")}
        assert {link.removeprefix("#") for link in root.xpath("//nav/a/@href")} == found
        return found

    record = make_record(trained=False)
    bare = dataclasses.replace(record, benchmarks=(), comparisons=(), summaries=(), schema_problems=(), lengths=())
    assert shown(complete(make_record())) == sections
    assert shown(bare) == sections - {"leakage", "slices", "answers", "benchmarks", "training", "history"}


def test_the_first_screen_names_what_changed_trust_and_identity_with_whole_digests() -> None:
    page = build_page(make_record("hold"))
    root = lxml.html.document_fromstring(render_html(page).encode())
    assert page.highlights is not None
    worst = [row.id for row in (*page.highlights.worse.worst, *page.highlights.better.worst)]
    assert root.xpath('//div[@class="beside"]//p[@class="worst"]/a/text()') == worst
    assert root.xpath('//div[@class="beside"]//dl/div/dt/text()') == [
        fact.label for fact in (*page.trust, *page.essentials)
    ]
    assert root.xpath('//dt[text()="Adapter"]/following-sibling::dd/@title') == ["sha256:" + "ef56" * 16]
    assert root.xpath('string(//pre[@id="command"])') == page.command


def test_every_drawing_says_in_words_what_it_shows() -> None:
    root = lxml.html.document_fromstring(render_html(build_page(complete(priced(make_record())))).encode())
    drawings = root.xpath("//svg")
    assert {drawing.get("class").split()[0] for drawing in drawings} == {
        "bar", "box", "curve", "dots", "history", "reliability", "shares",
    }  # fmt: skip
    assert all(drawing.get("role") == "img" and len(drawing.xpath("string(./title)")) > 10 for drawing in drawings)


def test_same_record_gives_the_same_bytes() -> None:
    assert render_html(build_page(small_record())) == render_html(build_page(small_record()))
