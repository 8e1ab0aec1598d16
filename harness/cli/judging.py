"""Commands that make evidence and judge it: run, train, gate, report."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.completion import complete_runs
from harness.cli.github import tell_actions
from harness.cli.launching import refuse_lost_processes, refuse_many_processes
from harness.cli.merging import Parts, parts_options
from harness.cli.output import (
    command_line,
    finish,
    json_option,
    load,
    print_json,
    say_notes,
    suite_options,
)
from harness.cli.verifying import judging_options

if TYPE_CHECKING:
    from harness.earlier import AlreadyPromoted, Unchanged
    from harness.judge import Judgement
    from harness.prepare import Inputs
    from harness.store.project import ProjectFolders


@click.command()
@suite_options
@click.option("--adapter", type=click.Path(path_type=Path), help="Judge this adapter instead of training one.")
@click.option("--fresh", is_flag=True, help="Compute everything anew, whatever is stored.")
@click.option("--locked", is_flag=True, help="Refuse (5) a suite that is not as `harness lock` left it.")
@parts_options
@json_option
@judging_options
def run(  # noqa: PLR0913  an argument for each option
    suite: Path,
    settings: tuple[str, ...],
    adapter: Path | None,
    fresh: bool,
    locked: bool,
    parts: Parts,
    as_json: bool,
    given: dict[str, Any],
) -> None:
    """Train the candidate, compare it with every arm, and decide."""
    from harness.earlier import AlreadyPromoted, Unchanged
    from harness.gate.requirements import refuse_unknown_checks
    from harness.locking import hold_to_lock
    from harness.prepare import read_inputs
    from harness.store.project import project_folders

    refuse_many_processes(suite)
    loaded = load(suite, settings)
    folders = project_folders(loaded.folder)
    inputs = read_inputs(loaded, registry=folders.baselines, adapter=adapter.resolve() if adapter else None)
    inputs = hold_to_lock(inputs, required=locked)
    refuse_unknown_checks(loaded.suite, inputs.absent, given["accepted"])
    say_notes(inputs.warnings, inputs.absent)
    made = _make(inputs, folders, parts, fresh=fresh, locked=locked)
    if isinstance(made, AlreadyPromoted):
        told = f"already promoted as {made.name}: same adapter, same suite, same data; no new verdict is given"
        if given["signer"] is not None:
            told += ", and nothing is signed (`harness gate RUN --key FILE` signs a verdict on a run that is there)"
        print_json({"already_promoted": made.name}) if as_json else click.echo(told)
        return
    if parts.share is not None and isinstance(made, Path):
        told = f"shard {parts.share}: {made}\nwhen all are there: harness merge {suite} {made.parent}"
        print_json({"shard": str(parts.share), "folder": str(made)}) if as_json else click.echo(told)
        return
    if isinstance(made, Unchanged):
        click.echo(
            f"nothing changed since run {made.folder.name}: it is judged again (--fresh computes anew)", err=True
        )
        made = made.folder
    finish(_judge(made, folders.baselines, given), as_json=as_json, suite_file=loaded.path)


def _judge(run: Path, registry: Path, given: dict[str, Any]) -> Judgement:
    """Judge a run, and warn when its verdict was signed before and is not any more."""
    from harness.clock import utc_now
    from harness.errors import HarnessError
    from harness.judge import judge_run
    from harness.sealing import signed_by

    before = ""
    with contextlib.suppress(HarnessError, OSError):  # nothing that anyone signed
        before = signed_by(run)
    judgement = judge_run(run, utc_now, registry=registry, **given)
    if before and not judgement.record.signed_by:
        click.echo(f"warning: the verdict before was signed by {before}; this one is not (--key FILE signs)", err=True)
    return judgement


def _make(
    inputs: Inputs, folders: ProjectFolders, parts: Parts, *, fresh: bool, locked: bool
) -> Path | AlreadyPromoted | Unchanged:
    """The evidence that is wanted: a run, one shard of it, or a run that workers compute."""
    from harness.clock import utc_now
    from harness.distributing import Order, run_in_parts
    from harness.produce import produce
    from harness.progress import PrintedProgress

    with PrintedProgress() as progress:
        if parts.workers is not None:
            order = Order(
                suite=inputs.loaded.path.resolve(),
                settings=inputs.loaded.overrides,
                adapter=inputs.adapter,
                fresh=fresh,
                locked=locked,
                command=command_line(),
            )
            return run_in_parts(order, parts.executor, workers=parts.workers, folders=folders, progress=progress)
        return produce(
            inputs,
            folders=folders,
            clock=utc_now,
            progress=progress,
            command=command_line(),
            fresh=fresh,
            share=parts.share,
        )


@click.command()
@suite_options
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the adapter; must not exist.")
@json_option
def train(suite: Path, settings: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Train the candidate only; the suite must still be one that could judge it."""
    from harness.clock import utc_now
    from harness.prepare import read_inputs
    from harness.produce import train_only
    from harness.progress import PrintedProgress, SilentProgress
    from harness.store.project import project_folders

    is_main = refuse_lost_processes()
    loaded = load(suite, settings)
    inputs = read_inputs(loaded, registry=project_folders(loaded.folder).baselines)
    if not is_main:
        train_only(inputs, out, SilentProgress(), clock=utc_now)
        return
    say_notes(inputs.warnings, {})
    with PrintedProgress() as progress:
        history = train_only(inputs, out, progress, clock=utc_now)
    summary = {
        "adapter": str(out),
        "best_step": history.best_step,
        "stop_reason": history.stop_reason,
        "world_size": history.world_size,
    }
    if as_json:
        print_json(summary)
        return
    click.echo(f"{out}: step {history.best_step} of {history.last_step} is the candidate; {history.stop_reason}")
    click.echo(f"judge it with: harness run {suite} --adapter {out}")


