"""Trainings of many kinds, by one process or by those of an `accelerate launch` of this file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from harness.engine.loading import load
from harness.engine.meter import Meter
from harness.progress import SilentProgress
from harness.records import Example, Message
from harness.store.facts import to_plain
from harness.suite.training import Train
from harness.train.processes import Processes, join_processes
from harness.train.recipe import Job, train_candidate
from harness.train.rows import TrainingRows

TRAIN = Train(rank=4, alpha=8.0, dropout=0.0, learning_rate=5e-3, epochs=1, batch_size=8)
KINDS = {
    "uneven shares": TRAIN.model_copy(update={"batch_size": 5}),
    "a row at a time": TRAIN.model_copy(update={"batch_size": 1, "gradient_accumulation": 5}),
    "classification": TRAIN.model_copy(
        update={"objective": "classification", "batch_size": 3, "gradient_accumulation": 2}
    ),
    "dora": TRAIN.model_copy(update={"method": "dora"}),
    "prompt_tuning": TRAIN.model_copy(update={"method": "prompt_tuning", "virtual_tokens": 4}),
    "prefix_tuning": TRAIN.model_copy(update={"method": "prefix_tuning", "virtual_tokens": 4}),
    "full": TRAIN.model_copy(update={"method": "full", "learning_rate": 1e-3}),
}


def rows(count: int, first: int = 0) -> tuple[Example, ...]:
    return tuple(
        Example(
            id=str(i),
            messages=(Message(role="user", content="item " * (i % 5) + str(first + i)),),
            target=("red", "blue")[i % 2],
        )
        for i in range(count)
    )


ROWS = TrainingRows(train=rows(26), mix=(), validation=rows(7, 100), system="Colour?")


def train_kinds(folder: Path, processes: Processes) -> dict[str, Any]:
    """Kind -> the history of its training."""
    found = {}
    for kind, declared in KINDS.items():
        base = load("tiny", folder / "model")
        job = Job(seed=3, target=folder / f"{kind} {processes.count}", processes=processes)
        history = train_candidate(base, ROWS, declared, job, meter=Meter(), progress=SilentProgress())
        found[kind] = to_plain(history)
    return found


if __name__ == "__main__":
    place = Path(sys.argv[1])
    joined = join_processes()
    histories = train_kinds(place, joined)
    if joined.is_main:
        (place / "histories.json").write_text(json.dumps(histories))
