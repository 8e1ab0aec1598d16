"""The command that asks a server whether it serves what was judged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from harness.cli.completion import complete_runs
from harness.cli.output import FiniteRange, json_option, print_json

if TYPE_CHECKING:
    from harness.parity import ParityReport

WORDS = {"pass": "served as judged", "fail": "not what was judged", "undecided": "not settled"}


@click.command()
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.option("--endpoint", required=True, metavar="URL", help="An OpenAI-compatible server, as http://host:8000/v1.")
@click.option("--model", metavar="NAME", help="The model to ask for; the server's only one by default.")
@click.option("--key-env", metavar="NAME", help="The environment variable that holds the server's API key.")
@click.option("--prompts", type=click.IntRange(1), default=32, show_default=True, help="Test examples, drawn by seed.")
@click.option(
    "--tolerance",
    type=FiniteRange(0, min_open=True),
    default=1e-3,
    show_default=True,
    help="Nats per token; a quantised server needs more.",
)
@click.option("--served-adapter", is_flag=True, help="Let vLLM load the run's adapter first, and unload it afterwards.")
@click.option("--max-lora-rank", type=click.IntRange(1), default=16, show_default=True, help="Of --served-adapter.")
@click.option("--recompute", is_flag=True, help="Load the model, and compare every token.")
@click.option("--output", type=click.Path(path_type=Path), help="The report; beside the run folder by default.")
@json_option
def parity(  # noqa: PLR0913  an argument for each option
    run: Path,
    endpoint: str,
    model: str | None,
    key_env: str | None,
    prompts: int,
    tolerance: float,
    served_adapter: bool,
    max_lora_rank: int,
    recompute: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Ask a server a judged run's questions: exit 0 only if it answers as the candidate did.

    Exit codes: 0 served as judged, 1 the server failed, 3 it serves something else, 4 not settled.
    """
    rank_given = click.get_current_context().get_parameter_source("max_lora_rank") is not ParameterSource.DEFAULT
    if rank_given and not served_adapter:
        raise click.UsageError("--max-lora-rank: only with --served-adapter; take it out")
    from harness.clock import utc_now
    from harness.parity import Wanted, check_parity
    from harness.progress import PrintedProgress

    wanted = Wanted(
        base_url=endpoint,
        model=model,
        key_env=key_env,
        prompts=prompts,
        tolerance=tolerance,
        max_lora_rank=max_lora_rank if served_adapter else None,
        recompute=recompute,
        output=output,
    )
    with PrintedProgress() as progress:
        report, path = check_parity(run, wanted, clock=utc_now, progress=progress)
    if as_json:
        from dataclasses import asdict

        plain = {key: value for key, value in asdict(report).items() if key != "answers"}
        print_json({**plain, "exit_code": int(report.exit_code), "report": str(path)})
    else:
        _say(report, path)
    sys.exit(int(report.exit_code))


def _say(report: ParityReport, path: Path) -> None:
    from harness.report.formatting import clean, one_line

    finding = report.finding
    click.echo(one_line(clean(f"{WORDS[finding.status]}: {finding.reason}")))
    if finding.needs:
        click.echo(f"what would settle it: {finding.needs}")
    click.echo(
        f"run {report.run_id} of {report.suite} ({report.decision}), adapter {report.adapter_digest[:12]}, "
        f"model {report.model} at {report.endpoint}"
    )
    click.echo(f"report: {path}")
