"""`harness history`: each check over every stored run of a suite, and the examples that keep flipping."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from evidence_factory import SUITE, Fixture
from stored_verdict import own_part
from test_cli_imports import HEAVY, modules_after

from harness.cli.main import main
from harness.records import RunManifest
from harness.store.facts import read_record
from harness.store.ledger import Look, record_look
from harness.store.runs import MANIFEST, finish_run
from harness.suite.load import parse_suite

Right = Callable[[int], bool]
GAIN = "better_than/exact_match/bare"
DECLARED = SUITE.replace("scorer: exact_match", "scorer: has").replace(
    "checks:", "scorers: [{name: has, kind: contains, texts: ['\"a\"']}]\nchecks:"
)
OTHERWISE = DECLARED.replace("'\"a\"'", "'a\"}'")
ALWAYS_A: dict[str, Any] = {"right": lambda i: i // 2 % 2 == 0, "baseline_right": lambda i: i // 2 % 2 == 1}


def harness(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def history(project: Path, *options: str) -> Result:
    return harness("history", project / "suites" / "fixture", *options)


def facts(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the suite of the fixtures and an empty registry."""
    suite = tmp_path / "suites" / "fixture"
    suite.mkdir(parents=True)
    (tmp_path / "baselines").mkdir()
    (suite / "suite.yaml").write_text(SUITE)
    for name in ("train.jsonl", "test.jsonl", "probe.jsonl", "schema.json"):
        (suite / name).write_text("{}")
    return tmp_path


def add_run(project: Path, day: int, right: Right, *, judged: bool = True, **changes: Any) -> Path:
    """One run of the suite; `right` says which test examples its candidate gets right."""
    sizes = {"n_test": 40, "n_probe": 600, "questions": 200}
    folder = Fixture(candidate_right=right, **{**sizes, **changes}).write(
        project / "reports" / "fixture" / f"2026010{day}-120000-abcdef"
    )
    if judged:
        assert harness("gate", folder).exit_code in (0, 3, 4)
    return folder


def rebind(folder: Path, overrides: dict[str, str] | None = None, **digests: str) -> None:
    """Let the manifest name these overrides and digests, and judge the run again."""
    manifest = read_record(RunManifest, folder / MANIFEST)
    finish_run(folder, replace(manifest, overrides=overrides or {}, digests={**manifest.digests, **digests}))
    assert harness("gate", folder).exit_code in (0, 3, 4)


def trend(found: dict[str, Any], name: str) -> list[dict[str, Any] | None]:
    (results,) = [item["results"] for item in found["trends"] if item["check"] == name]
    assert isinstance(results, list)
    return results


def left_out(found: dict[str, Any]) -> dict[str, str]:
    return {item["run_id"]: item["reason"] for item in found["left_out"]}


# Checks over the runs


def test_every_check_is_shown_with_its_interval_over_all_runs_oldest_first(project: Path) -> None:
    folders = [add_run(project, day, right) for day, right in ((2, lambda i: True), (1, lambda i: i % 4 != 0))]
    found = facts(history(project, "--json"))
    assert [run["run_id"] for run in found["runs"]] == [folders[1].name, folders[0].name]
    verdicts = [own_part(folder) for folder in reversed(folders)]
    for name in {check["name"] for verdict in verdicts for check in verdict["checks"]}:
        assert trend(found, name) == [
            next(check for check in verdict["checks"] if check["name"] == name) for verdict in verdicts
        ]
    assert [result and result["observed"] for result in trend(found, GAIN)] == [0.25, 0.5]
    lines = history(project).stdout.splitlines()
    place = lines.index(f"{GAIN} ▁█")
    row = trend(found, GAIN)[1]
    assert row is not None
    assert (
        lines[place + 2].split()
        == (
            f"20260102-120000-abcdef ✓ Pass +50.0 points [+{100 * row['low']:.1f} to +{100 * row['high']:.1f} points] "
            "(needed: more than 0 points)"
        ).split()
    )


