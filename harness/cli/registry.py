"""Commands about what was judged and promoted: promote, baselines, history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.completion import complete_runs, complete_suites
from harness.cli.output import json_option, print_json

if TYPE_CHECKING:
    from harness.historical import History, Trend

BLOCKS = "▁▂▃▄▅▆▇█"
MARKS = {True: "✓", False: "✕", None: "·"}
SHOWN_FLIPS = 10


@click.command()
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.option("--name", help="Name in the registry; the run's id by default.")
@click.option("--note", default="", help="A remark kept in the record.")
@click.option("--copy", is_flag=True, help="Keep the adapter's files in the registry also when they are over 5 MB.")
@click.option("--baselines", type=click.Path(path_type=Path), help="The registry; the project's by default.")
@json_option
def promote(run: Path, name: str | None, note: str, copy: bool, baselines: Path | None, as_json: bool) -> None:
    """Put the adapter of a run that shipped into the registry of baselines."""
    from harness.clock import utc_now
    from harness.promotion import promote_run

    folder, kept_at = promote_run(run, name=name, note=note, copy=copy, registry=baselines, clock=utc_now)
    if as_json:
        print_json({"baseline": str(folder), "adapter": str(kept_at)})
        return
    click.echo(f"promoted: {folder}\ncommit it, so that the next candidate is compared with it")
    if not kept_at.is_relative_to(folder):
        click.echo(
            f"its adapter is over 5 MB and stays in {kept_at}: other machines, CI too, cannot run the suite then; "
            "promote it again with --copy and another --name to commit it as well (Git LFS suits such files)"
        )


@click.command()
@click.argument("registry", type=click.Path(path_type=Path), default=Path("baselines"))
@json_option
def baselines(registry: Path, as_json: bool) -> None:
    """List the promoted adapters."""
    from harness.store.baselines import list_baselines

    found = list_baselines(registry)
    if as_json:
        rows = [{"suite": r.suite, "name": r.name, "promoted": r.promoted, "in_force": on} for r, on in found]
        print_json({"baselines": rows})
        return
    for record, in_force in found:
        click.echo(f"{'*' if in_force else ' '} {record.suite}/{record.name}  {record.promoted}  {record.sentence}")
    if not found:
        click.echo(f"nothing is promoted in {registry}")


@click.command()
@click.argument("suite", type=click.Path(path_type=Path), shell_complete=complete_suites)
@json_option
def history(suite: Path, as_json: bool) -> None:
    """Show each check over every stored run of a suite, oldest first, and the examples that keep flipping."""
    from dataclasses import asdict

    from harness.cli.output import load
    from harness.historical import suite_history
    from harness.store.project import project_folders

    loaded = load(suite, ())
    folders = project_folders(loaded.folder)
    found = suite_history(loaded, reports=folders.reports, registry=folders.baselines)
    if as_json:
        print_json(asdict(found))
        return
    for line in _history_lines(found):
        click.echo(line)


def _history_lines(found: History) -> Iterator[str]:
    from harness.report.formatting import clean, one_line, plural

    judged = {look.candidate_digest for look in found.looks if look.test_digest == found.test_digest}
    if found.runs:
        seen = f"; {plural(len(judged), 'candidate')} looked at it" if judged else ""
        yield f"{found.suite}: {plural(len(found.runs), 'run')} on test set {found.test_digest[:12]}{seen}"
    else:
        yield f"{found.suite}: no judged run is stored"
    for run in found.runs:
        name = f"  promoted as {run.promoted}{', in force' if run.in_force else ''}" if run.promoted else ""
        differs = f"  (other: {', '.join(run.differs)})" if run.differs else ""
        yield clean(f"{'*' if run.promoted else ' '} {run.run_id}  {run.decision:<9}{name}{differs}")
    for trend in found.trends:
        yield from ("", *_trend_lines(found, trend))
    if found.runs:
        yield from ("", *_flip_lines(found))
    for gone in found.left_out:
        yield one_line(clean(f"left out: {gone.run_id}: {gone.reason}"))


def _trend_lines(found: History, trend: Trend) -> Iterator[str]:
    from harness.report.formatting import clean, one_line
    from harness.report.view_checks import check_rows

    results = trend.results
    yield one_line(clean(f"{trend.check}  {_sparkline([None if r is None else r.observed for r in results])}"))
    for run, result in zip(found.runs, results, strict=True):
        if result is not None:
            (row,) = check_rows((result,), {})
            spread = f"  [{row.interval}]" if row.interval else ""
            needed = f"  (needed: {row.needed})" if result.limit is not None else ""
            mark = "*" if run.promoted else " "
            yield f"{mark} {one_line(run.run_id)}  {row.symbol} {row.status_text:<9}  {row.measured}{spread}{needed}"


def _flip_lines(found: History) -> Iterator[str]:
    from harness.report.formatting import clean, count, one_line, plural

    again = sum(flip.changes > 1 for flip in found.flips)
    yield (
        f"examples that keep flipping (right: {found.scorer} of 1): {count(len(found.flips))} of "
        f"{count(found.examples)} changed, {count(again)} of them more than once"
    )
    for flip in found.flips[:SHOWN_FLIPS]:
        marks = "".join(MARKS[right] for right in flip.right)
        yield f"  {marks}  {plural(flip.changes, 'change')}  {one_line(clean(flip.example_id))}"
    if len(found.flips) > SHOWN_FLIPS:
        yield f"  and {count(len(found.flips) - SHOWN_FLIPS)} more (--json lists all)"


def _sparkline(values: Sequence[float | None]) -> str:
    """One block a value, from the lowest to the highest of them; a dot where there is none."""
    known = [value for value in values if value is not None]
    low, reach = (min(known), max(known) - min(known)) if known else (0.0, 0.0)
    top = len(BLOCKS) - 1
    heights = [None if value is None else round((value - low) / reach * top) if reach else top // 2 for value in values]
    return "".join("·" if height is None else BLOCKS[height] for height in heights)
