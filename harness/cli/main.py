"""The entry point: every command, and every expected failure turned into one message and its exit code."""

from __future__ import annotations

from typing import Any

import click

from harness import __version__
from harness.cli.advising import advise
from harness.cli.caching import cache
from harness.cli.comparing import compare
from harness.cli.first_run import doctor
from harness.cli.github import guard_output
from harness.cli.inspecting import explain, export, show
from harness.cli.judging import gate, report, run, selftest, train
from harness.cli.linting import lint
from harness.cli.locking import lock
from harness.cli.output import command_line
from harness.cli.publishing import card
from harness.cli.registry import baselines, history, promote, verify
from harness.cli.reviewing import review
from harness.cli.showing import show_data
from harness.cli.suites import init, plan, validate
from harness.errors import ExitCode, HarnessError


class _Failures(click.Group):
    """Turns every expected failure into one message and its exit code, in one place."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HarnessError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(int(error.exit_code))
        except KeyboardInterrupt:
            click.echo(f"interrupted; to start again: {command_line()}", err=True)
            ctx.exit(int(ExitCode.INTERRUPTED))


@click.group(cls=_Failures, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Train a LoRA candidate, compare it with every alternative, and ship or hold it.

    Exit codes: 0 ship or done, 1 broke, 2 invalid input, 3 hold, 4 undecided, 5 evidence refused, 130 interrupted.
    """
    guard_output()


for command in (
    advise,
    baselines,
    cache,
    card,
    compare,
    doctor,
    explain,
    export,
    gate,
    history,
    init,
    lint,
    lock,
    plan,
    promote,
    report,
    review,
    run,
    selftest,
    show,
    show_data,
    train,
    validate,
    verify,
):
    main.add_command(command)
