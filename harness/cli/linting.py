"""The command about what is wrong with a suite's data: lint."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.output import json_option, load, print_json, suite_options

if TYPE_CHECKING:
    from harness.data.rules import Finding
    from harness.linting import LintResult

SHOWN = 20  # findings of one rule; --json has all


@click.command()
@suite_options
@json_option
def lint(suite: Path, settings: tuple[str, ...], as_json: bool) -> None:
    """Find what is wrong with the data of a suite: leaks, contradictions, faulty rows; exit 2 for an error."""
    from harness.engine.local_models import find_local
    from harness.environment import cache_folder
    from harness.linting import lint_suite

    loaded = load(suite, settings)
    model = find_local(loaded.suite.model, suite_folder=loaded.folder, cache=cache_folder())
    result = lint_suite(loaded, model=model)
    if as_json:
        print_json({"suite": loaded.suite.suite, **_plain(result)})
    else:
        _show(loaded.suite.suite, result)
    sys.exit(int(result.exit_code))


def _plain(result: LintResult) -> dict[str, object]:
    return {
        "exit_code": int(result.exit_code),
        "rows": result.rows,
        "counts": _counts(result),
        "findings": [
            {
                "rule": found.rule,
                "severity": found.severity,
                "where": found.where,
                "other": found.other,
                "what": found.what,
                "why": found.why,
                "to_do": found.remedy,
            }
            for found in result.findings
        ],
        "not_checked": result.not_checked,
        "work": result.work,
    }


def _counts(result: LintResult) -> dict[str, int]:
    severities = [found.severity for found in result.findings]
    return {severity: severities.count(severity) for severity in ("error", "warning", "note")}


def _show(name: str, result: LintResult) -> None:
    from harness.report.formatting import clean, one_line, plural

    for _, group in groupby(result.findings, key=lambda found: found.rule):
        found = list(group)
        for one in found[:SHOWN]:
            click.echo(clean(one_line(_line(one))))
        if len(found) > SHOWN:
            click.echo(f"  and {len(found) - SHOWN:,} more of {found[0].rule}; --json has all")
        click.echo(f"  why: {found[0].why}\n  to do: {found[0].remedy}")
    for sentence in result.not_checked:
        click.echo(f"note: {sentence}", err=True)
    rows = ", ".join(f"{count:,} {name}" for name, count in result.rows.items())
    counts = ", ".join(plural(count, severity) for severity, count in _counts(result).items())
    click.echo(f"{name}: {counts} in {rows} rows")


def _line(found: Finding) -> str:
    other = f" ({found.other})" if found.other else ""
    return f"{found.where}: {found.severity} [{found.rule}] {found.what}{other}"
