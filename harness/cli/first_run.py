"""The commands for whoever has run nothing yet: doctor and init."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.output import json_option, print_json
from harness.errors import ExitCode

if TYPE_CHECKING:
    from harness.doctor import Finding


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Examine this machine: what a run needs, what is there, and how to mend what is not."""
    from dataclasses import asdict

    from harness.doctor import examine

    findings = []
    for finding in examine(Path.cwd()):
        findings.append(finding)
        if not as_json:
            _show(finding)
    essential = [finding for finding in findings if finding.essential]
    missing = [finding.name for finding in essential if not finding.passed]
    if as_json:
        print_json({"ready": not missing, "findings": [asdict(finding) for finding in findings]})
    elif missing:
        click.echo(f"not ready: {', '.join(missing)}")
    else:
        click.echo(f"ready: all {len(essential)} essential lines pass")
    sys.exit(int(ExitCode.BROKE if missing else ExitCode.SHIP))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "data",
    type=click.Path(path_type=Path),
    help="Your rows: JSON Lines, JSON, CSV or Parquet, also .gz; else sample rows.",
)
@json_option
def init(folder: Path, data: Path | None, as_json: bool) -> None:
    """Write a suite that validates and runs, from your rows or from sample rows."""
    import shlex
    from dataclasses import asdict

    from harness.starting import write_suite

    made = write_suite(folder, data)
    if as_json:
        print_json({"suite": str(folder), **asdict(made)})
        return
    click.echo("\n".join(made.found))
    click.echo(f"{folder}: wrote {', '.join(made.files)}")
    source = data or "sample support tickets"
    click.echo(f"{made.train_rows:,} rows to train on and {made.test_rows:,} to test on, drawn from {source}\nnext:")
    place = shlex.quote(str(folder))
    steps = {
        "harness doctor": "is this machine ready?",
        f"harness validate {place}": "are suite and rows as they should be?",
        f"harness lint {place}": "are there leaks, contradictions or other faults in the rows?",
        f"harness plan {place}": "what can so many test rows show?",
        f"harness run {place}": "train, compare and decide",
    }
    for command, why in steps.items():
        click.echo(f"  {command:<{max(map(len, steps))}}  {why}")


def _show(finding: Finding) -> None:
    aside = "" if finding.passed or finding.essential else " (not essential)"
    click.echo(f"{'✓' if finding.passed else '✕'} {finding.name}{aside}: {finding.found}")
    if finding.fix:
        click.echo(f"    fix: {finding.fix}")
