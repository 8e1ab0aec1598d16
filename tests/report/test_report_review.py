"""The page for raters: it tells nothing of who gave which answer, and no text in it is read as markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import lxml.html
import pytest
from click.testing import CliRunner
from evidence_factory import LABELS, Fixture
from hostile_texts import PAYLOADS
from playwright.sync_api import Page, expect, sync_playwright

from harness.cli.main import main
from harness.records import Example, Message, Prediction
from harness.report.formatting import clean
from harness.report.html import TEMPLATES
from harness.report.review import ReviewItem, render_review
from harness.review import draw_items

CHROMIUM = Path("/usr/bin/chromium")
EXPORT = "e" * 64
STATIC = ("review.html", "review.css", "review.js")


def question(number: int) -> Example:
    return Example(
        id=f"row {number}", messages=(Message(role="user", content=f"ask {number}"),), target=f"ref {number}"
    )


def answers(system: str, examples: Sequence[Example], text: str) -> dict[str, Prediction]:
    return {
        example.id: Prediction(
            example_id=example.id,
            system=system,
            dataset="test",
            text=f"{text} {example.id}",
            stop="end",
            prompt_tokens=1,
            output_tokens=1,
            seconds=0.1,
        )
        for example in examples
    }


def item(text: str = "x", *, reference: str | None = "the reference") -> ReviewItem:
    messages = (Message(role="system", content=text), Message(role="user", content=text))
    return ReviewItem(id="1" * 32, messages=messages, reference=reference and reference + text, a=text, b=text + "!")


def page_of(*items: ReviewItem) -> str:
    return render_review(EXPORT, items, seed=3, examples=9)


def island(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="review-data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


class Structure(HTMLParser):
    """The elements of a document with their attributes, without any text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))


# Blindness


def test_exchanging_the_systems_exchanges_the_answers_and_nothing_else() -> None:
    examples = [question(number) for number in range(200)]
    ours, theirs = answers("new", examples, "first"), answers("old", examples, "second")
    there = [drawn.shown for drawn in draw_items(examples, ours, theirs, "secret")]
    back = [drawn.shown for drawn in draw_items(examples, theirs, ours, "secret")]
    assert page_of(*there) != page_of(*back)
    assert page_of(*there) == page_of(*(replace(shown, a=shown.b, b=shown.a) for shown in back))


def test_sides_follow_neither_the_order_nor_the_id_of_an_item() -> None:
    examples = [question(number) for number in range(4000)]
    ours, theirs = answers("new", examples, "first"), answers("old", examples, "second")
    items = sorted(draw_items(examples, ours, theirs, "secret"), key=lambda drawn: drawn.id)
    sides = [drawn.candidate_is_a for drawn in items]
    groups = {
        "all": sides,
        "first half": sides[:2000],
        "every second": sides[::2],
        "after A": [after for before, after in pairwise(sides) if before],
        "even id": [side for drawn, side in zip(items, sides, strict=True) if int(drawn.id, 16) % 2 == 0],
    }
    for name, group in groups.items():  # 4.5 standard deviations of a fair coin
        assert abs(sum(group) - len(group) / 2) < 4.5 * (len(group) / 4) ** 0.5, name
    other = draw_items(examples, ours, theirs, "another secret")
    assert {drawn.id for drawn in other}.isdisjoint({drawn.id for drawn in items})


def test_the_page_holds_what_a_rater_sees_and_no_more() -> None:
    data = island(page_of(item("text"), item("other", reference=None)))
    turns = [["system", "text"], ["user", "text"]]
    assert data["items"][0] == ["1" * 32, turns, "the referencetext", "text", "text!"]
    assert data["items"][1][2] is None
    assert {**data, "items": None} == {"export": EXPORT, "seed": 3, "examples": 9, "items": None}


@pytest.mark.parametrize("name", STATIC)
def test_the_static_parts_name_no_role(name: str) -> None:
    text = (TEMPLATES / name).read_text(encoding="utf-8").lower()
    assert not [word for word in ("candidate", "baseline", "adapter", "fine-tun", "prompt") if word in text]


# Safety


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_element_or_attribute_appears_when_every_text_is_hostile(payload: str) -> None:
    hostile, harmless = page_of(item(payload)), page_of(item("harmless"))
    assert Structure(hostile).elements == Structure(harmless).elements
    trees = [
        [(str(node.tag), tuple(node.items())) for node in lxml.html.document_fromstring(html.encode()).iter()]
        for html in (hostile, harmless)
    ]
    assert trees[0] == trees[1]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_data_holds_every_text_and_no_markup_when_it_is_hostile(payload: str) -> None:
    html = page_of(item(payload))
    shown = clean(payload)
    turns = [["system", shown], ["user", shown]]
    assert island(html)["items"] == [["1" * 32, turns, "the reference" + shown, shown, shown + "!"]]
    raw = html.split('id="review-data">')[1].split("</script>")[0]
    assert not set(raw) & set("<>&\u2028\u2029")


