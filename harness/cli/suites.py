"""Commands about suites: validate, init."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.output import json_option, load, print_json, say_notes, suite_options


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
        print_json({"suite": loaded.suite.suite, "digest": loaded.digest, "rows": counts, "warnings": inputs.warnings})
        return
    click.echo(f"{loaded.suite.suite} is valid: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    say_notes(inputs.warnings, inputs.absent)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--from", "data", type=click.Path(path_type=Path), help="Your rows (JSON Lines); else sample rows.")
@json_option
def init(folder: Path, data: Path | None, as_json: bool) -> None:
    """Write a suite that validates and runs, from your rows or from sample rows."""
    from harness.starting import write_suite

    files = write_suite(folder, data)
    if as_json:
        print_json({"suite": str(folder), "files": files})
        return
    click.echo(f"{folder}: wrote {', '.join(files)}\nnext: harness validate {folder} && harness run {folder}")


@click.command()
@suite_options
@click.option("--probe", is_flag=True, help="Load the model and measure what the run would take.")
@json_option
def plan(suite: Path, settings: tuple[str, ...], probe: bool, as_json: bool) -> None:
    """Say what each check could detect, and what would settle it, before anything is spent."""
    from dataclasses import asdict

    from harness.planning import plan_checks
    from harness.prepare import read_inputs
    from harness.store.project import project_folders
    from harness.store.runs import latest_run

    loaded = load(suite, settings)
    folders = project_folders(loaded.folder)
    inputs = read_inputs(loaded, registry=folders.baselines)
    earlier = latest_run(folders.reports, loaded.suite.suite)
    plans = plan_checks(inputs, earlier)
    cost = None
    if probe:
        from harness.clock import utc_now
        from harness.probing import probe_run
        from harness.progress import PrintedProgress

        cost = probe_run(inputs, clock=utc_now, progress=PrintedProgress())
    if as_json:
        run = earlier.manifest.run_id if earlier else None
        found = {"suite": loaded.suite.suite, "earlier_run": run, "checks": [asdict(item) for item in plans]}
        print_json(found | ({"cost": {**asdict(cost), "seconds": cost.seconds}} if cost else {}))
        return
    for item in plans:
        click.echo(item.name)
        for line in item.lines:
            click.echo(f"    {line}")
        for warning in item.warnings:
            click.echo(f"  ! {warning}")
    if cost is not None:
        from harness.probing import lines_of

        click.echo("\n".join(["cost", *(f"    {line}" for line in lines_of(cost))]))
    say_notes(inputs.warnings, inputs.absent)
