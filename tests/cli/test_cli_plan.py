"""`harness plan` says before a run what it could find out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tiny_model import write_tiny_suite

from harness.cli.main import main

SUITE = """\
suite: s
seed: 1
model: smollm2-135m-instruct
data: {{train: train.jsonl, test: test.jsonl, probe: probe.jsonl, schema: schema.json}}
train: {{learning_rate: 1e-4}}
systems: {{candidate: {{kind: adapter, role: candidate}}, bare: {{kind: prompt}}}}
checks:
  - {{kind: better_than}}
  - {{kind: valid_output, bar: {bar}}}
"""


def plan(folder: Path, *, test: int = 200, probe: int = 1000, bar: str = "99.5%") -> dict[str, dict[str, object]]:
    (folder / "suite.yaml").write_text(SUITE.format(bar=bar))
    (folder / "schema.json").write_text('{"type": "object"}')
    for name, count in (("train", 40), ("test", test), ("probe", probe)):
        rows = [json.dumps({"prompt": f"{name} {i}", "completion": f"x{i % 2}"}) for i in range(count)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    result = CliRunner().invoke(main, ["plan", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    return {check["name"]: check for check in json.loads(result.stdout.splitlines()[-1])["checks"]}


@pytest.mark.parametrize(("n", "points"), [(100, "11.5"), (200, "8.1"), (300, "6.6"), (500, "5.1")])
def test_the_smallest_gain_is_the_published_one(n: int, points: str, tmp_path: Path) -> None:
    lines = plan(tmp_path, test=n)["better_than/exact_match/bare"]["lines"]
    assert f"smallest gain shown with 80% power: {points} points" in lines  # type: ignore[operator]


def test_the_validity_cutoffs_are_exact(tmp_path: Path) -> None:
    lines = plan(tmp_path)["valid_output"]["lines"]
    assert "invalid answers: 0-1 pass, 2-9 undecided, 10 or more fail" in lines  # type: ignore[operator]


def test_a_check_that_cannot_pass_is_warned_of_with_the_number_that_could(tmp_path: Path) -> None:
    found = plan(tmp_path, probe=500)["valid_output"]
    assert found["warnings"] == ["this check cannot pass: even without a failure it takes 598 cases, 98 more"]
    assert plan(tmp_path, probe=2995, bar="99.9%")["valid_output"]["warnings"] == []


def test_the_demo_is_planned_without_a_run(tmp_path: Path) -> None:
    import shutil

    source = Path(__file__).parents[2] / "suites" / "ticket-triage"
    shutil.copytree(source, tmp_path / "suites" / "ticket-triage")
    result = CliRunner().invoke(main, ["plan", str(tmp_path / "suites" / "ticket-triage")])
    assert result.exit_code == 0, result.output
    assert "invalid answers: 0-5 pass, 6-17 undecided, 18 or more fail" in result.output
    assert "240 questions" in result.output
    assert "not compared: no adapter of suite ticket-triage was promoted yet" in result.output


def test_a_probe_bounds_what_the_run_then_computes_and_says_what_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    quiz = Path(__file__).parents[1] / "fixtures" / "mmlu"
    suite = write_tiny_suite(
        tmp_path / "suites" / "tiny",
        benchmarks=f"benchmarks:\n  quiz: {{task: mmlu, mmlu_dir: {quiz}, per_subject: 3, shots: 1}}",
        checks="checks:\n  - {kind: better_than}\n  - {kind: benchmark_drop, benchmark: quiz, blocking: false}",
    )

    def probe() -> dict[str, Any]:
        result = CliRunner().invoke(main, ["plan", str(suite), "--probe", "--json"])
        assert result.exit_code == 0, result.output + str(result.exception)
        cost: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])["cost"]
        return cost

    before = probe()
    stages = {stage["name"]: stage for stage in before["stages"]}
    assert all(stage["seconds"] > 0 and stage["stored"] == 0 for stage in stages.values())
    assert before["peak_bytes"] > 0 and before["seconds"] == pytest.approx(
        sum(stage["seconds"] for stage in stages.values())
    )
    result = CliRunner().invoke(main, ["run", str(suite), "--json"])
    found = json.loads(result.stdout.splitlines()[-1])
    counters = json.loads((Path(found["run"]) / "manifest.json").read_text())["counters"]
    assert 0 < counters["trained_tokens"] <= stages["train"]["tokens"]
    answers = sum(stage["tokens"] for name, stage in stages.items() if "answers" in name)
    benchmark = sum(stage["tokens"] for name, stage in stages.items() if name.endswith("on quiz"))
    assert benchmark > 0 and answers > 0
    liveness = 2 * 8 * max(len(line) for line in (suite / "test.jsonl").read_text().splitlines()) * 2
    computed = counters["forwarded_tokens"] + counters["decoded_rows"]
    assert computed <= answers + benchmark + stages["validation loss"]["tokens"] + liveness

    after = {stage["name"]: stage for stage in probe()["stages"]}
    assert after["bare answers test"]["stored"] == after["few-shot answers test"]["stored"] == 12
    assert after["bare answers test"]["tokens"] == 0
    assert after["base model on quiz"]["stored"] == 6 * 4 and after["base model on quiz"]["tokens"] == 0
    # What training will make is not known, so nothing of it can be stored.
    assert after["candidate answers test"] == stages["candidate answers test"] | {
        "seconds": after["candidate answers test"]["seconds"]
    }


def test_the_cost_is_said_in_words_when_it_was_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    suite = write_tiny_suite(tmp_path / "suites" / "tiny")
    result = CliRunner().invoke(main, ["plan", str(suite), "--probe"])
    assert result.exit_code == 0, result.output + str(result.exception)
    assert "tokens a second" in result.stdout and "in all at most" in result.stdout
    assert not (tmp_path / "cache" / "answers.sqlite").exists(), "a plan writes nothing"
