"""The command that tells others about an adapter: card."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.completion import complete_runs
from harness.cli.output import json_option, print_json


@click.command()
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The card; what else it says is kept.  [default: README.md in the run folder]",
)
@json_option
def card(run: Path, output: Path | None, as_json: bool) -> None:
    """Write a run's results into a model card, with the metadata that the Hugging Face hub reads."""
    import shlex

    from harness.cards import write_card

    written = write_card(run, output)
    if as_json:
        print_json({"card": str(written.path), "decision": written.decision})
        return
    click.echo(f"{written.path}: the verdict {written.decision}, the results of every arm, and how to verify")
    if output is None:
        folder = shlex.quote(str(run))
        click.echo(f"to publish: cp -r {folder}/adapter FOLDER && cp {folder}/README.md {folder}/verdict*.json FOLDER")
        click.echo("whoever deploys verifies the weights alone: harness verify ADAPTER --verdict verdict.json ...")
