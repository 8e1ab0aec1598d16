from __future__ import annotations

import io
import re

import pytest
from hostile_texts import PAYLOADS
from record_factory import make_record, poisoned, priced
from rich.console import Console

from harness.findings import RunRecord
from harness.report.terminal import print_summary
from harness.report.view import build_page

OWN_STYLES = re.compile(r"\x1b\[[0-9;]*m")


def printed(record: RunRecord, *, width: int = 120, colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, color_system="standard" if colour else None)
    print_summary(build_page(record), console)
    return stream.getvalue()


@pytest.mark.parametrize(("decision", "word"), [("ship", "✓ SHIP"), ("hold", "✕ HOLD"), ("undecided", "? UNDECIDED")])
def test_verdict_stands_first(decision: str, word: str) -> None:
    lines = printed(make_record(decision)).split("\n")  # type: ignore[arg-type]
    assert lines[1] == f"{word} ticket-triage"


def test_checks_and_arms_are_listed() -> None:
    text = printed(priced(make_record("hold", errors=2, warnings=["the ledger file is absent"])), width=140)
    assert "✕ Fail   better_than/exact_match" in text
    assert "at least 95.0 %" in text
    assert re.search(r"few-shot +38\.3 % +100\.0 % +– +80\.0 +14\.0 +0\.210 +0\.0583 +0 +0", text)
    assert re.search(r"candidate .* 2 of 120 +0", text)
    assert "Break-even against hosted: 234,567 requests. " in text
    assert "grammar is prompt-only held to the JSON Schema" in text
    assert "smaller-model: absent: no weights in the local folder" in text
    assert "! the ledger file is absent" in text


def test_reason_and_need_are_told_when_a_check_is_undecided() -> None:
    text = " ".join(printed(make_record("undecided")).split())
    assert "? better_than/exact_match/previous: +3.3% on exact_match against previous" in text
    assert "a true gain of 5.0% takes about 330 examples (80 % power): 210 more, as a fresh set" in text


def test_lines_fit_when_the_terminal_is_narrow() -> None:
    text = printed(priced(make_record("hold")), width=80)
    assert max(map(len, text.split("\n"))) <= 80
    assert re.search(r"few-shot +38\.3 % +100\.0 % +–\n", text.replace(" \n", "\n"))
    assert re.search(r"few-shot +80\.0 +14\.0 +0\.210 +0\.0583 +0 +0", text)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_control_sequence_is_printed_when_every_text_is_hostile(payload: str) -> None:
    record = poisoned(priced(make_record("hold", rows=4, probes=2, errors=1, warnings=["warning"])), payload)
    text = OWN_STYLES.sub("", printed(record, colour=True))
    assert not [char for char in text if ord(char) < 32 and char != "\n"]
    assert not [char for char in text if 0x7F <= ord(char) <= 0x9F]
    text.encode("utf-8")


def test_markup_of_the_terminal_library_is_shown_and_not_applied() -> None:
    record = poisoned(make_record(rows=4, probes=2), "[bold red]x[/bold red]")
    assert "ticket-triage[bold red]x[/bold red]" in printed(record, width=200)
