"""Suites and comparisons for runs in parts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from tiny_model import write_tiny_suite

from harness.cli.main import main

MMLU = Path(__file__).parents[1] / "fixtures" / "mmlu"


def call(*arguments: str | Path) -> tuple[int, Any]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    lines = result.stdout.splitlines()
    return result.exit_code, json.loads(lines[-1]) if lines and lines[-1].startswith("{") else result.output


def write_suite(folder: Path) -> Path:
    """A suite with everything that is shared out: waves of answers, benchmark questions, divergences."""
    folder.mkdir(parents=True)
    shutil.copytree(MMLU, folder / "mmlu")
    rows = [json.dumps({"prompt": f"say {i} again", "completion": f"{i}"}) for i in range(110)]
    (folder / "general.jsonl").write_text("\n".join(rows) + "\n")
    return write_tiny_suite(
        folder,
        rows=24,
        test_rows=30,
        train="train: {learning_rate: 1e-3, epochs: 1, rank: 4, alpha: 8}",
        decoding="decoding: {max_new_tokens: 4, batch_size: 4}\nbenchmarks:\n"
        "  mmlu: {task: mmlu, mmlu_dir: mmlu, per_subject: 4}",
        checks="checks:\n  - {kind: better_than}\n  - {kind: healthy_training}\n"
        "  - {kind: benchmark_drop, benchmark: mmlu, margin: 20%}\n"
        "  - {kind: kl_divergence, prompts: general.jsonl, limit: 5.0}",
    )


def rows(path: Path, *dropped: str) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in json.loads(line).items() if key not in dropped}
        for line in path.read_text().splitlines()
    ]


def assert_same_run(merged: Path, whole: Path) -> None:
    for name in (
        "scores.jsonl",
        "benchmarks.jsonl",
        "drift.jsonl",
        "examples.jsonl",
        "liveness.json",
    ):
        assert (merged / name).read_bytes() == (whole / name).read_bytes(), name
    assert rows(merged / "predictions.jsonl", "seconds") == rows(whole / "predictions.jsonl", "seconds")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (merged / "adapter" / name).read_bytes() == (whole / "adapter" / name).read_bytes(), name