def test_a_check_that_a_run_did_not_have_leaves_a_gap(project: Path) -> None:
    add_run(project, 1, lambda i: True, suite_text=SUITE.replace("  - {kind: healthy_training}\n", ""))
    add_run(project, 2, lambda i: True)
    found = facts(history(project, "--json"))
    results = trend(found, "healthy_training")
    assert results[0] is None and results[1] is not None
    assert "healthy_training ·▄" in history(project).stdout


def test_checks_that_share_a_name_each_have_their_own_line(project: Path) -> None:
    more = SUITE + "  - {kind: valid_output, on: test, bar: 50%}\n"
    for day in (1, 2):
        add_run(project, day, lambda i: True, suite_text=more)
    found = facts(history(project, "--json"))
    shared = [item["results"] for item in found["trends"] if item["check"] == "valid_output"]
    assert [[result["n"] for result in results] for results in shared] == [[600, 600], [40, 40]]


def test_the_promoted_run_is_marked_and_stands_in_when_its_folder_is_gone(project: Path) -> None:
    folder = add_run(project, 1, lambda i: True)
    add_run(project, 2, lambda i: i % 4 != 0)
    assert harness("promote", folder, "--name", "first").exit_code == 0
    there = facts(history(project, "--json"))
    assert [(run["promoted"], run["in_force"]) for run in there["runs"]] == [("first", True), ("", False)]
    assert f"* {folder.name}  ship       promoted as first, in force" in history(project).stdout
    shutil.rmtree(folder)
    gone = facts(history(project, "--json"))
    assert gone == there, "the registry keeps the verdict and the outcomes of what was promoted"
    assert len(gone["flips"]) == 10


def test_what_a_run_had_unlike_the_newest_is_named(project: Path) -> None:
    rebind(add_run(project, 1, lambda i: True), **{"probe.jsonl": "p" * 64, "adapter:candidate": "d" * 64})
    add_run(project, 2, lambda i: True)
    assert [run["differs"] for run in facts(history(project, "--json"))["runs"]] == [["probe.jsonl"], []]
    assert "(other: probe.jsonl)" in history(project).stdout


# Runs that cannot stand beside the others


def test_a_run_on_another_test_set_is_left_out_and_named(project: Path) -> None:
    other = add_run(project, 1, lambda i: i % 2 == 0)
    rebind(other, **{"test.jsonl": "u" * 64})
    add_run(project, 2, lambda i: True)
    found = facts(history(project, "--json"))
    assert [run["run_id"] for run in found["runs"]] == ["20260102-120000-abcdef"]
    assert left_out(found) == {other.name: "on another test set (uuuuuuuuuuuu)"}
    assert found["flips"] == []
    assert f"left out: {other.name}: on another test set (uuuuuuuuuuuu)" in history(project).stdout


def test_runs_without_a_verdict_that_holds_are_left_out_and_named(project: Path) -> None:
    unjudged = add_run(project, 1, lambda i: True, judged=False)
    changed = add_run(project, 2, lambda i: True)
    verdict = (changed / "verdict.json").read_text()
    (changed / "verdict.json").write_text(verdict.replace('"status":"pass"', '"status":"fail"'))
    unfinished = project / "reports" / "fixture" / "20260103-120000-abcdef"
    unfinished.mkdir()
    add_run(project, 4, lambda i: True)
    found = facts(history(project, "--json"))
    assert len(found["runs"]) == 1
    reasons = left_out(found)
    assert "not judged yet" in reasons[unjudged.name]
    assert "changed since it was written" in reasons[changed.name]
    assert reasons[unfinished.name] == "did not finish"


def test_a_look_without_a_run_is_told(project: Path) -> None:
    add_run(project, 1, lambda i: True)
    look = Look(
        test_digest="t" * 64,
        candidate_digest="e" * 64,
        suite_digest="s" * 64,
        run_id="older",
        judged="2026",
        decision="hold",
    )
    record_look(project / "baselines" / "fixture" / "looks.jsonl", look)
    result = history(project)
    assert "1 run on test set tttttttttttt; 2 candidates looked at it" in result.stdout
    assert "left out: older: only its look at the test set is recorded (hold)" in result.stdout


