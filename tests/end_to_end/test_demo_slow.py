"""The demo ships, also under other seeds; sabotaged, it does not. Twelve quiet minutes a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from real_suites import copy_demo, run_harness, shuffle_labels

pytestmark = pytest.mark.slow


def test_the_demo_ships_within_its_budget(tmp_path: Path) -> None:
    code, found = run_harness("run", "--fresh", copy_demo(tmp_path))
    assert (code, found["decision"]) == (0, "ship"), found
    counters = json.loads((Path(found["run"]) / "manifest.json").read_text())["counters"]
    assert counters["trained_tokens"] <= 60_000
    assert counters["generated_tokens"] <= 25_000
    assert counters["forwarded_tokens"] <= 160_000


@pytest.mark.parametrize("seed", [18, 19, 20])
def test_the_demo_ships_under_another_seed(seed: int, tmp_path: Path) -> None:
    code, found = run_harness("run", "--fresh", copy_demo(tmp_path), f"--set=seed={seed}")
    assert (code, found["decision"]) == (0, "ship"), found


def test_shuffled_training_labels_are_held(tmp_path: Path) -> None:
    code, found = run_harness("run", "--fresh", copy_demo(tmp_path, edit_train=shuffle_labels), "--set=train.epochs=1")
    assert (code, found["decision"]) == (3, "hold"), found


def test_a_learning_rate_of_one_is_held_as_unhealthy(tmp_path: Path) -> None:
    code, found = run_harness("run", "--fresh", copy_demo(tmp_path, test_rows=20), "--set=train.learning_rate=1.0")
    assert (code, found["decision"]) == (3, "hold"), found
    assert next(check for check in found["checks"] if check["name"] == "healthy_training")["status"] == "fail"


def test_thirty_rows_and_twenty_epochs_stop_early_on_the_best_checkpoint(tmp_path: Path) -> None:
    suite = copy_demo(tmp_path, edit_train=lambda rows: rows[:30], test_rows=20)
    settings = ("train.epochs=20", "data.validation=20%", "train.early_stopping.patience=3")
    code, found = run_harness("run", "--fresh", suite, *(f"--set={setting}" for setting in settings))
    assert code in {0, 3, 4}
    folder = Path(found["run"])
    training = json.loads((folder / "training.json").read_text())
    losses = {p["step"]: p["validation_loss"] for p in training["points"] if p["validation_loss"] is not None}
    assert training["stopped_early"] and training["last_step"] < 20 * 3
    assert training["best_step"] == min(losses, key=lambda step: (losses[step], step)) < training["last_step"]
    assert "has not improved" in training["stop_reason"]
    for name in ("verdict.json", "report.html", "summary.md"):
        assert "has not improved by more than" in (folder / name).read_text(), name


def test_the_real_validity_bar_is_reached_on_a_thousand_probes(tmp_path: Path) -> None:
    import shutil

    from real_suites import DEMO

    copy_demo(tmp_path)
    shutil.copytree(DEMO.parent / "schema-1000", tmp_path / "suites" / "schema-1000")
    code, found = run_harness("run", "--fresh", tmp_path / "suites" / "schema-1000")
    valid = next(check for check in found["checks"] if check["name"] == "valid_output")
    assert valid["status"] == "pass", valid
    assert code == 0
