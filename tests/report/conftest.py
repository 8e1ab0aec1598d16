from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from harness.findings import RunRecord
from harness.report.html import render_html
from harness.report.view import build_page

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}; `apt-get install chromium` brings it")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Opens a record's report from disk without a network; any message of the console fails the test."""
    messages: list[str] = []
    contexts = []

    def open_record(
        record: RunRecord, fragment: str = "", *, width: int = 1280, scheme: str = "light", **options: Any
    ) -> Page:
        path = tmp_path / "report.html"
        path.write_text(render_html(build_page(record)), encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 720},
            color_scheme=scheme,  # type: ignore[arg-type]
            offline=True,
            reduced_motion="reduce",
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(path.as_uri() + fragment)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("#browser")
        return page

    yield open_record
    for context in contexts:
        context.close()
    assert messages == []
