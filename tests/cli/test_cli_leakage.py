"""A leak that only a disguise hides, from the run that trains on it to everything that its report says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from planted_suite import prompts, write_rows
from tiny_model import LABELS, write_tiny_suite

from harness.cli.main import main

TEST = prompts(12, 1, words=18)
EMBEDDED = f"Good morning. {TEST[2]} Thank you very much"
NEAR = TEST[7].replace(TEST[7].split()[3], "zebra")


def harness(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def answered(texts: list[str]) -> list[dict[str, Any]]:
    return [
        {"id": f"case {place}", "prompt": text, "completion": LABELS[place % 2]} for place, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite with two test rows among its training rows: one within a longer row, one nearly copied."""
    root = tmp_path_factory.mktemp("project")
    (root / "baselines").mkdir()
    folder = write_tiny_suite(root / "suites" / "tiny")
    write_rows(folder / "test.jsonl", answered(TEST))
    train = answered(prompts(22, 2))
    train += [
        {"prompt": EMBEDDED, "completion": LABELS[0]},
        {"prompt": NEAR, "completion": LABELS[1]},
    ]
    write_rows(folder / "train.jsonl", train)
    return folder


@pytest.fixture(scope="module")
def run(suite: Path) -> Result:
    return harness("run", suite)


@pytest.fixture(scope="module")
def folder(suite: Path, run: Result) -> Path:
    assert run.exit_code in {3, 4}, run.output
    return sorted((suite.parents[1] / "reports" / "tiny").iterdir())[0]


def test_it_is_told_before_the_training(run: Result) -> None:
    told = run.stderr.index("leakage: 2 of 12 test rows stand among the training rows (first: case 2, contained, ")
    assert told < run.stderr.index("answer test")


def test_the_evidence_names_both_rows(folder: Path) -> None:
    found = json.loads((folder / "leaks.json").read_text())
    assert found["compared"] == 24
    places = [(leak["example_id"], leak["source"], leak["twin"], leak["is_sure"]) for leak in found["leaks"]]
    assert places == [
        ("case 2", "test.jsonl:3", "train.jsonl:23", True),
        ("case 7", "test.jsonl:8", "train.jsonl:24", False),
    ]
    assert "leaks.json" in json.loads((folder / "manifest.json").read_text())["evidence"]


def test_every_report_shows_the_clean_subset_beside_all_rows(folder: Path, run: Result) -> None:
    told = "2 of 12 test rows found among 24 training rows, 1 for sure"
    printed = " ".join(run.stdout.split())
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert f"Leakage: {told} · Clean subset: 10 rows: candidate " in printed
    assert f"Leakage: {told} · Clean subset: 10 rows: candidate " in summary
    assert told in page and 'id="leakage"' in page
    for name in ("test.jsonl:3", "train.jsonl:23", "test.jsonl:8", "train.jsonl:24"):
        assert name in summary and name in page


def test_clean_scores_of_every_arm_are_those_of_the_other_rows(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["leakage.rows"], metrics["leakage.sure"]) == (2, 1)
    scores = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    for system in ("candidate", "bare", "few-shot"):
        values = [
            row["result"]["value"]
            for row in scores
            if (row["system"], row["scorer"]) == (system, "exact_match")
            and row["example_id"] not in {"case 2", "case 7"}
        ]
        assert len(values) == 10
        assert metrics[f"clean.exact_match.{system}"] == pytest.approx(sum(values) / 10)
    assert "clean_gain.exact_match.bare" in metrics


def test_judging_again_needs_nothing_but_the_run(suite: Path, folder: Path) -> None:
    before = json.loads((folder / "metrics.json").read_text())
    (suite / "train.jsonl").rename(suite / "elsewhere.jsonl")
    harness("gate", folder)
    (suite / "elsewhere.jsonl").rename(suite / "train.jsonl")
    assert json.loads((folder / "metrics.json").read_text()) == before


def test_an_adapter_made_elsewhere_is_never_said_to_be_clean(suite: Path, folder: Path) -> None:
    result = harness("run", suite, "--adapter", folder / "adapter")
    assert result.exit_code in {3, 4}, result.output
    printed = " ".join(result.stdout.split())
    assert (
        "Leakage: 2 of 12 test rows found among the suite's 24 training rows, 1 for sure; "
        "what the adapter was trained on is not known · Clean subset: 10 rows: candidate "
    ) in printed
