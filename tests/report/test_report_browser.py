from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_texts import PAYLOADS
from playwright.sync_api import Browser, Page, expect, sync_playwright
from record_factory import make_record, poisoned

from harness.records import RunRecord
from harness.report.html import render_html
from harness.report.view import build_page

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}; `apt-get install chromium` brings it"
)
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a record's report from disk without a network; any message of the console fails the test."""
    messages: list[str] = []
    contexts = []

    def open_record(record: RunRecord, fragment: str = "", *, width: int = 1280, scheme: str = "light") -> Page:
        path = tmp_path / "report.html"
        path.write_text(render_html(build_page(record)), encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 720},
            color_scheme=scheme,  # type: ignore[arg-type]
            offline=True,
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(path.as_uri() + fragment)
        page.wait_for_selector(".item")
        return page

    yield open_record
    for context in contexts:
        context.close()
    assert messages == []


def shown_ids(page: Page) -> list[str]:
    return page.locator(".item-id").all_inner_texts()


def expected_ids(record: RunRecord, baseline: str, kind: str) -> list[str]:
    change = next(item for item in build_page(record).changes if item.baseline == baseline)
    return [row.id for row in getattr(change, kind)]


def choose(page: Page, view: str) -> None:
    page.click(f'[data-show="{view}"]')


@pytest.mark.parametrize("decision", ["ship", "hold", "undecided"])
def test_first_screen_shows_verdict_sentence_and_all_checks(open_report: Open, decision: str) -> None:
    page = open_report(make_record(decision))  # type: ignore[arg-type]
    table = page.locator("table.checks").bounding_box()
    assert page.locator("h1").is_visible() and page.locator(".sentence").is_visible()
    assert table is not None and table["y"] + table["height"] <= 720


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_never_scrolls_sideways_when_the_screen_is_narrow(open_report: Open, scheme: str) -> None:
    page = open_report(make_record("hold", errors=2), width=390, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_page_never_scrolls_sideways_when_texts_are_long(open_report: Open) -> None:
    page = open_report(poisoned(make_record("hold", rows=8, probes=2), "x" * 200), width=390)
    page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_filters_show_exactly_the_examples_that_changed(open_report: Open) -> None:
    record = make_record("hold")
    page = open_report(record)
    for view, kind in (("worse", "worse"), ("better", "better")):
        choose(page, view)
        wanted = expected_ids(record, "previous", kind)
        assert page.inner_text("#shown") == f"{len(wanted)} of 120 examples"
        assert shown_ids(page) == wanted[: len(shown_ids(page))]
    page.select_option('select[name="vs"]', label="few-shot")
    choose(page, "worse")
    assert page.inner_text("#shown") == f"{len(expected_ids(record, 'few-shot', 'worse'))} of 120 examples"


def test_failed_answers_are_found_by_their_filter(open_report: Open) -> None:
    page = open_report(make_record(errors=2))
    choose(page, "errors")
    assert shown_ids(page) == ["ticket-0001", "ticket-0002"]
    assert "no answer: timed out after 30 s" in page.inner_text("#detail")


def test_search_and_tag_narrow_the_list(open_report: Open) -> None:
    record = make_record()
    page = open_report(record)
    page.fill('input[name="q"]', "GARDEN furniture")
    hits = [row.id for row in record.examples["test"] if "garden furniture" in row.messages[0].content]
    assert page.inner_text("#shown") == f"{len(hits)} of 120 examples"
    page.select_option('select[name="tag"]', label="shifted")
    shifted = [row.id for row in record.examples["test"] if row.id in hits and "shifted" in row.tags]
    assert shown_ids(page) == shifted
    page.fill('input[name="q"]', "nothing has this text")
    assert page.inner_text("#shown") == "0 of 120 examples"
    assert "No example matches" in page.inner_text("#detail")


def test_other_data_sets_can_be_browsed(open_report: Open) -> None:
    page = open_report(make_record("hold"))
    page.select_option('select[name="set"]', label="probe")
    choose(page, "wrong")
    assert page.inner_text("#shown") == "9 of 200 examples"


def test_state_lives_in_the_address_and_survives_a_reload(open_report: Open) -> None:
    record = make_record("hold")
    page = open_report(record)
    choose(page, "worse")
    page.select_option('select[name="vs"]', label="few-shot")
    page.keyboard.press("Escape")
    page.locator(".item").nth(2).click()
    chosen = expected_ids(record, "few-shot", "worse")[2]
    assert page.url.endswith(f"#set=test&vs=few-shot&show=worse&id={chosen}")
    page.reload()
    page.wait_for_selector(".item")
    assert page.inner_text("#detail h3") == chosen
    assert page.get_attribute('[data-show="worse"]', "aria-pressed") == "true"


def test_a_link_in_the_page_opens_its_example_when_ids_are_unusual(open_report: Open) -> None:
    record = poisoned(make_record("hold", rows=12, probes=2), "+&=é/#%? %26 <b>")
    page = open_report(record)
    link = page.locator(".change-head a:visible").first
    wanted = link.inner_text()
    link.click()
    expect(page.locator("#detail h3")).to_have_text(wanted)


def test_keys_move_through_the_list_and_leave_text_fields_alone(open_report: Open) -> None:
    page = open_report(make_record())
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.inner_text("#detail h3") == "ticket-0002"
    assert page.get_attribute("#list", "aria-activedescendant") == "example-1"
    page.keyboard.press("/")
    page.keyboard.type("jk")
    assert page.input_value('input[name="q"]') == "jk"


def test_structured_answers_are_compared_field_by_field(open_report: Open) -> None:
    record = make_record("hold")
    page = open_report(record)
    choose(page, "worse")
    cells = page.locator("#detail td").all_inner_texts()
    assert any(cell.startswith("✕ ") for cell in cells) and any(cell.startswith("✓ ") for cell in cells)


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
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.locator(".decided").is_visible()


@pytest.mark.parametrize("payloads", [PAYLOADS, PAYLOADS[::-1]])
def test_nothing_runs_when_every_text_is_hostile(open_report: Open, payloads: tuple[str, ...]) -> None:
    page = open_report(poisoned(make_record("hold", rows=6, probes=2, errors=1), "".join(payloads)))
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


def test_ten_thousand_examples_stay_fluid(open_report: Open) -> None:
    page = open_report(make_record(rows=10_000, probes=10))
    assert page.locator(".item").count() < 60
    milliseconds = page.evaluate(
        """() => {
            const field = document.querySelector('input[name="q"]');
            const start = performance.now();
            field.value = "garden";
            field.dispatchEvent(new Event("input", { bubbles: true }));
            return performance.now() - start;
        }"""
    )
    assert milliseconds < 1000
    page.evaluate("document.getElementById('list').scrollTop = 40000")
    page.wait_for_selector('.item[aria-posinset="690"]')
    assert page.locator(".item").count() < 60
