"""Every payload through what else is written and printed: tables, JSON, and each command on a run full of them."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from evidence_factory import Fixture
from hostile_texts import PAYLOADS

from harness.cli.main import main
from harness.cli.printing import CleanStream, guard_output, unguarded_output
from harness.records import Prediction
from harness.report.github import inert_json
from harness.store.frames import as_csv

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


def commands_in(text: str) -> list[str]:
    """What GitHub's, Azure's or TeamCity's runner could take for a command."""
    seen = [re.sub(r"[^!-~]", "", line) for line in re.split(r"[\r\n]", text)]
    return [line for line in seen if line.startswith("::") or re.search(r"##\w*\[", line)]


def active(text: str) -> list[str]:
    """What in a printed text commands a terminal or a runner."""
    return CONTROL.findall(text) + commands_in(text)


def test_the_set_has_its_size_and_something_of_each_kind() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 40
    assert sum("<" in text for text in PAYLOADS) >= 10
    assert sum(bool(CONTROL.search(text)) for text in PAYLOADS) >= 8
    assert sum(bool(commands_in(text)) for text in PAYLOADS) >= 3
    assert sum(text.lstrip()[:1] in "=+-@\uff1d" for text in PAYLOADS) >= 6


# --- printed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("before", ["", "error: no such suite: "])
def test_nothing_printed_commands_a_terminal_or_a_runner(before: str, payload: str) -> None:
    behind = io.StringIO()
    stream = CleanStream(behind)
    print(before + payload, file=stream)
    for character in payload + "\n":  # as a library may write it
        stream.write(character)
    stream.flush()
    assert active(behind.getvalue()) == []


def test_ordinary_text_is_printed_as_it_is() -> None:
    text = "Ünïcödé 猫 👍 עברית\n\tfirst::second: http://[::1]:80 # a | b [c] ## heading [x]\n"
    behind = io.StringIO()
    CleanStream(behind).write(text)
    assert behind.getvalue() == text


def test_output_is_guarded_once_and_escapes_of_our_own_go_around(monkeypatch: pytest.MonkeyPatch) -> None:
    behind = io.StringIO()
    monkeypatch.setattr("sys.stdout", behind)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    guard_output()
    guard_output()
    print("\x1b[31mquoted\x1b[0m")
    unguarded_output().write("\x1b[1mours\x1b[0m ::error::x\n::error::y\n")
    assert behind.getvalue() == "␛[31mquoted␛[0m\n\x1b[1mours\x1b[0m ::error::x\n\\::error::y\n"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_json_is_the_same_value_and_commands_nothing(payload: str) -> None:
    written = inert_json(json.dumps({"text": payload, payload: 1}, ensure_ascii=False))
    assert json.loads(written) == {"text": payload, payload: 1}
    assert active(written) == []


# --- tables ----------------------------------------------------------------------------------------------------------

CALCULATED = re.compile(r"[\s\x00-\x1f]*[-=+@\uff0b\uff0d\uff1d\uff20]")


@pytest.mark.parametrize("payload", [text for text in PAYLOADS if "\ud800" not in text])
def test_no_cell_of_a_csv_is_calculated_and_none_breaks_out(payload: str) -> None:
    frame = pd.DataFrame({"answer": [payload, f"x{payload}", None, "plain"], "score": [-1.0, 0.5, None, 1.0]})
    header, *rows = csv.reader(io.StringIO(as_csv(frame), newline=""))
    assert header == ["answer", "score"] and len(rows) == 4
    for cell, text in zip((row[0] for row in rows), (payload, f"x{payload}", "", "plain"), strict=True):
        assert not CALCULATED.match(cell)
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        assert cell == (f"'{lines}" if CALCULATED.match(text) else lines)
    assert [row[1] for row in rows] == ["-1", "0.5", "", "1"]


@pytest.mark.parametrize("number", ["-5", "+3.25", "-1e-4", "7", "-0"])
def test_a_number_in_a_csv_stays_a_number(number: str) -> None:
    assert as_csv(pd.DataFrame({"target": [number]})) == f"target\n{number}\n"


# --- each command ----------------------------------------------------------------------------------------------------

# A run's own files hold no half characters: they are refused where rows and answers are read.
TEXTS = tuple(text for text in PAYLOADS if "\ud800" not in text)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judged run whose every answer, error, id and tag is a payload."""

    def poison(rows: list[Prediction]) -> list[Prediction]:
        changed = []
        for number, row in enumerate(rows):
            text = TEXTS[number % len(TEXTS)]
            failed = {"error": f"server said {text}", "stop": "error"} if number % 97 == 0 else {}
            changed.append(replace(row, text=row.text + text if number % 3 == 0 else row.text, **failed))
        return changed

    folder = tmp_path_factory.mktemp("project") / "reports" / "fixture" / "run-1"
    fixture = Fixture(n_test=141, n_probe=60, questions=40, tags=lambda i: (TEXTS[i % len(TEXTS)],))
    fixture.edit_predictions = poison
    fixture.write(folder)
    result = harness("gate", folder)
    assert result.exit_code in {3, 4}, result.output
    return folder


def harness(*arguments: str | Path, actions: bool = False) -> Result:
    runner = CliRunner(env={"GITHUB_ACTIONS": "true" if actions else None, "HARNESS_OUTERMOST": None})
    return runner.invoke(main, [str(argument) for argument in arguments])


COMMANDS: list[tuple[str, ...]] = [
    ("gate", "RUN"),
    ("gate", "RUN", "--json"),
    ("report", "RUN"),
    ("show", "RUN", "test-0"),
    ("show", "RUN", "test-0", "--json"),
    ("show", "RUN", "no such\x1b[2J\n::error::x ##vso[task.complete]"),
    ("explain", "RUN", "better_than/exact_match/bare"),
    ("explain", "RUN", "better_than/exact_match/bare", "--json"),
    (
        "compare",
        "RUN",
        "RUN",
        "--scorer",
        "exact_match",
        "--baseline-system",
        "bare",
        "--candidate-system",
        "candidate",
    ),
    ("compare", "RUN", "RUN", "--scorer", "\x1b]8;;x\x07\n::error::x"),
    ("export", "RUN", "--output", "OUT.csv"),
    ("review", "export", "RUN", "--output", "OUT.html"),
    ("card", "RUN", "--output", "OUT.md"),
    ("selftest", "RUN", "--replicates", "100"),
    ("verify", "RUN/adapter", "--suite-digest", "\x1b[2J\n::error::x"),
    ("validate", "nowhere\u202e\x1b[2J"),
    ("run", "nowhere", "--set", "\x1b[2J\n::error::x"),
    ("\x1b[2J\n::error::x",),
]


@pytest.mark.parametrize("actions", [False, True], ids=["terminal", "actions"])
@pytest.mark.parametrize("arguments", COMMANDS, ids=[" ".join(call)[:40] for call in COMMANDS])
def test_no_command_prints_what_would_command(
    arguments: tuple[str, ...], actions: bool, run: Path, tmp_path: Path
) -> None:
    given = [text.replace("RUN", str(run)).replace("OUT", str(tmp_path / "out")) for text in arguments]
    result = harness(*given, actions=actions)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    ours = [line for line in result.stderr.splitlines() if line.startswith(("::error title=", "::warning title="))]
    printed = result.output
    for line in ours:  # the annotations of a verdict, which are meant to be obeyed in Actions and nowhere else
        printed = printed.replace(line, "")
    assert active(printed) == []
    assert actions or not ours
