"""Every rendering is exactly what was last looked at; see `golden_files.py` for the command that rewrites them."""

from __future__ import annotations

from functools import cache

import pytest
from golden_files import GOLDEN, renderings, structure

rendered = cache(renderings)


@pytest.mark.parametrize("name", ["structure.html.txt", "summary.md", "junit.xml", "metrics.json"])
def test_rendering_is_the_golden_file(name: str) -> None:
    assert rendered()[name] == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_golden_file_is_compared() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(rendered())


@pytest.mark.parametrize(
    ("html", "lines"),
    [
        ("<p>one</p><p>two</p>", ["    p × 2"]),
        ("<p>one</p><p class=x>two</p>", ["    p", '    p class="x"']),
        ("<ul><li>a<li>b</ul>", ["    ul", "      li × 2"]),
    ],
)
def test_structure_counts_neighbours_that_are_alike_and_tells_apart_those_that_are_not(
    html: str, lines: list[str]
) -> None:
    assert structure(f"<html><body>{html}</body></html>").splitlines() == ["html", "  body", *lines]
