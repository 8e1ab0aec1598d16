"""The page on which a person chooses between two answers: one blinded, self-contained HTML file.

What this module is given says nothing of who gave which answer, so neither can the page. It is safe by the same
construction as the report (see `harness.report.html`): texts travel as a JSON data block, the content security policy
admits the one embedded script by its hash, and nothing is loaded or sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.records import Message
from harness.report.formatting import clean
from harness.report.html import TEMPLATES, content_security_policy, data_block


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewItem:
    """One question with two answers. The `id` is opaque: it tells nothing of the sides, nor of the example."""

    id: str
    messages: tuple[Message, ...]
    reference: str | None
    a: str
    b: str


def render_review(export: str, items: Sequence[ReviewItem], *, seed: int, examples: int) -> str:
    """Return the page for raters as one HTML document.

    `export` is the digest that the ratings are bound to; `seed` and `examples` are those it was drawn with, which
    the ratings carry back.
    """
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("review.css", "review.js"))
    return (
        _environment()
        .get_template("review.html")
        .render(
            policy=content_security_policy(script),
            style=Markup(style),
            script=Markup(script),
            data=data_block(
                {"export": export, "seed": seed, "examples": examples, "items": [_item_data(item) for item in items]}
            ),
        )
    )


def _item_data(item: ReviewItem) -> list[Any]:
    reference = None if item.reference is None else clean(item.reference)
    messages = [[message.role, clean(message.content)] for message in item.messages]
    return [item.id, messages, reference, clean(item.a), clean(item.b)]


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
