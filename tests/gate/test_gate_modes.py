"""Modes that may stop early: decided on the looks that were taken, and on nothing that a later look would change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from evidence_factory import SUITE, Fixture
from stored_verdict import own_part

from harness.cli.main import main
from harness.errors import InvalidInputError
from harness.suite.load import parse_suite


def suite(mode: str, every: int = 50) -> str:
    text = SUITE.replace("{task: mmlu}", "{task: mmlu, per_subject: null}")
    return text.replace("checks:", f"statistics: {{mode: {mode}, look_every: {every}}}\nchecks:")


ANYTIME, HYBRID = suite("anytime"), suite("hybrid")


def gate(fixture: Fixture, folder: Path) -> Result:
    return CliRunner().invoke(main, ["gate", str(fixture.write(folder)), "--json"])


def reasons(result: Result) -> dict[str, str]:
    return {check["name"]: check["reason"] for check in json.loads(result.stdout)["checks"]}


few = {"candidate_right": lambda i: i < 105, "baseline_right": lambda i: i < 100}

TABLE = [
    ("anytime ships a clear gain", Fixture(suite_text=ANYTIME), 0),
    ("hybrid ships a clear gain", Fixture(suite_text=HYBRID), 0),
    ("anytime holds a clear loss", Fixture(suite_text=ANYTIME, candidate_right=lambda i: i % 10 == 0), 3),
    ("anytime leaves equal systems open", Fixture(suite_text=ANYTIME, candidate_right=lambda i: i % 2 == 0), 4),
    ("hybrid ends with the exact test", Fixture(suite_text=HYBRID, **few), 0),
    ("anytime asks for more than five wins to none", Fixture(suite_text=ANYTIME, **few), 4),
    ("a run that stopped when settled ships", Fixture(suite_text=ANYTIME, n_test=100, pool=500), 0),
    (
        "a run that stopped before it was settled is undecided",
        Fixture(suite_text=HYBRID, n_test=100, pool=500, candidate_right=lambda i: i % 2 == 0),
        4,
    ),
    ("a whole benchmark without a loss ships", Fixture(suite_text=ANYTIME, benchmark_pool=1000), 0),
    (
        "a benchmark that stopped on a clear loss is held",
        Fixture(suite_text=ANYTIME, benchmark_pool=14_000, questions=600, tuned_correct=lambda i: i % 10 < 4),
        3,
    ),
    (
        "a benchmark that stopped too soon is undecided",
        Fixture(suite_text=ANYTIME, benchmark_pool=14_000, questions=50),
        4,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fixture", "code"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_mode_decides_with_the_looks_that_were_taken(fixture: Fixture, code: int, tmp_path: Path) -> None:
    result = gate(fixture, tmp_path / "run")
    assert result.exit_code == code, result.output + str(result.exception)


def test_the_number_used_and_planned_is_said(tmp_path: Path) -> None:
    found = reasons(gate(Fixture(suite_text=ANYTIME, benchmark_pool=1000), tmp_path / "run"))
    assert "50 of 200 examples used" in found["better_than/exact_match/bare"]
    assert "of 1,000 questions used" in found["benchmark_drop/general"]


def test_what_comes_after_the_deciding_look_changes_nothing(tmp_path: Path) -> None:
    clear = Fixture(suite_text=ANYTIME)
    turned = replace(
        clear,
        candidate_right=lambda i: i % 10 != 0 if i < 50 else False,
        baseline_right=lambda i: i % 2 == 0 if i < 50 else True,
    )
    first, second = (gate(fixture, tmp_path / name) for name, fixture in (("a", clear), ("b", turned)))
    assert first.exit_code == second.exit_code == 0


def test_no_interval_is_shown_where_looking_chose_the_number(tmp_path: Path) -> None:
    fixture = Fixture(suite_text=ANYTIME)
    gate(fixture, tmp_path / "run")
    checks = own_part(tmp_path / "run")["checks"]
    gain = next(check for check in checks if check["kind"] == "better_than")
    assert gain["low"] is None and gain["high"] is None
    assert "betting e-process" in gain["method"]


REFUSED = [
    (
        "baselines: all}",
        "baselines: all}\n  - {kind: better_than, tag: odd}",
        "a slice cannot be judged in mode anytime",
    ),
    ("on: probe", "on: test", "needs mode fixed"),
    ("  - {kind: healthy_training}", "  - {kind: logprob_drop, benchmark: general}", "`logprob_drop` needs mode fixed"),
]


@pytest.mark.parametrize(("old", "new", "message"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_cannot_stop_early_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=message):
        parse_suite(ANYTIME.replace(old, new), tmp_path / "suite.yaml", {}, files=False)
    parse_suite(suite("fixed").replace(old, new), tmp_path / "suite.yaml", {}, files=False)
