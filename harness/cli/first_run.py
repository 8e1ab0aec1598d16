"""The command for a machine on which nothing has run yet: doctor."""

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


def _show(finding: Finding) -> None:
    aside = "" if finding.passed or finding.essential else " (not essential)"
    click.echo(f"{'✓' if finding.passed else '✕'} {finding.name}{aside}: {finding.found}")
    if finding.fix:
        click.echo(f"    fix: {finding.fix}")
