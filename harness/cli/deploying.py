"""The command that lets only verified adapters reach a server's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.output import json_option, print_json

if TYPE_CHECKING:
    from harness.deploying import Placed, Verify


@click.command("deploy-guard")
@click.argument("paths", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="[ADAPTER] DIR")
@click.option("--name", help="The name that requests will ask for; needed to place an adapter.")
@click.option("--rollback", metavar="NAME", help="Go back to what was placed under this name before.")
@click.option("--verdict", type=click.Path(path_type=Path), help="verdict.json; beside the adapter by default.")
@click.option("--suite-digest", metavar="SHA256", help="Of the suite that must have judged; needed to place.")
@click.option(
    "--key", type=click.Path(path_type=Path), metavar="FILE", help="Refuse what this public key did not sign."
)
@click.option(
    "--history", type=click.Path(path_type=Path), help="The committed log verdicts.jsonl, in which a newer hold stands."
)
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
    max_lora_rank: int,
    base_model: str | None,
    as_json: bool,
) -> None:
    """Place a verified ADAPTER in a server's folder DIR, roll back, or examine what is there.

    DIR is what vLLM's filesystem resolver reads. With ADAPTER and --name it is placed if `harness verify` accepts it;
    with --rollback the name means again what it meant before; with DIR alone everything in it must have been placed so.
    """
    from harness.clock import utc_now
    from harness.deploying import Server, examine_folder, place_adapter, roll_back

    if len(paths) == 2 and name is not None and suite_digest is not None and rollback is None:
        adapter, folder = paths
        placed = place_adapter(
            adapter,
            folder,
            name,
            verdict=verdict or adapter.parent / "verdict.json",
            verify=_verify(suite_digest, key, history),
            server=Server(max_lora_rank=max_lora_rank, base_model=base_model),
            clock=utc_now,
        )
        _say("placed", folder, placed, as_json=as_json)
    elif len(paths) == 1 and name is None and rollback is not None:
        _say("rolled back to", paths[0], roll_back(paths[0], rollback), as_json=as_json)
    elif len(paths) == 1 and name is None and rollback is None:
        found = examine_folder(paths[0])
        if as_json:
            print_json({"folder": str(paths[0]), "placed": [_facts(placed) for placed in found]})
        else:
            for placed in found:
                click.echo(
                    f"{placed.name}: version {placed.number}, placed {placed.placed}, digest {placed.digest[:12]}"
                )
            click.echo(f"{len(found)} names, all as they were placed")
    else:
        raise click.UsageError(
            "give ADAPTER DIR --name NAME --suite-digest SHA256, or DIR --rollback NAME, or DIR alone"
        )


def _verify(suite_digest: str, key: Path | None, history: Path | None) -> Verify:
    """What `harness verify` asks of an adapter; the one place where the guard asks it."""
    from harness.clock import utc_now
    from harness.trust.sign import read_public_key
    from harness.trust.verify import verify_adapter

    public = read_public_key(key) if key is not None else None
    return lambda adapter, verdict: verify_adapter(
        adapter, verdict, now=utc_now(), suite_digest=suite_digest, key=public, history=history
    )


def _say(what: str, folder: Path, placed: Placed, *, as_json: bool) -> None:
    if as_json:
        print_json({"done": what, "folder": str(folder), **_facts(placed)})
        return
    click.echo(f"{what} {folder / placed.name}: version {placed.number}, digest {placed.digest[:12]}")
    click.echo(f"vLLM takes it when it was started as `vllm serve {placed.base}`, word for word")
    click.echo(f"a server that has {placed.name} in memory keeps it until /v1/unload_lora_adapter, or a restart")


def _facts(placed: Placed) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(placed)
