"""The self-test measures what it says: a sound gate errs rarely, and a broken one is found out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from evidence_factory import SUITE, Fixture

from harness.cli.main import main
from harness.records import LeakedExample, Preference

SMALL = Fixture(
    suite_text=SUITE.replace("bar: 99.5%", "bar: 97%").replace("margin: 5%", "margin: 10%"),
    n_probe=300,
    questions=400,
)


def trials(folder: Path, *arguments: str) -> dict[str, float]:
    result = CliRunner().invoke(main, ["selftest", str(folder), "--replicates", "100", "--json", *arguments])
    assert result.exit_code == 0, result.output + str(result.exception)
    return {trial["name"]: trial["rate"]["value"] for trial in json.loads(result.stdout)["trials"]}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return trials(SMALL.write(tmp_path_factory.mktemp("runs") / "run"))


def test_a_deserving_candidate_ships_and_planted_faults_do_not(measured: dict[str, float]) -> None:
    assert measured["as it is"] >= 0.9
    # Of two labels, shuffled answers are right half of the time, as the baseline is: another pair of equal systems.
    for name in ("equal systems", "shuffled answers"):
        assert measured[name] >= 0.88, name  # 5 % may ship; 12 of 100 would be past chance
    for name in ("base as candidate", "adapter without effect", "leaked rows"):
        assert measured[name] == 1.0, name
    assert measured["truncated JSON"] >= 0.9
    assert measured["lost ability"] >= 0.5


def test_the_table_says_how_often_each_fault_was_tried(tmp_path: Path) -> None:
    folder = replace(SMALL, n_test=130).write(tmp_path / "run")
    lines = CliRunner().invoke(main, ["selftest", str(folder), "--replicates", "100"]).stdout.splitlines()
    _, header, _, *rows = [line.strip("| ").split(" | ") for line in lines]
    tries = {row[0].split(":")[0]: row[header.index("tries")] for row in rows}
    assert tries.pop("leaked rows") == "130"  # each test row once
    assert len(tries) == 7 and set(tries.values()) == {"100"}


def test_scenarios_follow_the_checks_of_the_suite(tmp_path: Path) -> None:
    lines = [
        line for line in SMALL.suite_text.splitlines() if "benchmark_drop" not in line and "valid_output" not in line
    ]
    folder = Fixture(suite_text="\n".join(lines) + "\n", n_probe=300, questions=400).write(tmp_path / "run")
    assert {"truncated JSON", "lost ability"} & trials(folder).keys() == set()


def test_a_gate_that_ships_equal_systems_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.gate import comparing

    # The classic fault: the mean is higher, so it ships.
    def by_the_mean(comparison: object, statistics: object, *, min_gain: float = 0.0) -> tuple[str, str, str]:
        return ("pass" if comparison.delta.value > 0 else "fail"), "by the mean", ""  # type: ignore[attr-defined]

    monkeypatch.setattr("harness.gate.better_than.judge_comparison", by_the_mean)
    assert comparing.judge_comparison is not by_the_mean
    assert trials(SMALL.write(tmp_path / "run"))["equal systems"] < 0.75


def test_the_same_seed_gives_the_same_table(tmp_path: Path, measured: dict[str, float]) -> None:
    folder = SMALL.write(tmp_path / "run")
    assert trials(folder) == measured
    assert trials(folder, "--seed", "1") != measured


def test_preferences_of_a_judge_are_drawn_and_exchanged_with_the_answers(tmp_path: Path) -> None:
    judge = "judges:\n  strict: {rubric: rubric.txt, base_url: 'https://h/v1', model: m}\nchecks:\n"
    text = SMALL.suite_text.replace("checks:\n", judge + "  - {kind: preferred, judge: strict, baselines: [bare]}\n")
    fixture = replace(SMALL, suite_text=text)
    preferred = tuple(
        Preference(judge="strict", baseline="bare", example_id=f"test-{place}", shown_first=sign, shown_second=sign)
        for place, sign in enumerate([1, 1, 1, -1] * (fixture.n_test // 4))
    )
    found = trials(replace(fixture, preferences=preferred).write(tmp_path / "run"))
    assert found["as it is"] >= 0.9 and found["equal systems"] >= 0.88


def test_leaks_are_drawn_with_their_examples_so_that_a_gain_they_carry_is_measured_as_undecided(tmp_path: Path) -> None:
    leaks = tuple(
        LeakedExample(
            example_id=f"test-{place}",
            source="",
            twin="train.jsonl:1",
            kind="contained",
            similarity=1.0,
            is_sure=True,
        )
        for place in range(1, 40, 2)
    )
    text = "\n".join(line for line in SUITE.splitlines() if "benchmark_drop" not in line and "valid_output" not in line)
    few = {"n_test": 40, "n_probe": 2, "questions": 4}
    # The candidate is better on these rows alone, and they are what leaked.
    carried = Fixture(candidate_right=lambda i: True, baseline_right=lambda i: i % 2 == 0, suite_text=text, **few)
    assert trials(carried.write(tmp_path / "clean"))["as it is"] >= 0.9
    assert trials(replace(carried, leaks=leaks).write(tmp_path / "leaked"))["as it is"] == 0.0
