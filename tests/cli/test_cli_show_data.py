"""What `show-data` prints, and what it says before a tokenizer is loaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_tokenizer import write_tokenizer

from harness.cli.main import main
from harness.cli.showing import PARTS, print_row
from harness.showing import Rendering, ShownRow, Span
from harness.suite.schema import Data

SUITE = Path(__file__).parents[2] / "suites" / "ticket-triage"
PROMPT = Span(text="ask\x1b[31m\n", tokens=4, trained=False)
ANSWER = Span(text="yes[/b]\nno", tokens=1200, trained=True)


def shown(*renderings: Rendering, reference: str | None = None, notes: tuple[str, ...] = ()) -> ShownRow:
    return ShownRow(where="a.csv:2", held="CSV, 1 row of x", renderings=renderings, reference=reference, notes=notes)


def test_every_part_of_data_that_has_rows_can_be_shown() -> None:
    assert set(PARTS) <= set(Data.model_fields)


def test_what_is_trained_stands_between_marks_where_there_is_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    print_row(shown(Rendering(name="", spans=(PROMPT, ANSWER)), notes=("too long",)))
    assert capsys.readouterr().out == (
        "a.csv:2 (CSV, 1 row of x)\n\nask␛[31m\n⟦yes[/b]\nno⟧\n\n"
        "1,204 tokens, 1,200 of them trained (between ⟦ and ⟧)\nnote: too long\n"
    )


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_shows_it_in_colour_unless_that_is_unwanted(
    no_color: str, coloured: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    print_row(shown(Rendering(name="", spans=(PROMPT, ANSWER))))
    out = capsys.readouterr().out
    assert (re.search(r"\x1b\[[0-9;]*32m", out) is not None, "⟦" in out) == (coloured, not coloured)
    assert "ask␛[31m" in out


def test_both_answers_of_a_preference_are_named_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    print_row(shown(Rendering(name="chosen", spans=(PROMPT, ANSWER)), Rendering(name="rejected", spans=(PROMPT,))))
    out = capsys.readouterr().out
    assert re.findall(r"^(\w+):$", out, re.MULTILINE) == ["chosen", "rejected"]
    assert "4 tokens, 0 of them trained\n" in out


def test_the_reference_is_apart(capsys: pytest.CaptureFixture[str]) -> None:
    print_row(shown(Rendering(name="", spans=(PROMPT,)), reference="yes"))
    assert capsys.readouterr().out.endswith("\nreference, which the model is not shown:\nyes\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--row", "100000"), "error: train.jsonl: no row begins at 100000; the first is at 1"),
        (("--file", "validation"), "error: data.validation: 10% of the training rows; see them with --file train"),
        (("--file", "other"), "Invalid value for '--file'"),
        (("--row", "0"), "Invalid value for '--row'"),
    ],
)
def test_a_row_that_there_is_not_is_refused_without_a_model(arguments: tuple[str, ...], reason: str) -> None:
    done = CliRunner().invoke(main, ["show-data", str(SUITE), *arguments])
    assert done.exit_code == 2 and reason in done.stderr


SCRIPT = """
import sys
from harness.cli.main import main
main(sys.argv[1:], standalone_mode=False)
print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "transformers", "datasets"}))
"""


def test_a_row_is_shown_in_the_tokens_of_the_suites_own_model_without_torch(tmp_path: Path) -> None:
    model = write_tokenizer(tmp_path / "model")
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_text("never read")
    (tmp_path / "train.csv").write_text("question,answer\nwhy?,so\n")
    (tmp_path / "suite.yaml").write_text(
        "suite: s\nseed: 1\nmodel: {path: model}\ntrain: {}\n"
        "data: {train: train.csv, test: train.csv, columns: {prompt: question, completion: answer}}\n"
        "systems: {candidate: {kind: adapter, role: candidate}, bare: {kind: prompt}}\nchecks: [{kind: better_than}]\n"
    )
    command = [sys.executable, "-c", SCRIPT, "show-data", str(tmp_path)]
    told = subprocess.run([*command, "--row", "2"], capture_output=True, text=True, check=True).stdout
    assert told == (
        "train.csv:2 (CSV, 1 row of prompt and completion)\n\n"
        "<|im_start|>user\nwhy?<|im_end|>\n<|im_start|>assistant\n⟦so<|im_end|>⟧\n\n"
        "26 tokens, 3 of them trained (between ⟦ and ⟧)\n[]\n"
    )
    printed = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    (rendering,) = json.loads(printed)["renderings"]
    assert [(span["text"], span["trained"]) for span in rendering["spans"]][1] == ("so<|im_end|>", True)


def test_validate_and_plan_say_what_each_file_holds() -> None:
    held = {
        "train.jsonl": "JSON Lines, 280 rows of chat messages",
        "test.jsonl": "JSON Lines, 130 rows of chat messages",
        "probe.jsonl": "JSON Lines, 220 rows of chat messages",
        "general.jsonl": "JSON Lines, 130 rows of prompt and completion",
    }
    for command in ("validate", "plan"):
        told = CliRunner().invoke(main, [command, str(SUITE)]).stdout
        assert all(f"\n    {file}: {what}\n" in told for file, what in held.items())
        assert json.loads(CliRunner().invoke(main, [command, str(SUITE), "--json"]).stdout)["data"] == held
