"""Arms and methods on the real model, where quality is the point: retrieval, grammars, a server, preferences."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from real_suites import copy_demo, read_rows, run_harness, write_rows

sys.path.append(str(Path(__file__).parents[1] / "systems"))
from real_server import needs_real_server, real_server

pytestmark = pytest.mark.slow
BOTH = ("candidate", "prompt-only")


def scores(run: Path, dataset: str, scorer: str) -> dict[str, float]:
    """System -> mean score."""
    found: dict[str, list[float]] = {}
    for row in map(json.loads, (run / "scores.jsonl").read_text().splitlines()):
        if (row["dataset"], row["scorer"]) == (dataset, scorer):
            found.setdefault(row["system"], []).append(row["result"]["value"])
    return {system: sum(values) / len(values) for system, values in found.items()}


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def checks(found: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["status"] for check in found["checks"]}


@needs_real_server
def test_all_arms_of_the_demo_in_one_gate(tmp_path: Path) -> None:
    suite = copy_demo(tmp_path) / "all-arms.yaml"
    with real_server() as base_url:
        _, found = run_harness("run", suite, f"--set=systems.api.base_url={base_url}")
    run = Path(found["run"])
    right, valid = scores(run, "test", "exact_match"), scores(run, "probe", "schema_valid")
    assert len(right) == 10
    assert valid["grammar"] == valid["shots-grammar"] == 1.0, "a grammar allows nothing else"
    assert valid["engineered"] < 1.0 and valid["nearest-shots"] < 1.0
    assert right["grammar"] > right["engineered"]
    assert right["nearest-shots"] > right["few-shot"], "tickets like this one help more than any four"
    assert right["past-tickets"] > right["prompt-only"]
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["counters"]["model_loads"] == 1
    served = [
        row for row in map(json.loads, (run / "predictions.jsonl").read_text().splitlines()) if row["system"] == "api"
    ]
    assert len(served) == 130 and not any(row["error"] for row in served)
    assert all(row["prompt_tokens"] > 0 and row["output_tokens"] > 0 for row in served)


def test_preferences_are_learned(tmp_path: Path) -> None:
    folder = copy_demo(tmp_path, test_rows=30)
    rows = read_rows(folder / "train.jsonl")
    pairs = [
        {
            "prompt": row["messages"][0]["content"],
            "chosen": row["messages"][1]["content"],
            "rejected": f"This ticket belongs to the {json.loads(row['messages'][1]['content'])['queue']} team.",
        }
        for row in rows[:120]
    ]
    write_rows(folder / "preferences.jsonl", pairs)
    settings = (
        "train={objective: dpo, rows: preferences.jsonl, rank: 16, learning_rate: 2e-4, epochs: 1, max_length: 256}",
        "data.mix=null",
        "systems.previous.train={method: prompt_tuning, epochs: 1, learning_rate: 1e-2}",
        "systems.previous.from=null",
    )
    code, found = run_harness("run", folder, *(f"--set={setting}" for setting in settings))
    assert code in {0, 3, 4}
    run = Path(found["run"])
    training = json.loads((run / "training.json").read_text())
    losses = [point["validation_loss"] for point in training["points"] if point["validation_loss"] is not None]
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert min(losses) < 0.2, "held-out pairs are told apart"
    answers = read_rows(run / "predictions.jsonl")
    valid = {name: sum(is_object(row["text"]) for row in answers if row["system"] == name) for name in BOTH}
    assert valid["candidate"] > valid["prompt-only"], "it writes JSON where it wrote prose"
