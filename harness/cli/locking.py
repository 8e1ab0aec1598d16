"""The command that locks a suite before anything is trained."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.completion import complete_suites
from harness.cli.output import json_option, load, print_json, say_notes


@click.command()
@click.argument("suite", type=click.Path(path_type=Path), shell_complete=complete_suites)
@json_option
def lock(suite: Path, as_json: bool) -> None:
    """Write down what a suite asks and by which bars, so that `run --locked` refuses every later change."""
    from harness.clock import utc_now
    from harness.locking import lock_suite
    from harness.prepare import read_inputs
    from harness.store.project import project_folders

    loaded = load(suite, ())
    inputs = read_inputs(loaded, registry=project_folders(loaded.folder).baselines)
    found = lock_suite(inputs, utc_now)
    if as_json:
        facts = {"lock": str(found.path), "digest": found.lock.digest, "locked": found.lock.locked}
        print_json({**facts, "new": found.new, "changes": found.changes, "files": dict(found.lock.files)})
        return
    say_notes(inputs.warnings, inputs.absent)
    for change in found.changes:
        click.echo(f"changed since the lock before: {change}")
    checks = len(loaded.suite.checks)
    what = f"{len(found.lock.files)} files and folders, {checks} checks"
    if not found.new:
        click.echo(f"{found.path}: still holds, locked at {found.lock.locked}: {what}")
        return
    click.echo(f"{found.path}: locked at {found.lock.locked}: {what}")
    click.echo(f"commit it; from now on: harness run {suite} --locked")
