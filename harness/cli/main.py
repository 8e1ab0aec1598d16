"""The entry point: every command, and every expected failure turned into one message and its exit code."""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
from typing import Any

import click

from harness import __version__
from harness.cli.advising import advise
from harness.cli.caching import cache
from harness.cli.comparing import compare
from harness.cli.deploying import deploy_guard
from harness.cli.first_run import doctor, init
from harness.cli.inspecting import explain, export, show
from harness.cli.judging import gate, report, run, selftest, train
from harness.cli.linting import lint
from harness.cli.locking import lock
from harness.cli.merging import merge
from harness.cli.output import command_line
from harness.cli.parity import parity
from harness.cli.printing import guard_output
from harness.cli.publishing import card
from harness.cli.registry import baselines, history, promote
from harness.cli.reviewing import review
from harness.cli.showing import show_data
from harness.cli.suites import plan, validate
from harness.cli.verifying import keygen, verify
from harness.environment import launched
from harness.errors import ExitCode, HarnessError, InvalidInputError

REMEDIES = {
    errno.ENOSPC: "; free some space and run the command again",
    errno.EDQUOT: "; free some space and run the command again",
    errno.EIO: "; look at the disk, then run the command again",
    errno.EROFS: "; make it writable and run the command again",
}
KEEPING = ("run", "train")  # commands that store what is finished for the next, but with --fresh


class _Failures(click.Group):
    """Turns every expected failure into one message and its exit code, in one place."""

    def invoke(self, ctx: click.Context) -> Any:
        with contextlib.suppress(ValueError):  # not in the main thread, where no signal arrives
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends a CI job ends it as Ctrl-C does
        try:
            return super().invoke(ctx)
        except HarnessError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(int(error.exit_code))
        except BrokenPipeError:
            raise  # the reader of our output went away, which click knows how to end
        except OSError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"error: {_in_words(error)}", err=True)
            ctx.exit(int(ExitCode.BROKE))
        except MemoryError:
            if ctx.params.get("debug"):
                raise
            click.echo("error: out of memory; end other programs, or run on a machine with more of it", err=True)
            ctx.exit(int(ExitCode.BROKE))
        except KeyboardInterrupt:
            index, count = 0, 1
            with contextlib.suppress(InvalidInputError):  # ranks that are no numbers
                index, count = launched()
            if index == 0:  # of several that were started together, one speaks
                again = command_line() if count == 1 else "start the same `accelerate launch` again"
                keeps = ctx.invoked_subcommand in KEEPING and "--fresh" not in sys.argv[1:]
                what = "to go on from what is finished" if keeps else "to run it again"
                click.echo(f"interrupted; {what}: {again}", err=True)
            ctx.exit(int(ExitCode.INTERRUPTED))


def _in_words(error: OSError) -> str:
    """What the operating system refused, at which file, and what helps."""
    where = f"{error.filename}: " if error.filename is not None else ""
    remedy = REMEDIES.get(error.errno or 0, "")
    return f"{where}{error.strerror or error}{remedy}"


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
    deploy_guard,
    doctor,
    explain,
    export,
    gate,
    history,
    init,
    keygen,
    lint,
    lock,
    merge,
    parity,
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
