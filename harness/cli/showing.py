"""The command that shows a row of a suite's data as the model sees it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.output import json_option, load, print_json, suite_options
from harness.cli.printing import unguarded_output

if TYPE_CHECKING:
    from harness.showing import Rendering, ShownRow

PARTS = ("train", "validation", "test", "probe", "mix")
OPEN, CLOSE = "⟦", "⟧"  # around what is trained, where there is no colour


@click.command("show-data")
@suite_options
@click.option("--file", "part", type=click.Choice(PARTS), default="train", show_default=True, help="Which rows.")
@click.option("--row", type=click.IntRange(min=1), metavar="LINE", help="Where the row begins, as errors name it.")
@json_option
def show_data(suite: Path, settings: tuple[str, ...], part: str, row: int | None, as_json: bool) -> None:
    """Show one row as the model sees it, with the tokens that are trained marked and counted."""
    from dataclasses import asdict

    from harness.data.local_tokenizer import LocalTokenizer
    from harness.engine.catalogue import locate
    from harness.environment import cache_folder, quiet_libraries
    from harness.showing import find_row, render_row

    loaded = load(suite, settings)
    found = find_row(loaded, part, row)  # first, since a wrong row should not wait for a model to be fetched
    quiet_libraries()
    _, folder = locate(loaded.suite.model, suite_folder=loaded.folder, cache=cache_folder())
    shown = render_row(found, LocalTokenizer(folder))
    if as_json:
        print_json(asdict(shown))
    else:
        print_row(shown)


def print_row(shown: ShownRow) -> None:
    """Print a row: what is trained in colour on a terminal that has any, else between marks."""
    from rich.console import Console
    from rich.text import Text

    from harness.report.formatting import clean, one_line

    console = Console(file=unguarded_output(), highlight=False)
    coloured = console.color_system is not None and not console.no_color
    marks = ("", "") if coloured else (OPEN, CLOSE)
    lines = [Text(one_line(clean(f"{shown.where} ({shown.held})")), style="bold")]
    for rendering in shown.renderings:
        text = Text(f"{rendering.name}:\n" if rendering.name else "")
        for span in rendering.spans:
            body = clean(span.text)
            text.append(f"{marks[0]}{body}{marks[1]}", style="bold green") if span.trained else text.append(body)
        lines += [Text(), text, Text(), Text(_count(rendering, coloured=coloured))]
    if shown.reference is not None:
        lines += [Text(), Text(f"reference, which the model is not shown:\n{clean(shown.reference)}")]
    lines += [Text(f"note: {clean(note)}", style="yellow") for note in shown.notes]
    for line in lines:
        console.print(line, soft_wrap=True)


def _count(rendering: Rendering, *, coloured: bool) -> str:
    trained = sum(span.tokens for span in rendering.spans if span.trained)
    marked = "in colour" if coloured else f"between {OPEN} and {CLOSE}"
    return f"{rendering.tokens:,} tokens, {trained:,} of them trained" + (f" ({marked})" if trained else "")
