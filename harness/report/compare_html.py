"""The page model of two compared runs as one self-contained HTML file, which loads nothing and runs nothing."""

from __future__ import annotations

from markupsafe import Markup

from harness.report.compare_page import ComparePage
from harness.report.html import TEMPLATES, page_environment

STYLES = ("report.css", "compare.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render_compare_page(page: ComparePage) -> str:
    """Return the page as one HTML document."""
    style = "".join((TEMPLATES / name).read_text("utf-8") for name in STYLES)
    return page_environment().get_template("compare.html.j2").render(page=page, policy=POLICY, style=Markup(style))
