"""Small suites on the real demo model, cut from the demo's own data."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEMO = Path(__file__).parents[2] / "suites" / "ticket-triage"
BASELINES = Path(__file__).parents[2] / "baselines"

Rows = list[dict[str, Any]]


def copy_demo(
    root: Path, *, edit_train: Callable[[Rows], Rows] = lambda rows: rows, test_rows: int | None = None
) -> Path:
    """The demo as a project of its own under `root`, with its promoted baseline; returns the suite folder."""
    folder = root / "suites" / "ticket-triage"
    shutil.copytree(DEMO, folder)
    shutil.copytree(BASELINES, root / "baselines")
    write_rows(folder / "train.jsonl", edit_train(read_rows(folder / "train.jsonl")))
    if test_rows is not None:
        write_rows(folder / "test.jsonl", read_rows(folder / "test.jsonl")[:test_rows])
    return folder


def read_rows(path: Path) -> Rows:
    """All rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, rows: Rows) -> None:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def shuffle_labels(rows: Rows) -> Rows:
    """Every ticket with the label of another one."""
    answers = [row["messages"][-1] for row in rows]
    random.Random(1).shuffle(answers)
    return [{**row, "messages": [row["messages"][0], answer]} for row, answer in zip(rows, answers, strict=True)]


def run_harness(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Run the command line in a process of its own; returns the exit code and what --json printed."""
    command = [sys.executable, "-m", "harness", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    lines = done.stdout.strip().splitlines()
    assert lines, done.stderr[-3000:]
    return done.returncode, json.loads(lines[-1])
