"""Runs in parts: the options that ask for them, and merge."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from harness.cli.output import FiniteRange, command_line, finish, json_option, load, suite_options
from harness.cli.verifying import judging_options
from harness.engine.share import Share, parse_share
from harness.executors import Executor, LocalExecutor, RayExecutor


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Which part of a run is wanted, or by whom its parts are computed."""

    share: Share | None
    workers: int | None  # None: this process computes what is wanted
    executor: Executor


def parts_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options about parts as the one argument `parts`."""

    @functools.wraps(command)
    def asking(
        *arguments: Any, shard: str | None, workers: int | None, executor: str, cpus: float, gpus: float, **options: Any
    ) -> Any:
        if shard is not None and workers is not None:
            raise click.UsageError("--shard is one part of a run, --workers computes all of them: take one of the two")
        if executor != "local" and workers is None:
            raise click.UsageError(f"--executor {executor} needs --workers, the number of parts")
        if executor != "ray":
            _refuse_given("cpus", "gpus", needs="--executor ray")
        parts = Parts(
            share=parse_share(shard) if shard is not None else None,
            workers=workers,
            executor=RayExecutor(cpus=cpus, gpus=gpus) if executor == "ray" else LocalExecutor(),
        )
        return command(*arguments, parts=parts, **options)

    for decorate in (
        click.option(
            "--shard", metavar="INDEX/COUNT", help="Compute this part of the run only, from 0; for `harness merge`."
        ),
        click.option(
            "--worker-gpus", "gpus", type=FiniteRange(0), default=0.0, help="GPUs of a Ray worker; 0.5 shares one."
        ),
        click.option("--worker-cpus", "cpus", type=FiniteRange(0), default=1.0, help="CPUs of a Ray worker."),
        click.option(
            "--executor", type=click.Choice(["local", "ray"]), default="local", help="Who computes the parts."
        ),
        click.option("--workers", type=click.IntRange(1), help="Compute the run in so many parts."),
    ):
        asking = decorate(asking)
    return asking


def _refuse_given(*names: str, needs: str) -> None:
    """Refuse options that would change nothing without another."""
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name in names and context.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{parameter.opts[0]} needs {needs}, and would change nothing here")


@click.command()
@suite_options
@click.argument("shards", type=click.Path(path_type=Path), nargs=-1, required=True)
@json_option
@judging_options
def merge(
    suite: Path, settings: tuple[str, ...], shards: tuple[Path, ...], as_json: bool, given: dict[str, Any]
) -> None:
    """Put the SHARDS of a run together, folders of them or one by one, and decide."""
    from harness.clock import utc_now
    from harness.engine.local_models import find_local
    from harness.environment import cache_folder
    from harness.gate.requirements import refuse_unknown_checks
    from harness.judge import judge_run
    from harness.merging import absent_arms, merge_shards
    from harness.progress import PrintedProgress
    from harness.store.project import project_folders

    loaded = load(suite, settings)
    folders = project_folders(loaded.folder)
    if given["accepted"]:
        refuse_unknown_checks(loaded.suite, absent_arms(shards), given["accepted"])
    with PrintedProgress() as progress:
        made = merge_shards(
            loaded,
            shards,
            reports=folders.reports,
            progress=progress,
            command=command_line(),
            model=find_local(loaded.suite.model, suite_folder=loaded.folder, cache=cache_folder()),
        )
    judgement = judge_run(made, utc_now, registry=folders.baselines, **given)
    finish(judgement, as_json=as_json, suite_file=loaded.path)