def test_a_run_by_another_declaration_of_the_scorer_is_left_out(project: Path) -> None:
    (project / "suites" / "fixture" / "suite.yaml").write_text(DECLARED)
    other = add_run(project, 1, suite_text=OTHERWISE, **ALWAYS_A)
    same = add_run(project, 2, suite_text=DECLARED.replace("seed: 3", "seed: 4"), **ALWAYS_A)
    found = facts(history(project, "--json"))
    assert left_out(found) == {other.name: "by another has"}
    assert [run["run_id"] for run in found["runs"]] == [same.name]


def test_a_promoted_run_is_compared_only_while_its_scorer_is_known(project: Path) -> None:
    (project / "suites" / "fixture" / "suite.yaml").write_text(DECLARED)
    other, same = (add_run(project, day, suite_text=text, **ALWAYS_A) for day, text in ((1, OTHERWISE), (2, DECLARED)))
    overrides = {"train.epochs": "2"}
    digest = parse_suite(DECLARED, same / "suite.yaml", overrides, files=False).digest
    rebind(same, overrides=overrides, suite=digest)
    for folder in (other, same):
        assert harness("promote", folder).exit_code == 0
        shutil.rmtree(folder)
    found = facts(history(project, "--json"))
    lost = "the suite that it was judged by is not stored, and with it how has was declared"
    assert left_out(found) == {other.name: lost}
    assert [run["run_id"] for run in found["runs"]] == [same.name]


# Examples that keep flipping


def test_examples_are_ordered_by_how_often_they_changed_between_consecutive_runs(project: Path) -> None:
    add_run(project, 1, lambda i: i not in (0, 1))
    add_run(project, 2, lambda i: i not in (0, 2))
    add_run(project, 3, lambda i: i not in (1, 2, 3))
    found = facts(history(project, "--json"))
    assert [(flip["example_id"], flip["changes"], flip["right"]) for flip in found["flips"]] == [
        ("test-1", 2, [False, True, False]),
        ("test-0", 1, [False, False, True]),
        ("test-2", 1, [True, False, False]),
        ("test-3", 1, [True, True, False]),
    ]
    text = history(project).stdout
    assert "examples that keep flipping (right: exact_match of 1): 4 of 40 changed, 1 of them more than once" in text
    assert "  ✕✓✕  2 changes  test-1\n  ✕✕✓  1 change  test-0\n" in text


def test_an_answer_that_failed_is_not_right(project: Path) -> None:
    def fail(rows: list[Any]) -> list[Any]:
        return [
            replace(row, text="", stop="error", error="timed out")
            if (row.example_id, row.system) == ("test-5", "candidate")
            else row
            for row in rows
        ]

    add_run(project, 1, lambda i: True)
    add_run(project, 2, lambda i: True, edit_predictions=fail)
    (flip,) = facts(history(project, "--json"))["flips"]
    assert (flip["example_id"], flip["right"]) == ("test-5", [True, False])


def test_an_example_that_a_run_did_not_answer_is_a_gap_and_no_change(project: Path) -> None:
    add_run(project, 1, lambda i: i != 39)
    add_run(project, 2, lambda i: True, n_test=39)
    add_run(project, 3, lambda i: i != 39)
    found = facts(history(project, "--json"))
    assert (len(found["runs"]), found["examples"], found["flips"]) == (3, 40, [])
    add_run(project, 4, lambda i: True)
    (flip,) = facts(history(project, "--json"))["flips"]
    assert flip["right"] == [False, None, False, True]
    assert "✕·✕✓" in history(project).stdout


# The command


def test_a_suite_without_runs_says_so(project: Path) -> None:
    assert "fixture: no judged run is stored" in history(project).stdout
    assert facts(history(project, "--json"))["runs"] == []


def test_an_unknown_suite_is_refused(project: Path) -> None:
    assert harness("history", project / "suites" / "other").exit_code == 2


def test_history_needs_neither_model_libraries_nor_statistics(project: Path) -> None:
    add_run(project, 1, lambda i: True)
    assert not modules_after("history", str(project / "suites" / "fixture")) & (HEAVY | {"numpy", "scipy", "pandas"})
