"""The page model as one self-contained HTML file: no network, no library, no model text read as markup.

Safe by construction: jinja2 escapes every value; examples travel as a JSON data block in which no character
can end the block; the content security policy admits the one embedded script by its hash and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report.charts import interval_bar, loss_curve, small_bar
from harness.report.diagrams import history_line, judged_shares, length_box, reliability_diagram, subject_dots
from harness.report.example_data import example_data
from harness.report.formatting import clip, one_line
from harness.report.page import Page

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("report.css", "examples.css")
SCRIPTS = ("report.js", "examples_diff.js", "examples_detail.js", "examples.js")
# Inside <script> only "<" can end the block; "&" and ">" are escaped for tools that copy it into other
# markup, and the two line separators because older JavaScript takes them for line ends.
_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def render_html(page: Page) -> str:
    """Return the report as one HTML document."""
    style, script = ("".join((TEMPLATES / name).read_text("utf-8") for name in names) for names in (STYLES, SCRIPTS))
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            page=page,
            policy=content_security_policy(script),
            style=Markup(style),
            script=Markup(script),
            example_data=data_block(example_data(page.examples, page.closest)),
            record_data=Markup(page.raw.translate(_ESCAPES)),
        )
    )


def content_security_policy(script: str) -> str:
    """Return the policy that runs this script and loads nothing, from nowhere."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def data_block(value: Any) -> Markup:
    """Return JSON that is safe inside a script element, whatever its strings say.

    Raises:
        ValueError: the value holds NaN or infinity.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))


@cache
def page_environment() -> Environment:
    """Return the environment of every page: autoescaped, and an unknown name is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawings = (interval_bar, small_bar, loss_curve, subject_dots, length_box, reliability_diagram)
    environment.globals.update({draw.__name__: draw for draw in (*drawings, judged_shares, history_line)})
    environment.filters.update(clip=clip, one_line=one_line)
    return environment
