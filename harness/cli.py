"""The command line: parse arguments, call one use case, print one summary, return an exit code.

Commands are imported by name from a table when they are called, so `--help` imports nothing heavy.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import __version__
from harness.errors import ExitCode, HarnessError, InvalidInputError

if TYPE_CHECKING:
    from harness.judge import Judgement
    from harness.suite.load import LoadedSuite

JSON_VERSION = 1


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
            click.echo(f"interrupted; to start again: {_command_line()}", err=True)
            ctx.exit(int(ExitCode.INTERRUPTED))


@click.group(cls=_Failures, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Train a LoRA candidate, compare it with every alternative, and ship or hold it.

    Exit codes: 0 ship or done, 1 broke, 2 invalid input, 3 hold, 4 undecided, 5 evidence refused, 130 interrupted.
    """


def _json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")(command)


def _suite_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a key; recorded in the report."
        ),
        click.argument("suite", type=click.Path(path_type=Path)),
    ):
        command = decorate(command)
    return command


@main.command()
@_suite_options
@_json_option
def validate(suite: Path, settings: tuple[str, ...], as_json: bool) -> None:
    """Check a suite and its data; every problem with file, line and column."""
    from harness.prepare import read_inputs
    from harness.store.project import project_folders

    loaded = _load(suite, settings)
    inputs = read_inputs(loaded, registry=project_folders(loaded.folder).baselines)
    sets = inputs.datasets
    counts = {"train": len(sets.train), "validation": len(sets.validation), "test": len(sets.test)}
    counts |= {"probe": len(sets.probe), "mix": len(sets.mix)}
    if as_json:
        _print_json({"suite": loaded.suite.suite, "digest": loaded.digest, "rows": counts, "warnings": inputs.warnings})
        return
    click.echo(f"{loaded.suite.suite} is valid: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    _say_notes(inputs.warnings, inputs.absent)


@main.command()
@_suite_options
@click.option("--adapter", type=click.Path(path_type=Path), help="Judge this adapter instead of training one.")
@_json_option
def run(suite: Path, settings: tuple[str, ...], adapter: Path | None, as_json: bool) -> None:
    """Train the candidate, compare it with every arm, and decide."""
    from harness.clock import utc_now
    from harness.judge import judge_run
    from harness.prepare import read_inputs
    from harness.produce import produce
    from harness.progress import PrintedProgress
    from harness.store.project import project_folders

    loaded = _load(suite, settings)
    folders = project_folders(loaded.folder)
    inputs = read_inputs(loaded, registry=folders.baselines, adapter=adapter.resolve() if adapter else None)
    _say_notes(inputs.warnings, inputs.absent)
    folder = produce(
        inputs, reports=folders.reports, clock=utc_now, progress=PrintedProgress(), command=_command_line()
    )
    _finish(judge_run(folder, utc_now), as_json=as_json)


@main.command()
@_suite_options
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the adapter; must not exist.")
@_json_option
def train(suite: Path, settings: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Train the candidate only; the suite must still be one that could judge it."""
    from harness.prepare import read_inputs
    from harness.produce import train_only
    from harness.progress import PrintedProgress
    from harness.store.project import project_folders

    loaded = _load(suite, settings)
    inputs = read_inputs(loaded, registry=project_folders(loaded.folder).baselines)
    _say_notes(inputs.warnings, {})
    history = train_only(inputs, out, PrintedProgress())
    summary = {"adapter": str(out), "best_step": history.best_step, "stop_reason": history.stop_reason}
    if as_json:
        _print_json(summary)
        return
    click.echo(f"{out}: step {history.best_step} of {history.last_step} is the candidate; {history.stop_reason}")
    click.echo(f"judge it with: harness run {suite} --adapter {out}")


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@_json_option
def gate(run: Path, as_json: bool) -> None:
    """Judge a stored run again, without loading a model."""
    from harness.clock import utc_now
    from harness.judge import judge_run

    _finish(judge_run(run, utc_now), as_json=as_json)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@_json_option
def report(run: Path, as_json: bool) -> None:
    """Write the reports of a stored run again; exit 0 whatever the verdict."""
    from harness.clock import utc_now
    from harness.judge import judge_run

    judgement = judge_run(run, utc_now)
    page = judgement.folder / "report.html"
    if as_json:
        _print_json({"report": str(page), "decision": judgement.record.verdict.decision})
    else:
        click.echo(page)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--name", help="Name in the registry; the run's id by default.")
@click.option("--note", default="", help="A remark kept in the record.")
@click.option("--baselines", type=click.Path(path_type=Path), help="The registry; the project's by default.")
@_json_option
def promote(run: Path, name: str | None, note: str, baselines: Path | None, as_json: bool) -> None:
    """Put the adapter of a run that shipped into the registry of baselines."""
    from harness.clock import utc_now
    from harness.promotion import promote_run

    folder = promote_run(run, name=name, note=note, registry=baselines, clock=utc_now)
    if as_json:
        _print_json({"baseline": str(folder)})
    else:
        click.echo(f"promoted: {folder}\ncommit it, so that the next candidate is compared with it")


@main.command()
@click.argument("registry", type=click.Path(path_type=Path), default=Path("baselines"))
@_json_option
def baselines(registry: Path, as_json: bool) -> None:
    """List the promoted adapters."""
    from harness.store.baselines import list_baselines

    found = list_baselines(registry)
    if as_json:
        rows = [{"suite": r.suite, "name": r.name, "promoted": r.promoted, "in_force": on} for r, on in found]
        _print_json({"baselines": rows})
        return
    for record, in_force in found:
        click.echo(f"{'*' if in_force else ' '} {record.suite}/{record.name}  {record.promoted}  {record.sentence}")
    if not found:
        click.echo(f"nothing is promoted in {registry}")


@main.command()
@click.argument("adapter", type=click.Path(path_type=Path))
@click.option("--verdict", type=click.Path(path_type=Path), help="verdict.json; beside the adapter by default.")
@click.option("--suite-digest", help="Refuse a verdict of any other suite.")
@_json_option
def verify(adapter: Path, verdict: Path | None, suite_digest: str | None, as_json: bool) -> None:
    """Exit 0 only if a fresh ship verdict speaks of exactly these adapter files."""
    from harness.clock import utc_now
    from harness.trust.verdicts import verify_adapter

    path = verdict or adapter.parent / "verdict.json"
    found = verify_adapter(adapter, path, now=utc_now(), suite_digest=suite_digest)
    if as_json:
        _print_json({"verified": True, "run": found.run_id, "suite": found.suite, "expires": found.expires})
        return
    click.echo(f"verified: run {found.run_id} of {found.suite} shipped this adapter; valid until {found.expires}")
    click.echo("unsigned: this proves that the files are those judged, not who judged them")
    if suite_digest is None:
        click.echo(f"any suite was accepted; to accept only this one: --suite-digest {found.suite_digest}")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--from", "data", type=click.Path(path_type=Path), help="Your rows (JSON Lines); else sample rows.")
@_json_option
def init(folder: Path, data: Path | None, as_json: bool) -> None:
    """Write a suite that validates and runs, from your rows or from sample rows."""
    from harness.starting import write_suite

    files = write_suite(folder, data)
    if as_json:
        _print_json({"suite": str(folder), "files": files})
        return
    click.echo(f"{folder}: wrote {', '.join(files)}\nnext: harness validate {folder} && harness run {folder}")


def _load(suite: Path, settings: Sequence[str]) -> LoadedSuite:
    from harness.suite.load import load_suite

    overrides = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise InvalidInputError(f"--set {setting}: write KEY=VALUE, such as --set train.epochs=2")
        overrides[key] = value
    return load_suite(suite, overrides)


def _finish(judgement: Judgement, *, as_json: bool) -> None:
    verdict, counters = judgement.record.verdict, judgement.record.manifest.counters
    if as_json:
        _print_json(
            {
                "decision": verdict.decision,
                "exit_code": int(judgement.exit_code),
                "sentence": verdict.sentence,
                "run": str(judgement.folder),
                "report": str(judgement.folder / "report.html"),
                "checks": [{"name": c.name, "status": c.status, "reason": c.reason} for c in verdict.checks],
            }
        )
    else:
        from rich.console import Console

        from harness.report.terminal import print_summary

        print_summary(judgement.page, Console())
        click.echo(
            f"cost: {counters.trained_tokens:,} trained, {counters.generated_tokens:,} generated, "
            f"{counters.forwarded_tokens:,} forwarded tokens; {counters.model_loads} model load"
        )
        click.echo(f"report: {judgement.folder / 'report.html'}")
    sys.exit(int(judgement.exit_code))


def _say_notes(warnings: Sequence[str], absent: Any) -> None:
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    for name, why in absent.items():
        click.echo(f"note: {name} is absent: {why}", err=True)


def _print_json(value: dict[str, Any]) -> None:
    click.echo(json.dumps({"json_version": JSON_VERSION, **value}, ensure_ascii=False, allow_nan=False))


def _command_line() -> str:
    """The command as typed, with the program by its name, not by where it is installed."""
    return " ".join(["harness", *sys.argv[1:]])
