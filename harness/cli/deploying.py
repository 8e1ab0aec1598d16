"""The command that lets only verified adapters reach a server's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from harness.cli.output import json_option, print_json
from harness.cli.verifying import (
    evidence_options,
    refuse_missing,
    refuse_without_history,
    verified_facts,
    verified_lines,
    verifier,
)

if TYPE_CHECKING:
    from harness.deploying import Placed

OF_PLACING = ("verdict", "suite_digest", "key", "max_lora_rank", "base_model")
OF_HISTORY = ("history", "require_history")


@click.command("deploy-guard")
@click.argument("paths", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="[ADAPTER] DIR")
@click.option("--name", help="The name that requests will ask for; needed to place an adapter, as --suite-digest is.")
@click.option("--rollback", metavar="NAME", help="Go back to what was placed under this name before.")
@evidence_options(required=False)
@click.option("--max-lora-rank", type=click.IntRange(1), default=16, show_default=True, help="Of the server.")
@click.option(
    "--base-model", metavar="NAME", help="What the server was started with; an adapter of another is refused."
)
@json_option
def deploy_guard(  # noqa: PLR0913  an argument for each option
    paths: tuple[Path, ...],
    name: str | None,
    rollback: str | None,
    verdict: Path | None,
    suite_digest: str | None,
    key: Path | None,
    history: Path | None,
    require_history: bool,
    max_lora_rank: int,
    base_model: str | None,
    as_json: bool,
) -> None:
    """Place a verified ADAPTER in a server's folder DIR, roll back, or examine what is there.

    DIR is what vLLM's filesystem resolver reads. With ADAPTER and --name it is placed if `harness verify` accepts it;
    with --rollback the name means again what it meant before, unless --history tells of a newer hold; with DIR alone
    everything in it must have been placed so.
    """
    from harness.clock import utc_now
    from harness.deploying import Server, place_adapter, roll_back

    if len(paths) == 2 and name is not None and suite_digest is not None and rollback is None:
        refuse_without_history(history, required=require_history)
        adapter, folder = paths
        refuse_missing(adapter, history)
        placed, verified, is_new = place_adapter(
            adapter,
            folder,
            name,
            verdict=verdict or adapter.parent / "verdict.json",
            verify=verifier(suite_digest, key, history),
            server=Server(max_lora_rank=max_lora_rank, base_model=base_model),
            clock=utc_now,
        )
        what = "placed" if is_new else "placed already"
        _say(what, folder, placed, verified_facts(verified), list(verified_lines(verified)), as_json=as_json)
    elif len(paths) == 1 and name is None and rollback is not None:
        _refuse_unasked(*OF_PLACING)
        refuse_without_history(history, required=require_history)
        (folder,) = paths
        placed, checked = roll_back(folder, rollback, history=history), history is not None
        unasked = [] if checked else ["newer verdicts were not checked: --history tells whether one stands against it"]
        _say("rolled back to", folder, placed, {"history_checked": checked}, unasked, as_json=as_json)
    elif len(paths) == 1 and name is None and rollback is None:
        _refuse_unasked(*OF_PLACING, *OF_HISTORY)
        _examine(paths[0], as_json=as_json)
    else:
        raise click.UsageError(
            "give ADAPTER DIR --name NAME --suite-digest SHA256, or DIR --rollback NAME, or DIR alone"
        )


def _refuse_unasked(*names: str) -> None:
    """Refuse options whose checks would not be made."""
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name in names and context.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{parameter.opts[0]} would check nothing here; take it out")


def _examine(folder: Path, *, as_json: bool) -> None:
    from harness.deploying import examine_folder

    found = examine_folder(folder)
    if as_json:
        print_json({"folder": str(folder), "placed": [_facts(placed) for placed in found]})
        return
    for placed in found:
        click.echo(f"{placed.name}: version {placed.number}, placed {placed.placed}, digest {placed.digest[:12]}")
    click.echo(f"{len(found)} names, all as they were placed")


def _say(what: str, folder: Path, placed: Placed, facts: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"done": what, "folder": str(folder), **_facts(placed), **facts})
        return
    for line in lines:
        click.echo(line)
    click.echo(f"{what} {folder / placed.name}: version {placed.number}, digest {placed.digest[:12]}")
    click.echo(f"vLLM takes it when it was started as `vllm serve {placed.base}`, word for word")
    click.echo(f"a server that has {placed.name} in memory keeps it until /v1/unload_lora_adapter, or a restart")


def _facts(placed: Placed) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(placed)
