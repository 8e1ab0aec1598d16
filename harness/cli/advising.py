"""The command that advises: what to try before a fine-tune, and what was measured already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.completion import complete_runs
from harness.cli.output import json_option, load, print_json, suite_options
from harness.errors import InvalidInputError

if TYPE_CHECKING:
    from harness.advice import Advice, Found
    from harness.store.runs import StoredRun


@click.command()
@suite_options
@click.argument("run", type=click.Path(path_type=Path), required=False, shell_complete=complete_runs)
@json_option
def advise(suite: Path, settings: tuple[str, ...], run: Path | None, as_json: bool) -> None:
    """Say what to try before fine-tuning for the suite's goal, what the suite lacks, and what its last run found."""
    from harness.advice import advise
    from harness.prepare import read_inputs
    from harness.store.facts import to_plain
    from harness.store.project import project_folders
    from harness.store.runs import latest_run

    loaded = load(suite, settings)
    folders = project_folders(loaded.folder)
    inputs = read_inputs(loaded, registry=folders.baselines)
    name = loaded.suite.suite
    stored = _own_run(run, name) if run is not None else latest_run(folders.reports, name)
    advice = advise(inputs, stored)
    if as_json:
        print_json(to_plain(advice))
        return
    click.echo("\n".join(_lines(advice)))


def _own_run(folder: Path, suite: str) -> StoredRun:
    from harness.store.runs import read_run

    stored = read_run(folder)
    if stored.manifest.suite != suite:
        raise InvalidInputError(
            f"{folder}: a run of the suite {stored.manifest.suite!r}, not of {suite!r}; "
            "give a run of this suite, or none for its last one"
        )
    return stored


def _lines(advice: Advice) -> Iterator[str]:
    from harness.report.formatting import clean
    from harness.trust.verdicts import LIFETIME

    for goal, path in advice.paths.items():
        yield f"to try for {goal}, in this order:"
        for number, step in enumerate(path, start=1):
            tried = f"in the suite as {', '.join(step.systems)}" if step.systems else "not in the suite"
            yield f"  {number}. {step.title} ({tried})"
            yield f"     {step.why} (according to {step.source})"
    yield "a fine-tune that does not beat what stands above it is not needed; `harness run` measures that"
    yield f"a verdict is believed for {LIFETIME.days} days; a task that changes sooner needs a new run as soon"
    if advice.lacks:
        yield "the suite lacks:"
        yield from (f"  ! {clean(missing)}" for missing in advice.lacks)
    if advice.found is not None:
        yield from _found_lines(advice.found)
    else:
        yield f"measured: nothing yet{f'; {clean(advice.unread)}' if advice.unread else ''}"


def _found_lines(found: Found) -> Iterator[str]:
    from harness.report.formatting import clean, moment, one_line
    from harness.report.view_arms import break_even_sentence

    yield one_line(clean(f"measured by run {found.run_id}: {found.decision}. {found.sentence}"))
    if found.differs:
        yield f"  ! of an earlier state: {clean(', '.join(found.differs))} changed since that run"
    yield from (f"  {one_line(clean(f'{check.name}: {check.status}: {check.reason}'))}" for check in found.gains)
    yield from (f"  {one_line(clean(sentence))}" for sentence in dict.fromkeys(found.enough.values()))
    if found.gains and not found.enough:
        yield "  no arm without training was shown to be as good as the candidate"
    for item in found.break_even:
        each = "; so many a month, if it is trained every month" if item.requests is not None else ""
        yield f"  {break_even_sentence(item, found.currency).rstrip('.')}{each}"
    yield f"  the verdict is believed until {moment(found.expires)}"
