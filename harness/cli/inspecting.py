"""Commands that look into a judged run: show, explain, export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.completion import complete_runs
from harness.cli.output import json_option, print_json

if TYPE_CHECKING:
    from harness.inspecting import Explanation, ShownArm, ShownExample

SHOWN_SLICES = 5
RUN_HELP = "RUN is a run folder, or a suite, whose last run is meant."


@click.command(epilog=RUN_HELP)
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.argument("id")
@json_option
def show(run: Path, id: str, as_json: bool) -> None:
    """Show one example of a run: its messages, its reference, and every arm's answers with their scores."""
    from harness.inspecting import show_example
    from harness.judged import find_run
    from harness.store.facts import to_plain

    found = show_example(find_run(run), id)
    if as_json:
        print_json({"examples": [to_plain(item) for item in found]})
        return
    click.echo("\n\n".join("\n".join(_example_lines(item)) for item in found))


@click.command(epilog=RUN_HELP)
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.argument("check")
@json_option
def explain(run: Path, check: str, as_json: bool) -> None:
    """Explain one check of a run: what it asks, what was found and how, what drives it, and what would settle it."""
    from harness.inspecting import explain_check
    from harness.judged import find_run
    from harness.report.methods import describe_method
    from harness.store.facts import to_plain

    found = explain_check(find_run(run), check)
    if as_json:
        print_json({"checks": [to_plain(item) | {"method": describe_method(item.check.method)} for item in found]})
        return
    click.echo("\n\n".join("\n".join(_check_lines(item, str(run))) for item in found))


@click.command(epilog=RUN_HELP)
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_runs)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("comparison.csv"),
    show_default=True,
    help="The file; .csv, .jsonl or .parquet.",
)
@json_option
def export(run: Path, output: Path, as_json: bool) -> None:
    """Write a run's test set as a table for pandas: a row for each example and arm, a column for each score."""
    from harness.inspecting import export_run
    from harness.judged import find_run

    rows, columns = export_run(find_run(run), output)
    if as_json:
        print_json({"output": str(output), "rows": rows, "columns": columns})
    else:
        click.echo(f"{output}: {rows:,} rows of {', '.join(columns)}")


def _example_lines(shown: ShownExample) -> Iterator[str]:
    from harness.report.formatting import clean, one_line

    example = shown.example
    yield one_line(clean(f"{example.id} in {shown.dataset} of run {shown.run_id}"))
    about = {"tags": ", ".join(example.tags), "cluster": example.cluster or "", "source": example.source}
    yield from (f"{name}: {one_line(clean(text))}" for name, text in about.items() if text)
    for message in example.messages:
        yield from ("", f"{message.role}:", _block(message.content))
    yield from ("", "reference:", "    (none)" if example.target is None else _block(example.target))
    for arm in shown.arms:
        yield from ("", *_arm_lines(arm))


def _arm_lines(arm: ShownArm) -> Iterator[str]:
    from harness.records import Score
    from harness.report.formatting import clean, number, one_line

    scores = {
        name: number(result.value) if isinstance(result, Score) else f"not scored ({result.reason})"
        for name, result in arm.scores.items()
    }
    yield one_line(clean(f"{arm.system}: " + ", ".join(f"{name} {text}" for name, text in scores.items())))
    for answer in arm.answers:
        if answer.error is not None:
            yield f"    (no answer: {one_line(clean(answer.error))})"
            continue
        yield _block(answer.text) if answer.text else "    (empty)"
        if answer.stop == "length":
            yield "    (cut off at the token limit)"


def _block(text: str) -> str:
    from harness.report.formatting import clean

    return "\n".join(f"    {line}" for line in clean(text).split("\n"))


def _check_lines(found: Explanation, run: str) -> Iterator[str]:
    from harness.report.formatting import clean, one_line
    from harness.report.methods import describe_method
    from harness.report.view_checks import check_rows

    check = found.check
    (row,) = check_rows((check,), {})
    status = f"{row.symbol} {row.status_text.lower()}{'' if check.blocking else ' (not blocking)'}"
    yield f"{status}: {one_line(row.name)} in run {one_line(clean(found.run_id))}"
    yield f"asks: {found.asks}"
    settings = ", ".join(f"{name} {value}" for name, value in found.declared.items() if name not in ("kind", "reason"))
    facts = {
        "as declared": clean(settings),
        "why this bar": row.declared_reason,
        "needed": row.needed,
        "measured": row.measured,
        "interval": row.interval,
        "n": row.n,
        "found": row.reason,
        "accepted": row.accepted,
        "test": row.method,
    }
    yield from (f"{name}: {one_line(text)}" for name, text in facts.items() if text)
    yield from (f"    {sentence}" for sentence in describe_method(check.method))
    yield from _driver_lines(found, run)
    settled = "nothing, it is decided" if check.status != "undecided" else "not known"
    yield f"what would settle it: {one_line(row.needs) or settled}"


def _driver_lines(found: Explanation, run: str) -> Iterator[str]:
    from harness.report.formatting import clean, count, number, one_line

    if not found.items:
        return
    yield f"what drives it: {count(found.worse)} {one_line(clean(found.items))} count against the candidate"
    for part in found.slices[:SHOWN_SLICES]:
        moved = f"mean {number(part.change)}, {count(part.better)} better and {count(part.worse)} worse"
        yield f"    {one_line(clean(part.name))}: {moved} of {count(part.n)}"
    for effect in found.worst:
        yield f"    {one_line(clean(effect.id))}  {number(effect.change)}"
    if found.worst and found.items.endswith(" examples"):
        yield f"    look at one: harness show {run} {one_line(clean(found.worst[0].id))}"
