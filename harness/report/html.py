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
from harness.report.formatting import clip, one_line
from harness.report.page import Answer, ExampleRow, ExampleSet, Page

TEMPLATES = Path(__file__).parent / "templates"
# Inside <script> only "<" can end the block; "&" and ">" are escaped for tools that copy it into other
# markup, and the two line separators because older JavaScript takes them for line ends.
_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def render_html(page: Page) -> str:
    """Return the report as one HTML document."""
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            page=page,
            policy=content_security_policy(script),
            style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
            script=Markup(script),
            example_data=data_block(_example_data(page.examples, page.closest)),
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
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(interval_bar=interval_bar, small_bar=small_bar, loss_curve=loss_curve)
    environment.filters.update(clip=clip, one_line=one_line)
    return environment


def _example_data(examples: ExampleSet, closest: str) -> dict[str, Any]:
    """Return the examples in arrays rather than objects: ten thousand rows repeat no key."""
    datasets = {name: place for place, name in enumerate(examples.datasets)}
    tags = {name: place for place, name in enumerate(examples.tags)}
    return {
        "systems": examples.systems,
        "closest": closest,
        "datasets": examples.datasets,
        "headlines": examples.headlines,
        "scorers": examples.scorers,
        "tags": examples.tags,
        "rows": [_row_data(row, datasets, tags) for row in examples.rows],
    }


def _row_data(row: ExampleRow, datasets: dict[str, int], tags: dict[str, int]) -> list[Any]:
    return [
        datasets[row.dataset],
        row.id,
        row.input,
        row.reference,
        [tags[tag] for tag in row.tags],
        [_answer_data(answer) for answer in row.answers],
    ]


def _answer_data(answer: Answer | None) -> list[Any] | None:
    if answer is None:
        return None
    return [answer.text, answer.scores, answer.right, answer.failed, answer.problem, answer.outcome]
