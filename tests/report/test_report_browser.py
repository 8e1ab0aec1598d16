from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_texts import PAYLOADS
from playwright.sync_api import Browser, Page, expect
from record_factory import complete, make_record, poisoned, priced

from harness.report.html import render_html
from harness.report.view import build_page

Open = Callable[..., Page]


FIRST_SCREEN = (".verdict", "table.checks", ".brief:has(#changed-title)", ".brief:has(#trust-title)", "#command")
# Of a page of A4 with margins of 12 mm, at 96 pixels an inch.
PRINTED_WIDTH, PRINTED_HEIGHT = 703, 1031


def lowest(page: Page) -> float:
    """How far down the last part of the first screen reaches, in pixels; every part must be shown."""
    boxes = [page.locator(part).bounding_box() for part in FIRST_SCREEN]
    assert all(boxes)
    return max(box["y"] + box["height"] for box in boxes if box)


@pytest.mark.parametrize("decision", ["ship", "hold", "undecided"])
def test_first_screen_is_complete_without_scrolling(open_report: Open, decision: str) -> None:
    page = open_report(complete(priced(make_record(decision, warnings=["something to know"]))))  # type: ignore[arg-type]
    assert lowest(page) <= 720


def test_what_changed_trust_and_identity_stay_on_the_first_screen_when_there_are_many_checks(open_report: Open) -> None:
    record = make_record("hold")
    checks = tuple(
        dataclasses.replace(check, name=f"{check.name}/{turn}") for turn in range(5) for check in record.verdict.checks
    )
    page = open_report(dataclasses.replace(record, verdict=dataclasses.replace(record.verdict, checks=checks)))
    command = page.locator("#command").bounding_box()
    assert command is not None and command["y"] + command["height"] <= 720


def test_first_screen_is_the_first_page_in_print(open_report: Open) -> None:
    page = open_report(complete(priced(make_record("hold", warnings=["something to know"]))))
    page.set_viewport_size({"width": PRINTED_WIDTH, "height": PRINTED_HEIGHT})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert lowest(page) <= PRINTED_HEIGHT
    assert page.evaluate("document.documentElement.scrollWidth") == PRINTED_WIDTH


def test_the_worst_examples_open_from_the_first_screen(open_report: Open) -> None:
    page = open_report(make_record("hold"))
    links = page.locator(".worst a")
    for place in range(links.count()):
        page.evaluate("scrollTo(0, 0)")
        wanted = links.nth(place).inner_text()
        links.nth(place).click()
        expect(page.locator("#detail h3")).to_have_text(wanted)


def test_every_number_is_downloaded_as_json_without_a_network(open_report: Open) -> None:
    record = complete(make_record("hold"))
    page = open_report(record)
    with page.expect_download() as download:
        page.click("#raw")
    assert download.value.suggested_filename == "20260105-123405-7f3a.json"
    data = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert data["record"]["verdict"]["decision"] == "hold"
    assert len(data["examples"]["rows"]) == 320


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_never_scrolls_sideways_when_the_screen_is_narrow(open_report: Open, scheme: str) -> None:
    page = open_report(complete(priced(make_record("hold", errors=2))), width=390, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_page_never_scrolls_sideways_when_texts_are_long(open_report: Open) -> None:
    page = open_report(poisoned(complete(priced(make_record("hold", rows=8, probes=2))), "x" * 200), width=390)
    page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_checks_and_arms_need_no_scrolling_when_the_screen_is_wide(open_report: Open) -> None:
    page = open_report(priced(make_record("hold", errors=2)))
    for table in ("checks", "arms"):
        box = page.locator(f".scroll:has(> table.{table})")
        assert box.evaluate("node => node.scrollWidth - node.clientWidth") == 0


@pytest.mark.parametrize(
    ("scheme", "clicks", "dark"), [("light", 0, False), ("dark", 0, True), ("dark", 1, False), ("light", 2, True)]
)
def test_theme_follows_the_system_until_the_button_says_otherwise(
    open_report: Open, scheme: str, clicks: int, dark: bool
) -> None:
    page = open_report(make_record(rows=8, probes=2), scheme=scheme)
    for _ in range(clicks):
        page.click("#theme")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(14, 17, 22)" if dark else "rgb(245, 246, 248)")


def test_print_shows_every_detail_and_no_controls(open_report: Open) -> None:
    page = open_report(make_record("hold"))
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".decided").is_visible()
    assert not page.locator("#browser").is_visible() and not page.locator(".top").is_visible()
    assert page.locator("#examples .change").count() and page.locator("#examples .change").first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.locator(".decided").is_visible()


@pytest.mark.parametrize("payloads", [PAYLOADS, PAYLOADS[::-1]])
def test_nothing_runs_when_every_text_is_hostile(open_report: Open, payloads: tuple[str, ...]) -> None:
    page = open_report(poisoned(priced(make_record("hold", rows=6, probes=2, errors=1)), "".join(payloads)))
    for _ in range(4):
        page.keyboard.press("j")
    assert page.evaluate("window.pwned") is None
    assert page.locator("iframe, img, base, object").count() == 0


def test_policy_stops_a_script_that_got_into_the_page(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_html(build_page(make_record(rows=4, probes=2))), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    page.evaluate(
        """() => {
            const node = document.createElement("script");
            node.textContent = "window.pwned=1";
            document.body.append(node);
            const image = document.createElement("div");
            image.innerHTML = "<img src=x onerror='window.pwned=1'>";
            document.body.append(image);
        }"""
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.pwned") is None
    page.close()
