"""`harness advise` says what to try first, what is missing and what was measured, whatever that was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from evidence_factory import Fixture
from plain_suite import SUITE, write_plain_suite

from harness.cli.main import main
from harness.judge import judge_run

FORMAT = SUITE.replace("seed: 1\n", "goal: format\nseed: 1\n")


def advise(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["advise", *map(str, arguments)])


def as_json(*arguments: str | Path) -> dict[str, Any]:
    result = advise(*arguments, "--json")
    assert result.exit_code == 0, result.output
    value: dict[str, Any] = json.loads(result.stdout)
    return value


def stored_run(
    project: Path, name: str = "20260101-000000-abcdef", *, suite: str = "plain", judged: bool = True
) -> Path:
    # The runs of suite "plain" lie in its folder; what ran is its own matter.
    folder = Fixture(n_test=100, n_probe=1000, questions=1000).write(project / "reports" / suite / name)
    if judged:
        judge_run(folder, lambda: datetime(2026, 1, 2, tzinfo=UTC))
    return folder


def test_the_path_to_the_goal_is_told_in_order_with_reason_and_source(tmp_path: Path) -> None:
    result = advise(write_plain_suite(tmp_path, text=FORMAT))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "to try for format, in this order:"
    assert lines[1] == "  1. a grammar over a prompt (not in the suite)"
    assert lines[2].endswith("(according to this harness)")
    assert "  4. supervised fine-tuning with LoRA (in the suite as candidate)" in lines
    assert "  ! no arm with a grammar over a prompt for format: `{kind: constrained, over: ARM}`" in lines
    assert "a verdict is believed for 30 days" in result.stdout
    assert lines[-1] == "measured: nothing yet"


def test_the_same_is_told_in_json(tmp_path: Path) -> None:
    found = as_json(write_plain_suite(tmp_path, text=FORMAT))
    assert found["json_version"] == 1 and found["suite"] == "plain" and found["goals"] == ["format"]
    assert [step["arm"] for step in found["paths"]["format"]] == ["constrained", "engineered", "few_shot", "sft"]
    assert found["paths"]["format"][3]["systems"] == ["candidate"]
    assert found["found"] is None and found["lacks"]


def test_a_goal_may_be_tried_out_for_one_call(tmp_path: Path) -> None:
    found = as_json(write_plain_suite(tmp_path), "--set", "goal=latency")
    assert list(found["paths"]) == ["latency"]


def test_an_unknown_goal_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    result = advise(write_plain_suite(tmp_path, text=FORMAT.replace("format\n", "formats\n", 1)))
    assert result.exit_code == 2
    assert "suite.yaml:2:7 goal: must be 'facts', 'tone', 'format'" in result.output


def test_the_last_run_is_told_with_its_own_intervals_and_that_the_suite_changed(tmp_path: Path) -> None:
    stored_run(tmp_path)
    result = advise(write_plain_suite(tmp_path))
    assert result.exit_code == 0, result.output
    assert "measured by run 20260101-000000-abcdef: ship." in result.stdout
    assert "! of an earlier state: suite, train.jsonl, test.jsonl changed since that run" in result.stdout
    assert "better_than/exact_match/bare: pass: better: +40.0 points" in result.stdout
    assert "no arm without training was shown to be as good as the candidate" in result.stdout
    assert "the verdict is believed until 2026-02-01 00:00 UTC" in result.stdout


def test_a_run_may_be_named_instead_of_the_last_one(tmp_path: Path) -> None:
    earlier = stored_run(tmp_path, suite="fixture")
    stored_run(tmp_path, "20260301-000000-abcdef", suite="fixture")
    suite = write_plain_suite(tmp_path, text=SUITE.replace("suite: plain", "suite: fixture"))
    assert as_json(suite)["found"]["run_id"] == "20260301-000000-abcdef"
    assert as_json(suite, earlier)["found"]["run_id"] == "20260101-000000-abcdef"


def test_a_run_of_another_suite_is_refused(tmp_path: Path) -> None:
    result = advise(write_plain_suite(tmp_path), stored_run(tmp_path, suite="fixture"))
    assert result.exit_code == 2
    assert "a run of the suite 'fixture', not of 'plain'; give a run of this suite" in result.output


def test_advice_is_given_whatever_the_last_run_came_to(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, judged=False)
    suite = write_plain_suite(tmp_path)
    result = advise(suite)
    assert result.exit_code == 0
    assert "measured: nothing yet; " in result.stdout and "not judged yet" in result.stdout
    held = Fixture(candidate_right=lambda i: i % 10 == 0).write(tmp_path / "reports" / "plain" / "20260201-000000-a")
    judge_run(held, lambda: datetime(2026, 2, 2, tzinfo=UTC))
    result = advise(suite)
    assert result.exit_code == 0 and "20260201-000000-a: hold." in result.stdout
    assert "You did not need to fine-tune: bare is within 5.0 points" in result.stdout
    assert advise(suite, folder / "nowhere").exit_code == 2
