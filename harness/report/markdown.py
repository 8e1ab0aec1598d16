"""The page model as Markdown for a pull request comment or a step summary: verdict first, details folded.

Foreign text cannot become markup, a mention or a link: inside sentences and tables its special characters are
escaped, and answers stand in code fences that are longer than any fence inside them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from harness.report.formatting import clip, count, duration, one_line, plural
from harness.report.page import ChangeSet, CheckRow, ExampleRow, FactGroup, Page, ScoreTable

LIMIT = 60_000  # characters; GitHub refuses a comment of more than 65,536
CELL_LIMIT = 300
SENTENCE_LIMIT = 1_000
ANSWER_LIMIT = 500
SHOWN_CHANGES = 3

SHOWN_NOTES = 20

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&$]|^[-+=]|(?<=^\d)[.)])")
# A mention, an issue number and a bare address become links on GitHub even where their characters are
# escaped; a zero-width space keeps them text.
_LINKS = re.compile(r"(@|\bGH-|://|\bwww\.|#)(?=\S)", re.IGNORECASE)
_ZERO_WIDTH_SPACE = "\u200b"


def render_markdown(page: Page) -> str:
    """Return at most 60,000 characters of Markdown, from h3 on; what did not fit is named at its end."""
    blocks = [("verdict", _head(page)), ("checks", _checks(page)), *_folded(page)]
    kept, left_out, size = [], [], 0
    reserve = 2 * CELL_LIMIT + 200  # for the line that names what was left out
    for name, block in blocks:
        if not block:
            continue
        if size + len(block) + 2 > LIMIT - reserve:
            left_out.append(name)
            continue
        kept.append(block)
        size += len(block) + 2
    if left_out:
        names = escape(", ".join(left_out))
        kept.append(f"_Cut at {count(LIMIT)} characters. In the HTML report only: {names}._")
    return "\n\n".join(kept) + "\n"


def escape(text: str, limit: int = CELL_LIMIT) -> str:
    """Return foreign text as one line that Markdown shows as it is, wherever it stands."""
    return _SPECIAL.sub(r"\\\1", _unlinked(clip(one_line(text), limit)))


def fence(text: str, limit: int = ANSWER_LIMIT) -> str:
    """Return foreign text in a code fence longer than any run of backticks inside it."""
    shown = clip(text, limit)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}text\n{shown}\n{ticks}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return a table of cells that are already escaped; columns in `right` are aligned to the right."""
    rule = ["---:" if place in right else "---" for place in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def _head(page: Page) -> str:
    lines = [
        f"### {page.symbol} {page.word}: {escape(page.suite)}",
        escape(page.sentence, SENTENCE_LIMIT),
        *(f"_{note}_" for note in _first(page.notes)),
    ]
    warnings = "\n".join(f"- ! {warning}" for warning in _first(page.warnings))
    return "\n\n".join([*lines, warnings] if warnings else lines)


def _first(texts: Sequence[str]) -> list[str]:
    shown = [escape(text) for text in texts[:SHOWN_NOTES]]
    return [*shown, f"and {len(texts) - SHOWN_NOTES} more"] if len(texts) > SHOWN_NOTES else shown


def _checks(page: Page) -> str:
    if not page.checks:
        return "Nothing was checked."
    rows = [
        (
            f"{check.symbol} {check.status_text}{'' if check.blocking else ' (not blocking)'}",
            escape(check.title),
            escape(check.baseline) or "–",
            escape(check.needed),
            escape(f"{check.measured} ({check.interval})" if check.interval else check.measured),
            check.n,
        )
        for check in page.checks
    ]
    return table(("Result", "Check", "Against", "Needed", "Measured", "n"), rows, right=(5,))


def _folded(page: Page) -> list[tuple[str, str]]:
    """Return the details, what matters most for the decision first."""
    changes = [
        (f"changes against {item.baseline}", _changes(item, page.examples.systems[0]))
        for item in sorted(page.changes, key=lambda item: item.baseline != page.closest)
    ]
    tags = [_score_block(tag_table) for tag_table in page.tag_scores]
    return [
        ("how each check was decided", _details("How each check was decided", _decided(page.checks))),
        ("scores", _details("Scores", _score_block(page.scores))),
        *changes,
        ("scores by tag", _details("Scores by tag", "\n\n".join(tags))),
        ("benchmarks", _details("Benchmarks", _benchmarks(page))),
        ("training", _details("Training", _training(page))),
        ("schema errors", _details("Schema errors", _schema_errors(page))),
        ("this run", _details("This run", _identity(page))),
    ]


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>" if body else ""


def _decided(checks: Sequence[CheckRow]) -> str:
    lines = []
    for check in checks:
        parts = [escape(check.reason, SENTENCE_LIMIT)]
        if check.needs:
            parts.append(f"To settle it: {escape(check.needs, SENTENCE_LIMIT)}")
        if check.declared_reason:
            parts.append(f"Why the bar is where it is: {escape(check.declared_reason)}")
        if check.method:
            parts.append(f"Method: {escape(check.method)}")
        told = ". ".join(part.rstrip(".") for part in parts)
        lines.append(f"- {check.symbol} **{escape(check.name)}**: {told}.")
    return "\n".join(lines)


def _score_block(scores: ScoreTable) -> str:
    if not scores.rows:
        return ""
    header = ["System", *(f"{escape(c.scorer)} ({escape(c.dataset)}, n = {c.n})" for c in scores.columns)]
    rows = [
        [
            f"**{escape(row.system)}**" if row.is_candidate else escape(row.system),
            *("–" if cell is None else f"{cell.value} ({cell.interval})" for cell in row.cells),
        ]
        for row in scores.rows
    ]
    return f"**{escape(scores.title)}**\n\n" + table(header, rows, right=range(1, len(header)))


def _changes(change: ChangeSet, candidate: str) -> str:
    parts = [
        part
        for word, rows in (("Got worse", change.worse), ("Got better", change.better))
        for part in _changed(word, rows, change, candidate)
    ]
    summary = f"Against {_html(change.baseline)}: {len(change.worse)} worse, {len(change.better)} better"
    return _details(summary, "\n\n".join(parts))


def _changed(word: str, rows: Sequence[ExampleRow], change: ChangeSet, candidate: str) -> list[str]:
    more = f", the first {SHOWN_CHANGES} of them" if len(rows) > SHOWN_CHANGES else ""
    parts = [f"**{word}: {plural(len(rows), 'example')}{more}**"] if rows else []
    for row in rows[:SHOWN_CHANGES]:
        parts += [f"`{_code(row.id)}`", fence(row.input)]
        if row.reference is not None:
            parts += ["Reference", fence(row.reference)]
        for name, answer in ((candidate, row.answers[0]), (change.baseline, row.answers[change.system])):
            if answer is not None:
                parts += [
                    escape(name) + (f": {escape(answer.problem)}" if answer.problem else ""),
                    fence(answer.text),
                ]
    return parts


def _benchmarks(page: Page) -> str:
    blocks = []
    for benchmark in page.benchmarks:
        rows = [[escape(item.subject), item.weight, *item.cells] for item in benchmark.subjects]
        header = ["Subject", "Weight", *(escape(name) for name in benchmark.systems)]
        blocks += [
            _score_block(benchmark.accuracy),
            f"Guessing scores {benchmark.chance}.",
            table(header, rows, right=range(1, len(header))),
        ]
    return "\n\n".join(block for block in blocks if block)


def _training(page: Page) -> str:
    if page.training is None:
        return ""
    rows = [(fact.label, escape(fact.value)) for fact in (*page.training.facts, *page.liveness)]
    return escape(page.training.sentence, SENTENCE_LIMIT) + "\n\n" + table(("Fact", "Value"), rows)


def _schema_errors(page: Page) -> str:
    return "\n\n".join(
        f"**{escape(errors.system)}**\n\n"
        + table(("What", "How often"), [(escape(what), often) for what, often in errors.rows], right=(1,))
        for errors in page.schema_errors
    )


def _identity(page: Page) -> str:
    arms = [
        (
            escape(arm.name),
            escape(arm.role),
            escape(arm.kind) or "–",
            arm.answers,
            escape(f"{arm.problems} {arm.note}"),
        )
        for arm in page.arms
    ]
    blocks = [
        "Run it again:",
        fence(page.command, SENTENCE_LIMIT),
        table(("System", "Role", "Kind", "Answers", "Notes"), arms, right=(3,)),
        *(_fact_table(group) for group in page.identity),
        f"Judged {escape(page.judged)} after {duration(page.seconds)}.",
    ]
    return "\n\n".join(blocks)


def _fact_table(group: FactGroup) -> str:
    return table((group.title, ""), [(escape(fact.label), escape(fact.value)) for fact in group.facts])


def _code(text: str) -> str:
    return clip(one_line(text), CELL_LIMIT).replace("`", "'")


def _html(text: str) -> str:
    """Return foreign text for the inside of an HTML element, where Markdown escapes are not read."""
    return html.escape(_unlinked(clip(one_line(text), CELL_LIMIT)))


def _unlinked(text: str) -> str:
    return _LINKS.sub(lambda match: match[0] + _ZERO_WIDTH_SPACE, text)
