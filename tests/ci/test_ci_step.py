"""Commands inside a step of GitHub Actions: what they append, what they print, and when they keep silent."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from evidence_factory import Fixture
from workflow_runner import read_outputs

from harness.cli.github import tell_actions
from harness.cli.main import main
from harness.cli.printing import InertStream
from harness.clock import utc_now
from harness.judge import judge_run
from harness.report.github import SUMMARY_LIMIT

SUITE = """\
suite: fixture
seed: 3
model: smollm2-135m-instruct
data: {train: train.jsonl, test: test.jsonl, probe: probe.jsonl, schema: schema.json}
train: {method: lora}
systems:
  candidate: {kind: adapter, role: candidate}
  bare: {kind: prompt, role: baseline}
checks:
  - {kind: better_than}
  - {kind: valid_output, on: probe, bar: 90%}
"""


class Step:
    """A checkout with one held run, and the files of a step."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "checkout"
        (self.workspace / "baselines").mkdir(parents=True)
        self.suite = self.workspace / "suites" / "fixture" / "suite.yaml"
        self.suite.parent.mkdir(parents=True)
        self.suite.write_text(SUITE)
        fixture = Fixture(suite_text=SUITE, n_test=60, n_probe=40, questions=1, invalid_probes=20)
        self.run = fixture.write(self.workspace / "reports" / "fixture" / "run-1")
        self.summary, self.output = folder / "summary.md", folder / "output"
        self.variables: dict[str, str | None] = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.output),
            "HARNESS_OUTERMOST": None,
        }

    def harness(self, *arguments: str | Path) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments], env=self.variables)


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


def annotations(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith("::")]


def test_the_summary_is_appended_to_what_the_step_wrote_before(step: Step) -> None:
    step.summary.write_text("# Earlier\n")
    assert step.harness("gate", step.run).exit_code == 3
    assert step.harness("report", step.run).exit_code == 0
    verdict = (step.run / "summary.md").read_text()
    assert verdict.startswith("### ✕ Hold: fixture")
    earlier, *verdicts = step.summary.read_text().split("\n### ✕ Hold: fixture")
    assert earlier == "# Earlier\n"
    assert len(verdicts) == 2 and f"### ✕ Hold: fixture{verdicts[-1]}" == verdict


def test_a_full_summary_is_left_alone_and_said(step: Step) -> None:
    step.summary.write_bytes(b"x" * (SUMMARY_LIMIT - 10))
    result = step.harness("gate", step.run)
    assert result.exit_code == 3
    assert step.summary.stat().st_size == SUMMARY_LIMIT - 10
    assert "the summary of this step is full" in result.stderr
    assert read_outputs(step.output.read_text())["verdict"] == "hold"


def test_the_outputs_follow_those_of_the_step(step: Step) -> None:
    step.output.write_text("mine=1\n")
    step.harness("gate", step.run)
    assert read_outputs(step.output.read_text()) == {
        "mine": "1",
        "verdict": "hold",
        "exit-code": "3",
        "run-id": "run-1",
        "folder": str(step.run),
        "report": str(step.run / "report.html"),
    }


def test_standard_output_stays_one_object_when_json_is_asked_for(step: Step) -> None:
    result = step.harness("gate", step.run, "--json")
    assert json.loads(result.stdout)["decision"] == "hold"
    assert annotations(result) == [
        line
        for line in result.output.splitlines()
        if line.startswith("::error file=suites/fixture/suite.yaml,line=11,")
    ]
    assert len(annotations(result)) == 1


@pytest.mark.parametrize("change", [{"GITHUB_ACTIONS": None}, {"HARNESS_OUTERMOST": str(os.getpid() + 1)}])
def test_nothing_is_told_outside_actions_or_by_a_process_within_another(
    change: dict[str, str | None], step: Step
) -> None:
    step.variables |= change
    result = step.harness("gate", step.run)
    assert result.exit_code == 3
    assert not step.summary.exists() and not step.output.exists()
    assert annotations(result) == []


def test_the_verdict_stands_when_a_file_of_the_step_cannot_be_written(step: Step) -> None:
    step.summary.mkdir()
    result = step.harness("gate", step.run)
    assert result.exit_code == 3
    assert "warning: GitHub was not told of the verdict" in result.stderr
    assert read_outputs(step.output.read_text())["verdict"] == "hold"


@pytest.mark.parametrize("reason", ["changed", "elsewhere"])
def test_an_annotation_names_no_line_when_the_checkout_lacks_the_suite(reason: str, step: Step) -> None:
    if reason == "changed":
        step.suite.write_text("# one line more\n" + SUITE)
    else:
        step.variables["GITHUB_WORKSPACE"] = str(step.workspace / "reports")
    (line,) = annotations(step.harness("gate", step.run))
    assert line.startswith("::error title=valid_output failed::")


def test_an_annotation_names_the_very_file_that_was_run(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = step.workspace / "tasks" / "mine.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(SUITE)
    for name, value in step.variables.items():
        monkeypatch.setenv(name, value or str(os.getpid()))
    streams = {name: io.StringIO() for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    tell_actions(judge_run(step.run, utc_now), elsewhere)
    assert streams["stderr"].getvalue().startswith("::error file=tasks/mine.yaml,line=11,title=valid_output failed::")
    assert streams["stdout"].getvalue() == ""


def test_an_error_that_quotes_a_command_is_none(step: Step) -> None:
    result = step.harness("gate", "##[stop-commands]x\n::error::y")
    assert result.exit_code == 2
    assert "not a run folder" in result.stderr
    assert annotations(result) == [] and "##[" not in result.output
    assert "##\\[stop-commands]x\n\\::error::y" in result.stderr


def written(*pieces: str) -> str:
    behind = io.StringIO()
    stream = InertStream(behind)
    for piece in pieces:
        assert stream.write(piece) == len(piece)
    stream.flush()
    return behind.getvalue()


def test_a_command_written_in_pieces_is_none() -> None:
    assert written("::er", "ror::x\n", "#", "#", "[error]", "y\n", "::", "z") == "\\::error::x\n##\\[error]y\n\\::z"


def test_what_is_begun_is_passed_on_when_flushed() -> None:
    assert written("half a ") == "half a "


@pytest.mark.parametrize("begun", [("begun ::error::x",), ("begun", "::error::x\n", "again")])
def test_only_a_command_of_the_harness_is_passed_on_as_one(begun: tuple[str, ...]) -> None:
    behind = io.StringIO()
    stream = InertStream(behind)
    for piece in begun:
        stream.write(piece)
        stream.flush()
    stream.command("::warning title=a::b")
    assert behind.getvalue() == "".join(begun).replace("begun::", "begun\\::") + "\n::warning title=a::b\n"
