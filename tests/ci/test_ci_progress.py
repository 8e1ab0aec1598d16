"""Progress by a clock that stands still until it is told: lines in CI and files, one redrawn line on a terminal."""

from __future__ import annotations

import io
import re

import pytest

from harness.progress import PrintedProgress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")


def on_screen(terminal: Terminal) -> list[str]:
    """The lines that a terminal shows after all that was written to it."""
    lines = [""]
    for piece in re.split(r"(\r\x1b\[2K|\n)", terminal.getvalue()):
        if piece == "\n":
            lines.append("")
        elif piece.startswith("\r"):
            lines[-1] = ""
        else:
            lines[-1] += piece
    return lines


def test_lines_come_at_the_start_every_half_minute_and_at_the_end(clock: Clock) -> None:
    stream = io.StringIO()
    progress = PrintedProgress(stream, seconds=clock)
    progress.start("answer test with candidate", 9600)
    for _ in range(960):
        clock.now += 0.125
        progress.advance(10, note="loss 0.310")
    lines = stream.getvalue().splitlines()
    assert lines == [
        "  answer test with candidate: 9,600 to do",
        "  answer test with candidate: 2,400/9,600  1:30 to go  loss 0.310",
        "  answer test with candidate: 4,800/9,600  1:00 to go  loss 0.310",
        "  answer test with candidate: 7,200/9,600  0:30 to go  loss 0.310",
        "  answer test with candidate: 9,600/9,600 in 2:00  loss 0.310",
    ]


def test_steps_that_take_longer_than_half_a_minute_each_get_a_line(clock: Clock) -> None:
    stream = io.StringIO()
    progress = PrintedProgress(stream, seconds=clock)
    progress.start("train", 3)
    for _ in range(3):
        clock.now += 4000
        progress.advance()
    assert stream.getvalue().splitlines()[1:] == [
        "  train: 1/3  2:13:20 to go",
        "  train: 2/3  1:06:40 to go",
        "  train: 3/3 in 3:20:00",
    ]


def test_a_stage_ends_when_the_next_begins_and_when_all_is_over(clock: Clock) -> None:
    stream = io.StringIO()
    with PrintedProgress(stream, seconds=clock) as progress:
        progress.start("train", 100)
        progress.advance(40)
        clock.now += 60
        progress.start("benchmark general", 0)
        clock.now += 5
        progress.advance(7)
        progress.say("a remark")
    assert stream.getvalue().splitlines() == [
        "  train: 100 to do",
        "  train: 40/100 in 1:00",
        "  benchmark general ...",
        "  a remark",
        "  benchmark general: 7 in 0:05",
    ]


def test_a_stage_that_is_left_by_an_error_says_how_far_it_came(clock: Clock) -> None:
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), PrintedProgress(stream, seconds=clock) as progress:
        progress.start("train", 100)
        progress.advance(40)
        clock.now += 7
        raise KeyboardInterrupt
    assert stream.getvalue().splitlines()[-1] == "  train: 40/100 in 0:07"


def test_the_end_is_told_once_when_more_steps_come_than_were_said(clock: Clock) -> None:
    stream = io.StringIO()
    with PrintedProgress(stream, seconds=clock) as progress:
        progress.start("train", 2)
        for _ in range(4):
            clock.now += 100
            progress.advance()
    assert [line for line in stream.getvalue().splitlines() if " in " in line] == ["  train: 2/2 in 3:20"]


def test_a_terminal_shows_one_line_that_is_redrawn(clock: Clock) -> None:
    terminal = Terminal()
    progress = PrintedProgress(terminal, seconds=clock)
    progress.start("answer", 100)
    assert on_screen(terminal) == ["  answer: 100 to do"]
    drawn = terminal.getvalue()
    clock.now += 0.05
    progress.advance()
    assert terminal.getvalue() == drawn, "not more than ten times a second"
    clock.now += 0.95
    progress.advance(19)
    assert on_screen(terminal) == ["  answer: 20/100  0:04 to go"]
    progress.say("settled")
    clock.now += 1
    progress.advance(30)
    assert on_screen(terminal) == ["  settled", "  answer: 50/100  0:02 to go"]
    progress.advance(50)
    assert on_screen(terminal) == ["  settled", "  answer: 100/100 in 0:02", ""]


def test_the_redrawn_line_fits_a_narrow_terminal(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    PrintedProgress(terminal, seconds=clock).start("a stage with a long name", 100)
    assert len(on_screen(terminal)[0]) < 20


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("TERM", "dumb")])
def test_a_terminal_of_ci_gets_lines_that_stay(
    name: str, value: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    terminal = Terminal()
    progress = PrintedProgress(terminal, seconds=clock)
    progress.start("answer", 2)
    progress.advance(2)
    assert terminal.getvalue() == "  answer: 2 to do\n  answer: 2/2 in 0:00\n"


def test_a_note_cannot_steer_the_terminal(clock: Clock) -> None:
    stream = io.StringIO()
    PrintedProgress(stream, seconds=clock).say("judge: \x1b[2J\r::error::x\n\x9b31m é")
    assert stream.getvalue() == "  judge: \ufffd[2J\ufffd::error::x\ufffd\ufffd31m é\n"
