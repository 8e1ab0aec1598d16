from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import lxml.html
import pytest
from hostile_texts import PAYLOADS
from record_factory import make_record, poisoned

from harness.records import RunRecord
from harness.report.html import TEMPLATES, content_security_policy, data_block, render_html
from harness.report.page import Page
from harness.report.view import build_page

# What a value may change: where links and labels point. Their attribute names stay the same.
TEXT_ATTRIBUTES = {"href", "title", "aria-label", "content"}


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
    return make_record("hold", rows=12, probes=3, errors=1, warnings=["something to know"])


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


def island(html: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="example-data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    data: dict[str, object] = json.loads(found[1])
    return data


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
def test_example_data_holds_every_text_and_no_markup_when_it_is_hostile(payload: str) -> None:
    page = hostile_page(payload)
    html = hostile_html(payload)
    rows = island(html)["rows"]
    assert isinstance(rows, list)
    assert [(row[1], row[2], row[3]) for row in rows] == [
        (row.id, row.input, row.reference) for row in page.examples.rows
    ]
    raw = html.split('id="example-data">')[1].split("</script>")[0]
    assert not set(raw) & set("<>&\u2028\u2029")


def test_templates_are_not_evaluated_when_a_text_looks_like_one() -> None:
    html = render_html(build_page(poisoned(small_record(), "{{ 7 * 7 }}")))
    assert "{{ 7 * 7 }}" in html


def test_policy_admits_exactly_the_embedded_script() -> None:
    html = render_html(build_page(small_record()))
    root = lxml.html.document_fromstring(html.encode())
    (policy,) = root.xpath('//meta[@http-equiv="Content-Security-Policy"]/@content')
    (script,) = root.xpath("//script[not(@type)]/text()")
    digest = base64.b64encode(hashlib.sha256(str(script).encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert policy == content_security_policy((TEMPLATES / "report.js").read_text(encoding="utf-8"))


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
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert sink not in script
    assert "</script" not in script and "<!--" not in script


def test_styles_and_script_are_small() -> None:
    size = sum(Path(TEMPLATES, name).stat().st_size for name in ("report.css", "report.js"))
    assert size < 60_000


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


def test_sections_are_left_out_when_they_have_nothing_to_show() -> None:
    with_all = {value for _, attrs in structure(render_html(build_page(make_record()))).elements for _, value in attrs}
    assert {"training", "benchmarks", "schema"} <= with_all
    bare = make_record(trained=False)
    without = {value for _, attrs in structure(render_html(build_page(bare))).elements for _, value in attrs}
    assert "training" not in without


def test_same_record_gives_the_same_bytes() -> None:
    assert render_html(build_page(small_record())) == render_html(build_page(small_record()))
