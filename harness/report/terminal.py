"""The page model on a terminal: verdict, checks and arms; no data is read as markup or control."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.findings import Decision, Status
from harness.report.formatting import NOTHING, one_line, plural
from harness.report.page import ArmTable, CheckRow, Page, ScoreCell, ScoreColumn, ScoreTable

WIDE = 140  # columns, in which an arm's scores stand beside what it took

_STYLES: dict[Decision | Status, str] = {
    "ship": "bold green",
    "hold": "bold red",
    "undecided": "bold yellow",
    "pass": "green",
    "fail": "bold red",
}


def print_summary(page: Page, console: Console) -> None:
    """Print the verdict with its sentence, the checks, what it can be trusted with, every arm, scores and warnings."""
    console.print()
    console.print(Text(f"{page.symbol} {page.word.upper()}", style=_STYLES[page.decision]), _plain(page.suite))
    console.print(_plain(page.sentence))
    for note in page.notes:
        console.print(Text(one_line(note), style="dim"))
    console.print(_check_table(page))
    for check in page.checks:
        if check.status != "pass":
            console.print(_told(check))
    console.print(_plain(" · ".join(f"{fact.label}: {fact.value}" for fact in page.trust)))
    for scores, use in ((True, True),) if console.width >= WIDE else ((True, False), (False, True)):
        console.print(_arm_table(page.arms, scores=scores, use=use))
    for line in page.arms.break_even:
        console.print(_plain(line))
    for note in page.arms.notes:
        console.print(Text(one_line(note), style="yellow"))
    if page.scores.rows:
        console.print(_score_table(page.scores, intervals=console.width >= 16 * (len(page.scores.columns) + 1)))
    if page.warnings:
        console.print(Text(plural(len(page.warnings), "warning"), style="bold yellow"))
    for warning in page.warnings:
        console.print(Text(f"! {one_line(warning)}", style="yellow"))


def _check_table(page: Page) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("Result", "Check"):
        table.add_column(header, overflow="fold")
    for header in ("Needed", "Measured", "n"):
        table.add_column(header, justify="right", overflow="fold")
    for check in page.checks:
        word = f"{check.symbol} {check.status_text}{'' if check.blocking else ' (not blocking)'}"
        table.add_row(
            Text(word, style=_STYLES[check.status]),
            _two_lines(check.title, check.against),
            _plain(check.needed),
            _two_lines(check.measured, check.interval),
            _plain(check.n),
        )
    return table


def _told(check: CheckRow) -> Text:
    told = check.reason + (f"; to settle it: {check.needs}" if check.needs else "")
    return Text.assemble((f"{check.symbol} {one_line(check.name)}: ", _STYLES[check.status]), one_line(told))


def _arm_table(arms: ArmTable, *, scores: bool, use: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("Arm", overflow="fold")
    for column in arms.columns if scores else ():
        table.add_column(_heading(column, intervals=True), justify="right", overflow="fold")
    for heading in arms.uses if use else ():
        table.add_column(_plain(heading), justify="right", overflow="fold", max_width=9)
    for arm in arms.rows:
        cells = [_score(cell, intervals=True) for cell in arm.scores] if scores else []
        name = _two_lines(arm.name, arm.kind, style="bold" if arm.is_candidate else "")
        table.add_row(name, *cells, *(map(_plain, arm.use) if use else ()))
    return table


def _score_table(scores: ScoreTable, *, intervals: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("System", overflow="fold")
    for column in scores.columns:
        table.add_column(_heading(column, intervals=intervals), justify="right", overflow="fold")
    for row in scores.rows:
        style = "bold" if row.is_candidate else ""
        table.add_row(
            Text(one_line(row.system), style=style), *(_score(cell, intervals=intervals) for cell in row.cells)
        )
    return table


def _score(cell: ScoreCell | None, *, intervals: bool) -> Text:
    if cell is None:
        return Text(NOTHING, style="dim")
    return _two_lines(cell.value, cell.interval if intervals else "")


def _heading(column: ScoreColumn, *, intervals: bool) -> Text:
    return _two_lines(column.scorer, column.dataset + (f", n = {column.n}" if intervals else ""))


def _two_lines(first: str, second: str, *, style: str = "") -> Text:
    return Text.assemble((one_line(first), style), (f"\n{one_line(second)}" if second else "", "dim"))


def _plain(text: str) -> Text:
    return Text(one_line(text))
