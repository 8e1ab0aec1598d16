"""A run as a model card: the section that people read, and the results that the Hugging Face hub reads.

Safe by construction: whatever the template prints is escaped for Markdown, unless this module made it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.findings import RunRecord, ScorerSummary
from harness.report.formatting import clean, count, interval, is_share, moment, number
from harness.report.markdown import SENTENCE_LIMIT, escape
from harness.report.page import Page

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TEMPLATES = Path(__file__).parent / "templates"
BEGIN = "<!-- harness card: what stands between these two marks is written anew each time -->"
END = "<!-- end of harness card -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a card tells beside the page: how the candidate was asked, and what the verdict binds."""

    base: str  # the base model as the suite names it
    base_digest: str
    system: str | None  # the system message that the candidate was judged with
    signature: str
    files: Mapping[str, str]  # file of the adapter -> SHA-256
    suite_digest: str
    verdict_digest: str  # of the file
    expires: str
    signed_by: str  # the id of the key that the verdict is signed with; empty: it is not signed
    levels: tuple[float, ...]  # confidence of the intervals, two-sided
    alpha: float


class _Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def render_card(page: Page, facts: CardFacts) -> str:
    """Return the card's section as Markdown, its headings at the second and third level."""
    return _environment().get_template("card.md.j2").render(page=page, facts=facts).strip() + "\n"


def eval_results(record: RunRecord, *, task: str, revisions: Mapping[str, str]) -> list[EvalResult]:
    """Return the candidate's scores over all rows and its accuracy on each benchmark, as the hub's model-index says it.

    `revisions` maps a data set or a benchmark to its digest. A value is the estimate itself (shares 0 to 1); its
    interval and its number of rows stand in the metric's name, since the format has no place for them.

    Raises:
        ValueError: an estimate is not finite.
    """
    from huggingface_hub import EvalResult

    suite = clean(record.manifest.suite)
    overall = [item for item in (*record.summaries, *record.benchmark_summaries) if item.tag is None]
    return [
        EvalResult(
            task_type=task,
            dataset_type=suite,
            dataset_name=f"{suite}: {clean(item.dataset)}",
            dataset_split=clean(item.dataset),
            dataset_revision=revisions.get(item.dataset),
            metric_type=clean(item.scorer),
            metric_value=item.estimate.value,
            metric_name=_metric_name(item),
        )
        for item in overall
        if item.system == record.candidate
    ]


def _metric_name(item: ScorerSummary) -> str:
    estimate = item.estimate
    spread = interval(estimate.low, estimate.high, "fraction" if is_share(item.scorer) else "")
    name = f"{clean(item.scorer)}, n = {count(estimate.n)}, {_level(estimate.confidence)} interval {spread}"
    return name + (f", {count(item.unscored)} without a score" if item.unscored else "")


def _level(share: float) -> str:
    return f"{number(100 * share)} %"


def _code(text: str) -> _Markdown:
    """A file name or a digest in a code span; text that could end one is escaped instead."""
    return _Markdown(f"`{text}`" if re.fullmatch(r"[\w./-]+", text, re.ASCII) else escape(text, SENTENCE_LIMIT))


def _escaped(value: Any) -> str:
    return value if isinstance(value, _Markdown) else escape(str(value), SENTENCE_LIMIT)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(code=_code, level=_level, moment=moment)
    return environment