@click.command()
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@json_option
@judging_options
def gate(run: Path, as_json: bool, given: dict[str, Any]) -> None:
    """Judge a stored run again, without loading a model."""
    from harness.store.project import project_folders

    finish(_judge(run, project_folders(run).baselines, given), as_json=as_json)


@click.command()
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@json_option
def report(run: Path, as_json: bool) -> None:
    """Write the reports of a judged run again, its verdict untouched; exit 0 whatever the verdict."""
    from harness.judge import report_run
    from harness.store.project import project_folders

    judgement = report_run(run, registry=project_folders(run).baselines)
    tell_actions(judgement)
    page = judgement.folder / "report.html"
    if as_json:
        print_json({"report": str(page), "decision": judgement.record.verdict.decision})
    else:
        click.echo(page)


@click.command()
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.option("--replicates", type=click.IntRange(100), default=500, show_default=True, help="Runs of each scenario.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draws.")
@json_option
def selftest(run: Path, replicates: int, seed: int, as_json: bool) -> None:
    """Measure the gate's own error rates on a stored run, or on the last run of a suite."""
    from dataclasses import asdict

    from harness.judged import find_run, suite_of
    from harness.selftest import run_selftest

    stored = find_run(run)
    trials = run_selftest(stored, suite_of(stored), replicates=replicates, seed=seed)
    if as_json:
        print_json({"run": stored.manifest.run_id, "replicates": replicates, "trials": [asdict(t) for t in trials]})
        return
    click.echo(f"run {stored.manifest.run_id}, {replicates} replicates, seed {seed}")
    click.echo("| planted | wanted | tries | done | 90 % interval | error rate |\n|---|---|---|---|---|---|")
    for trial in trials:
        rate = trial.rate
        click.echo(
            f"| {trial.name}: {trial.meaning} | {trial.wanted} | {rate.n:,} | {rate.value:.1%} "
            f"| {rate.low:.1%} to {rate.high:.1%} | {trial.error} {1 - rate.value:.1%} |"
        )
