"""The page model as Markdown for a pull request comment or a step summary: the first screen, then details folded.

Foreign text cannot become markup, a mention or a link: inside sentences and tables its special characters are
escaped, and answers stand in code fences that are longer than any fence inside them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from harness.report.formatting import clip, count, duration, one_line, plural
from harness.report.page import (
    ArmTable,
    ChangeSet,
    ChangeSide,
    CheckRow,
    ComparisonRow,
    ExampleRow,
    Fact,
    FactGroup,
    Page,
    ScoreCell,
    ScoreColumn,
    ScoreTable,
    SliceTable,
    TrainingView,
)

# Characters. GitHub refuses a comment of more than 65,536 and a step summary of more than 1 MiB, which is more bytes
# than so many characters can have.
LIMIT = 60_000
CELL_LIMIT = 300
SENTENCE_LIMIT = 1_000
ANSWER_LIMIT = 500
SHOWN_CHANGES = 3

# What is never cut must fit whatever the texts are: escaping doubles them at most.
SHOWN_NOTES = 8
SHOWN_CHECKS = 30
SHORT_LIMIT = 100
FACT_LIMIT = 160

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&$]|^[-+=]|(?<=^\d)[.)])")
# A mention, an issue number and a bare address become links on GitHub even where their characters are
# escaped; a zero-width space keeps them text.
_LINKS = re.compile(r"(@|\bGH-|://|\bwww\.|#)(?=\S)", re.IGNORECASE)
_ZERO_WIDTH_SPACE = "\u200b"


def render_markdown(page: Page) -> str:
    """Return at most 60,000 characters of Markdown, from h3 on.

    What the first screen shows is always there; folded details that do not fit are named at the end.
    """
    first = [_head(page), _checks(page), _highlights(page), _essentials(page)]
    kept, left_out = [block for block in first if block], []
    size = sum(len(block) + 2 for block in kept) + 2 * CELL_LIMIT + 200  # and the line that names what was left out
    for name, block in _folded(page):
        if not block:
            continue
        if size + len(block) + 2 > LIMIT:
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
            escape(check.title, SHORT_LIMIT),
            escape(check.against.removeprefix("against ") or "–", SHORT_LIMIT),
            escape(check.needed, SHORT_LIMIT),
            escape(f"{check.measured} ({check.interval})" if check.interval else check.measured, SHORT_LIMIT),
            check.n,
        )
        for check in page.checks[:SHOWN_CHECKS]
    ]
    shown = table(("Result", "Check", "Against", "Needed", "Measured", "n"), rows, right=(5,))
    more = len(page.checks) - SHOWN_CHECKS
    return shown if more <= 0 else f"{shown}\n\nand {plural(more, 'further check')} in the HTML report."


def _highlights(page: Page) -> str:
    found = page.highlights
    if found is None:
        return ""
    against = escape(found.baseline, SHORT_LIMIT)
    sides = (("▼ Got worse", found.worse), ("▲ Got better", found.better))
    return "\n".join(f"- **{word}** against {against}: {_side(side)}" for word, side in sides)


def _side(side: ChangeSide) -> str:
    slices = f" ({escape('; '.join(side.slices), SHORT_LIMIT)})" if side.slices else ""
    examples = ", ".join(f"`{_code(row.id, SHORT_LIMIT)}`" for row in side.worst)
    return f"{side.count}{slices}" + (f", most of all {examples}" if examples else "")


def _essentials(page: Page) -> str:
    return "\n\n".join(
        (
            f"**Can it be trusted?** {_line(page.trust)}",
            f"**What was judged:** {_line(page.essentials)}. Run it again:",
            fence(page.command, SENTENCE_LIMIT),
        )
    )


def _line(facts: Sequence[Fact]) -> str:
    return " · ".join(
        f"{escape(fact.label, SHORT_LIMIT)}: "
        + (f"`{_code(fact.value, SHORT_LIMIT)}`" if fact.code else escape(fact.value, FACT_LIMIT))
        for fact in facts
    )


def _folded(page: Page) -> list[tuple[str, str]]:
    """Return the details, what matters most for the decision first."""
    changes = [
        (f"changes against {item.baseline}", _changes(item, page.examples.systems[0]))
        for item in sorted(page.changes, key=lambda item: item.baseline != page.closest)
    ]
    return [
        ("how each check was decided", _details("How each check was decided", _decided(page.checks))),
        ("arms", _details("Arms", _arms(page.arms))),
        ("further scores", _details("Further scores", _score_block(page.scores))),
        ("leakage", _details("Leakage", _leakage(page))),
        *changes,
        ("slices", _details("Slices", "\n\n".join(map(_slices, page.slices)))),
        ("schema errors", _details("Schema errors", _schema_errors(page))),
        ("what the judges preferred", _details("What the judges preferred", _judged(page))),
        ("benchmarks", _details("Benchmarks", _benchmarks(page))),
        ("training", _details("Training", _training(page))),
        ("calibration and lengths", _details("Calibration and answer lengths", _calibration_and_lengths(page))),
        ("earlier runs", _details("Earlier runs", _history(page))),
        ("scores by tag", _details("Scores by tag", "\n\n".join(map(_score_block, page.tag_scores)))),
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
        if check.accepted:
            parts.append(f"Accepted: {escape(check.accepted)}")
        if check.detectable:
            parts.append(f"The smallest true difference that it shows with 80 % power: {check.detectable}")
        if check.declared_reason:
            parts.append(f"Why the bar is where it is: {escape(check.declared_reason)}")
        if check.method:
            parts.append(f"Method: {escape(check.method)}")
        told = ". ".join(part.rstrip(".") for part in parts)
        lines.append(f"- {check.symbol} **{escape(check.name)}**: {told}.")
    return "\n".join(lines)


def _arms(arms: ArmTable) -> str:
    if not arms.rows:
        return ""
    header = ["Arm", "Kind", *_score_headers(arms.columns), *map(escape, arms.uses)]
    rows = [
        [_system(arm.name, is_candidate=arm.is_candidate), escape(arm.kind) or "–", *map(_cell, arm.scores), *arm.use]
        for arm in arms.rows
    ]
    told = [escape(line, SENTENCE_LIMIT) for line in arms.break_even]
    notes = "\n".join(f"- {escape(note, SENTENCE_LIMIT)}" for note in arms.notes)
    return "\n\n".join([table(header, rows, right=range(2, len(header))), *told, *([notes] if notes else [])])


def _score_headers(columns: Sequence[ScoreColumn]) -> list[str]:
    return [f"{escape(column.scorer)} ({escape(column.dataset)}, n = {column.n})" for column in columns]


def _system(name: str, *, is_candidate: bool) -> str:
    return f"**{escape(name)}**" if is_candidate else escape(name)


def _cell(cell: ScoreCell | None) -> str:
    return "–" if cell is None else f"{cell.value} ({cell.interval})"


def _score_block(scores: ScoreTable) -> str:
    if not scores.rows:
        return ""
    header = ["System", *_score_headers(scores.columns)]
    rows = [[_system(row.system, is_candidate=row.is_candidate), *map(_cell, row.cells)] for row in scores.rows]
    return f"**{escape(scores.title)}**\n\n" + table(header, rows, right=range(1, len(header)))


def _leakage(page: Page) -> str:
    found = page.leakage
    if found is None:
        return ""
    header = ("System", f"Clean subset, n = {found.clean_n}", f"All rows, n = {found.n}", "Gain, clean", "Gain, all")
    scores = [
        (_system(row.system, is_candidate=row.is_candidate), row.clean, row.full, row.clean_gain, row.full_gain)
        for row in found.rows
    ]
    leaks = [map(escape, (row.id, row.source, row.twin, row.how, row.sure)) for row in found.leaks]
    return "\n\n".join(
        (
            f"{escape(found.sentence, SENTENCE_LIMIT)} {found.looked_for}",
            f"**{escape(found.scorer)}**\n\n{table(header, scores, right=range(1, 5))}",
            table(("Test row", "Where", "Training row", "How", "Sure"), map(tuple, leaks)) + f"\n\n{found.more}",
        )
    ).rstrip()


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


def _slices(slices: SliceTable) -> str:
    header = ["Slice", "n", "Candidate", *(f"Gain over {escape(name)}" for name in slices.baselines)]
    rows = [[escape(row.tag), row.n, _cell(row.score), *map(_gain, row.gains)] for row in slices.rows]
    return f"**{escape(slices.scorer)}**\n\n" + table(header, rows, right=range(1, len(header)))


def _gain(gain: ComparisonRow | None) -> str:
    return "–" if gain is None else escape(f"{gain.delta} ({gain.interval})")


def _training(page: Page) -> str:
    named = [page.training] if page.training is not None else []
    blocks = [_trained(training, f"**{escape(training.system)}**: ") for training in (*named, *page.other_trainings)]
    live = table(("The adapter is live", ""), [(fact.label, escape(fact.value)) for fact in page.liveness])
    return "\n\n".join([*blocks, *([live] if page.liveness else [])])


def _trained(training: TrainingView, title: str) -> str:
    rows = [(fact.label, escape(fact.value)) for fact in training.facts]
    return title + escape(training.sentence, SENTENCE_LIMIT) + "\n\n" + table(("Fact", "Value"), rows)


def _schema_errors(page: Page) -> str:
    rows = [
        (escape(row.system), escape(row.keyword), escape(row.path), row.count, escape(row.example))
        for row in page.schema_errors
    ]
    return table(("System", "Keyword", "Path", "How often", "For example"), rows, right=(3,)) if rows else ""


def _judged(page: Page) -> str:
    rows = [
        (
            escape(row.judge),
            escape(row.baseline),
            row.preferred,
            row.tied,
            row.against,
            row.missing or "0",
            row.agreement,
        )
        for row in page.judged_pairs
    ]
    header = ("Judge", "Against", "Candidate preferred", "Tie", "Baseline preferred", "No reply", "Both orders agree")
    return table(header, rows, right=range(2, len(header))) if rows else ""


def _calibration_and_lengths(page: Page) -> str:
    calibrated = table(
        ("System", "Scorer", "Expected calibration error", "n"),
        [(escape(view.system), escape(view.scorer), view.ece, view.n) for view in page.calibrations],
        right=(2, 3),
    )
    long = table(
        ("Characters", "Shortest", "Lower quartile", "Median", "Upper quartile", "Longest", "n"),
        [(escape(row.system), *row.texts, row.n) for row in page.lengths],
        right=range(1, 7),
    )
    return "\n\n".join([*([calibrated] if page.calibrations else []), *([long] if page.lengths else [])])


def _history(page: Page) -> str:
    if page.history is None:
        return ""
    rows = [
        (
            escape(point.run_id) + (" (this run)" if point.is_this else ""),
            f"{point.symbol} {escape(point.word)}",
            point.score,
        )
        for point in page.history.points
    ]
    return table(("Run", "Verdict", escape(page.history.scorer) or "Score"), rows, right=(2,))


def _identity(page: Page) -> str:
    judged = f"Judged {escape(page.judged)} after {duration(page.seconds)}."
    return "\n\n".join([*(_fact_table(group) for group in page.identity), judged])


def _fact_table(group: FactGroup) -> str:
    return table((group.title, ""), [(escape(fact.label), escape(fact.value)) for fact in group.facts])


def _code(text: str, limit: int = CELL_LIMIT) -> str:
    return clip(one_line(text), limit).replace("`", "'")


def _html(text: str) -> str:
    """Return foreign text for the inside of an HTML element, where Markdown escapes are not read."""
    return html.escape(_unlinked(clip(one_line(text), CELL_LIMIT)))


def _unlinked(text: str) -> str:
    return _LINKS.sub(lambda match: match[0] + _ZERO_WIDTH_SPACE, text)
