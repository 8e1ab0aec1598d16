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