def test_policy_admits_exactly_the_embedded_script() -> None:
    root = lxml.html.document_fromstring(page_of(item()).encode())
    (policy,) = root.xpath('//meta[@http-equiv="Content-Security-Policy"]/@content')
    (script,) = root.xpath("//script[not(@type)]/text()")
    digest = base64.b64encode(hashlib.sha256(str(script).encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_file_is_small_self_contained_and_runs_no_attribute() -> None:
    html = page_of(item())
    elements = Structure(html).elements
    assert not {tag for tag, _ in elements} & {"link", "img", "iframe", "object", "embed", "audio", "video", "base"}
    assert not {name for _, attrs in elements for name, _ in attrs if name.startswith("on") or name in {"style", "src"}}
    assert not [found for found in ("http://", "https://", "url(", "@import") if found in html]
    assert len(html.encode()) < 40_000


def test_script_turns_no_text_into_markup_and_opens_no_connection() -> None:
    script = (TEMPLATES / "review.js").read_text(encoding="utf-8")
    sinks = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function")
    assert not [sink for sink in (*sinks, "fetch(", "XMLHttpRequest", "sendBeacon", "WebSocket") if sink in script]
    assert "</script" not in script and "<!--" not in script


def test_every_control_has_a_name_for_a_screen_reader() -> None:
    root = lxml.html.document_fromstring(page_of(item()).encode())
    assert all(button.text_content().strip() for button in root.xpath("//button"))
    assert root.xpath("//label[input[@name='rater']]") and root.xpath("//label[@for='progress']")
    labelled = root.xpath("//*[@aria-labelledby]/@aria-labelledby")
    assert labelled and all(root.xpath(f"//*[@id='{name}']") for name in labelled)
    assert root.xpath("//*[@role='status']") and root.xpath("//*[@role='group']/@aria-label")


# In a browser


def harness(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def rate_by_reference(page: Page) -> None:
    """Choose, by key, the answer that is the reference, until every item is rated."""
    while "All items are rated" not in page.inner_text("#said"):
        wanted = page.text_content("#reference-text")
        page.keyboard.press("a" if page.inner_text("#text-a") == wanted else "b")


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}; `apt-get install chromium` brings it")
def test_ratings_by_keyboard_outlive_a_reload_and_can_be_imported(tmp_path: Path) -> None:
    run, path = Fixture(n_test=20, n_probe=5, questions=8).write(tmp_path / "run"), tmp_path / "page.html"
    assert harness("review", "export", run, "--output", path)[0] == 0
    messages: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 390, "height": 720}, offline=True).new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(path.as_uri())
        page.keyboard.type("Ann abt")  # the name's letters rate nothing
        page.keyboard.press("Enter")
        expect(page.locator("#place")).to_have_text("Item 1 of 12")
        expect(page.locator("#place")).to_be_focused()
        for key in ("a", "t", "B", "u", "ArrowRight", "k", "k"):
            page.keyboard.press(key)
        expect(page.locator("#place")).to_have_text("Item 2 of 12, rated: Tie")
        expect(page.locator('[data-choice="tie"]')).to_have_attribute("aria-pressed", "true")
        page.reload()
        expect(page.locator("#place")).to_have_text("Item 2 of 12, rated: Tie")
        expect(page.locator("#count")).to_have_text("2 of 12 rated")
        assert page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('harness-review-'))") == [
            f"harness-review-{island(path.read_text())['export']}"
        ]
        page.keyboard.press("r")
        assert page.inner_text("#reference-text") in LABELS
        page.keyboard.press("j")
        assert not page.locator("#reference-text").is_visible(), "the next item's reference is hidden again"
        for _ in range(2):
            page.keyboard.press("ArrowLeft")
        rate_by_reference(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        with page.expect_download() as download:
            page.keyboard.press("e")
        exported = tmp_path / download.value.suggested_filename
        download.value.save_as(exported)
        browser.close()
    assert messages == []
    ratings = json.loads(exported.read_text())
    assert (ratings["rater"], len(ratings["ratings"])) == ("Ann abt", 12)
    code, output = harness("review", "import", run, exported, "--json")
    found = json.loads(output)
    # Of 20 answers the candidate has 18 right and the baseline 10; every one of the 12 changes is seen by the rater.
    assert (code, found["wins"], found["losses"], found["unrated"]) == (0, 10, 2, 0)


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}; `apt-get install chromium` brings it")
@pytest.mark.parametrize("payloads", [PAYLOADS, PAYLOADS[::-1]])
def test_nothing_runs_when_every_text_is_hostile(payloads: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page_of(item("".join(payloads))), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(path.as_uri())
        page.keyboard.type("</script><script>window.pwned=1</script>")
        page.keyboard.press("Enter")
        page.keyboard.press("r")
        page.keyboard.press("a")
        expect(page.locator("#count")).to_have_text("1 of 1 rated")
        assert page.evaluate("window.pwned") is None
        assert page.locator("iframe, img, base, object").count() == 0
        browser.close()
