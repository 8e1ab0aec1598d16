"""What the commands share: options, reading a suite, and printing one result."""

from __future__ import annotations

import functools
import json
import math
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.completion import complete_suites
from harness.cli.github import tell_actions
from harness.cli.printing import unguarded_output
from harness.errors import InvalidInputError

if TYPE_CHECKING:
    from harness.judge import Judgement
    from harness.suite.load import LoadedSuite

JSON_VERSION = 1


class Share(click.ParamType[float]):
    """A share as 0.05 or 5%: above 0 and below 1, or with its `ends` from 0 to 1."""

    name = "FRACTION"

    def __init__(self, *, ends: bool = False) -> None:
        self._ends = ends

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share; a usage error for anything else."""
        from pydantic import TypeAdapter, ValidationError

        from harness.suite.declaration import Fraction, OpenFraction

        try:
            share: float = TypeAdapter(Fraction if self._ends else OpenFraction).validate_python(value)
        except ValidationError:
            limits = "from 0 to 1" if self._ends else "above 0 and below 1"
            self.fail(f"{value!r} is no share {limits}; write 0.05 or 5%", param, ctx)
        return share


class FiniteRange(click.FloatRange):
    """A number of a range, which `nan` is in by no comparison and in every one that click makes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; a usage error for anything else."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")(command)


def suite_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the suite argument and --set."""
    for decorate in (
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a key; recorded in the report."
        ),
        click.argument("suite", type=click.Path(path_type=Path), shell_complete=complete_suites),
    ):
        command = decorate(command)
    return command


def accept_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --accept-undecided and --reason, which come in pairs, as the one argument `accepted`: check -> reason."""

    @functools.wraps(command)
    def accepting(*arguments: Any, names: tuple[str, ...], reasons: tuple[str, ...], **options: Any) -> Any:
        return command(*arguments, accepted=_accepted_checks(names, reasons), **options)

    for decorate in (
        click.option("--reason", "reasons", multiple=True, help="Why; one for each --accept-undecided."),
        click.option(
            "--accept-undecided",
            "names",
            multiple=True,
            metavar="CHECK",
            help="Let this undecided check pass; recorded.",
        ),
    ):
        accepting = decorate(accepting)
    return accepting


def _accepted_checks(names: Sequence[str], reasons: Sequence[str]) -> dict[str, str]:
    """Check name -> reason; InvalidInputError when one lacks the other."""
    if len(names) != len(reasons) or not all(reason.strip() for reason in reasons):
        raise InvalidInputError("each --accept-undecided CHECK needs a --reason TEXT of its own")
    return dict(zip(names, reasons, strict=True))


def load(suite: Path, settings: Sequence[str]) -> LoadedSuite:
    """Read a suite with its --set overrides; InvalidInputError for a setting that is not KEY=VALUE."""
    from harness.suite.load import load_suite

    overrides = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise InvalidInputError(f"--set {setting}: write KEY=VALUE, such as --set train.epochs=2")
        overrides[key] = value
    return load_suite(suite, overrides)


def finish(judgement: Judgement, *, as_json: bool, suite_file: Path | None = None) -> None:
    """Print one summary of a judged run, tell GitHub Actions where it runs there, and leave with its exit code."""
    verdict, counters = judgement.record.verdict, judgement.record.manifest.counters
    if as_json:
        print_json(
            {
                "decision": verdict.decision,
                "exit_code": int(judgement.exit_code),
                "sentence": verdict.sentence,
                "run": str(judgement.folder),
                "report": str(judgement.folder / "report.html"),
                "signed_by": judgement.record.signed_by or None,
                "checks": [{"name": c.name, "status": c.status, "reason": c.reason} for c in verdict.checks],
            }
        )
    else:
        from rich.console import Console

        from harness.report.terminal import print_summary

        print_summary(judgement.page, Console(file=unguarded_output()))
        click.echo(
            f"cost: {counters.trained_tokens:,} trained, {counters.generated_tokens:,} generated, "
            f"{counters.forwarded_tokens:,} forwarded tokens; "
            f"{counters.model_loads} model load{'s' if counters.model_loads != 1 else ''}"
        )
        key = judgement.record.signed_by
        click.echo(f"verdict: {'signed with key ' + key if key else 'unsigned'}, {judgement.folder / 'verdict.json'}")
        click.echo(f"report: {judgement.folder / 'report.html'}")
    tell_actions(judgement, suite_file)
    sys.exit(int(judgement.exit_code))


def say_notes(warnings: Sequence[str], absent: Mapping[str, str]) -> None:
    """Tell warnings and absent arms on standard error."""
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    for name, why in absent.items():
        click.echo(f"note: {name} is absent: {why}", err=True)


def print_json(value: dict[str, Any]) -> None:
    """Print the one object of --json, with the version of its form."""
    from harness.report.github import inert_json

    text = json.dumps({"json_version": JSON_VERSION, **value}, ensure_ascii=False, allow_nan=False)
    click.echo(inert_json(text))


def command_line() -> str:
    """The command as typed, with the program by its name, not by where it is installed."""
    return shlex.join(["harness", *sys.argv[1:]])
