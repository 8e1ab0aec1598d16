"""Commands about suites: validate and plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.output import json_option, load, print_json, say_notes, suite_options

if TYPE_CHECKING:
    from harness.spending import Spending


@click.command()
@suite_options
@json_option
def validate(suite: Path, settings: tuple[str, ...], as_json: bool) -> None:
    """Check a suite and its data; every problem with file, line and column."""
    from harness.prepare import read_inputs
    from harness.store.project import project_folders

    loaded = load(suite, settings)
    inputs = read_inputs(loaded, registry=project_folders(loaded.folder).baselines)
    sets = inputs.datasets
    counts = {"train": len(sets.train), "validation": len(sets.validation), "test": len(sets.test)}
    counts |= {"probe": len(sets.probe), "mix": len(sets.mix)}
    if as_json:
        found = {"rows": counts, "data": sets.formats, "warnings": inputs.warnings}
        print_json({"suite": loaded.suite.suite, "digest": loaded.digest, **found})
        return
    rows = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    click.echo(f"{loaded.suite.suite} is valid; rows: {rows}")
    click.echo("\n".join(_data_lines(sets.formats)))
    say_notes(inputs.warnings, inputs.absent)


@click.command()
@suite_options
@click.option("--probe", is_flag=True, help="Load the model and measure what the run would take.")
@json_option
def plan(suite: Path, settings: tuple[str, ...], probe: bool, as_json: bool) -> None:
    """Say what each check could detect, what would settle it and what a run costs, before anything is spent."""
    from dataclasses import asdict

    from harness.planning import plan_checks
    from harness.prepare import read_inputs
    from harness.spending import plan_spending
    from harness.store.project import project_folders
    from harness.store.runs import latest_run

    loaded = load(suite, settings)
    folders = project_folders(loaded.folder)
    inputs = read_inputs(loaded, registry=folders.baselines)
    earlier = latest_run(folders.reports, loaded.suite.suite)
    plans, spending = plan_checks(inputs, earlier), plan_spending(inputs, earlier)
    cost = None
    if probe:
        from harness.clock import utc_now
        from harness.probing import probe_run
        from harness.progress import PrintedProgress

        cost = probe_run(inputs, clock=utc_now, progress=PrintedProgress())
    if as_json:
        run = earlier.manifest.run_id if earlier else None
        found = {"data": inputs.datasets.formats, "checks": [asdict(item) for item in plans]}
        found["spending"] = asdict(spending)
        probed = {"cost": {**asdict(cost), "seconds": cost.seconds}} if cost else {}
        print_json({"suite": loaded.suite.suite, "earlier_run": run, **found, **probed})
        return
    source = f"as run {earlier.manifest.run_id} tells" if earlier else "nothing has run yet, so shares are assumed"
    click.echo(f"{loaded.suite.suite}: what each check could detect; {source}")
    for item in plans:
        click.echo(item.name)
        for line in item.lines:
            click.echo(f"    {line}")
        for warning in item.warnings:
            click.echo(f"  ! {warning}")
    click.echo("\n".join(["data", *_data_lines(inputs.datasets.formats)]))
    lines = list(_machine_lines(spending))
    if cost is not None:
        from harness.probing import lines_of

        lines += lines_of(cost)
    elif not lines:
        lines = [f"time and memory are not known yet; to measure them here: harness plan {suite} --probe"]
    click.echo("\n".join(["cost", *(f"    {line}" for line in (*lines, *_server_lines(spending)))]))
    say_notes(inputs.warnings, inputs.absent)


def _data_lines(formats: Mapping[str, str]) -> Iterator[str]:
    """What each file was found to hold."""
    yield from (f"    {file}: {held}" for file, held in formats.items())


def _machine_lines(spending: Spending) -> Iterator[str]:
    """What the last run took on its machine; nothing without one."""
    from harness.report.formatting import amount, count, duration

    if (last := spending.last) is None:
        return
    stages = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in last.seconds.items())
    whole = [duration(sum(last.seconds.values()))]
    whole += [f"{last.peak_bytes / 2**30:.1f} GiB of memory"] if last.peak_bytes is not None else []
    whole += [f"{amount(last.cost)} {spending.currency}"] if last.cost is not None else []
    yield f"run {last.run_id} took {', '.join(whole)}: {stages}"
    if last.stored:
        yield f"    {count(last.stored)} of its answers and scores were read from the store, and took no time"


def _server_lines(spending: Spending) -> Iterator[str]:
    """What each server will be asked for, and whether money can be spoken of."""
    from harness.report.formatting import amount, count, plural

    for server in spending.servers:
        parts = [f"up to {plural(server.requests, 'request')}"]
        parts += [f"about {count(server.tokens)} tokens as in the last run"] if server.tokens is not None else []
        cost = f"{amount(server.cost)} {spending.currency}" if server.cost is not None else "cost not known"
        why = f": {server.unknown}" if server.unknown else ""
        yield f"{server.name} ({server.model}): {', '.join(parts)}, {cost}{why}"
    if spending.currency is None:
        yield "nothing is said in money, since the suite declares no `prices`"
