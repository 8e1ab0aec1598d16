"""An interrupted training ends with the same weights, to the byte, as one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_model import LABELS, load_tiny

from harness.engine.loading import load
from harness.engine.meter import Meter
from harness.progress import SilentProgress
from harness.records import Example, Message, TrainingHistory
from harness.suite.training import EarlyStopping, Train
from harness.train.checkpoints import SEAL, Checkpoints
from harness.train.recipe import Job, train_candidate
from harness.train.rows import TrainingRows

TRAIN = Train(rank=4, alpha=8.0, dropout=0.1, learning_rate=5e-3, epochs=2, batch_size=4)
KINDS = {
    "lora": TRAIN,
    "two batches a step": TRAIN.model_copy(update={"batch_size": 2, "gradient_accumulation": 2}),
    "prompt_tuning": Train(method="prompt_tuning", virtual_tokens=4, learning_rate=1e-2, epochs=2, batch_size=4),
    "full": Train(method="full", learning_rate=1e-3, epochs=2, batch_size=4),
    "dpo": TRAIN.model_copy(update={"objective": "dpo"}),
    "classification": TRAIN.model_copy(update={"objective": "classification"}),
}


def rows(count: int, first: int = 0) -> tuple[Example, ...]:
    return tuple(
        Example(
            id=str(i),
            messages=(Message(role="user", content="item " * (i % 5) + str(first + i)),),
            target=LABELS[i % 2],
            rejected=LABELS[1 - i % 2],
        )
        for i in range(count)
    )


ROWS = TrainingRows(train=rows(24), mix=(), validation=rows(6, 100), system="Colour?")


class Interrupting(SilentProgress):
    """Ends the training at a step, as Ctrl-C would."""

    def __init__(self, step: int) -> None:
        self.left = step

    def advance(self, count: int = 1, *, note: str = "") -> None:
        self.left -= count
        if self.left < 0:
            raise KeyboardInterrupt


def run(
    folder: Path, out: str, declared: Train, *, stop: int | None = None, keep: Path | None = None
) -> TrainingHistory:
    base = load("tiny", folder / "model")
    checkpoints = Checkpoints(keep, "this training") if keep is not None else None
    job = Job(seed=3, target=folder / out, checkpoints=checkpoints)
    progress = SilentProgress() if stop is None else Interrupting(stop)
    return train_candidate(base, ROWS, declared, job, meter=Meter(), progress=progress)


def weights(folder: Path) -> bytes:
    (file,) = folder.glob("*.safetensors")
    return file.read_bytes()


def same(first: TrainingHistory, second: TrainingHistory) -> bool:
    return replace(first, seconds=0.0) == replace(second, seconds=0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_was_interrupted_ends_as_if_it_had_not_been(kind: str, tmp_path: Path) -> None:
    load_tiny(tmp_path / "model")
    declared = KINDS[kind].model_copy(update={"early_stopping": EarlyStopping(patience=99)})
    whole = run(tmp_path, "whole", declared)
    keep = tmp_path / "kept"
    keep.mkdir()
    for stop in (0, 4, 5):  # in the first epoch before anything is kept, there again, and in the second
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "interrupted", declared, stop=stop, keep=keep)
    again = run(tmp_path, "resumed", declared, keep=keep)
    assert weights(tmp_path / "resumed") == weights(tmp_path / "whole")
    assert same(again, whole)


def test_a_training_interrupted_at_every_step_in_turn_ends_the_same(tmp_path: Path) -> None:
    load_tiny(tmp_path / "model")
    whole = run(tmp_path, "whole", TRAIN)
    keep = tmp_path / "kept"
    keep.mkdir()
    for _ in range(whole.last_step - 1):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "interrupted", TRAIN, stop=1, keep=keep)
    again = run(tmp_path, "resumed", TRAIN, keep=keep)
    assert weights(tmp_path / "resumed") == weights(tmp_path / "whole")
    assert same(again, whole)


DAMAGES = {
    "a changed byte": lambda folder: flip(folder / "optimizer.pt"),
    "another file": lambda folder: (folder / "more.bin").write_bytes(b"x"),
    "a missing file": lambda folder: (folder / "scheduler.pt").unlink(),
    "no seal": lambda folder: (folder / SEAL).unlink(),
    "another training's seal": lambda folder: reseal(folder, key="another"),
}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def reseal(folder: Path, *, key: str) -> None:
    seal = json.loads((folder / SEAL).read_text())
    (folder / SEAL).write_text(json.dumps({**seal, "key": key}))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_that_is_not_this_trainings_own_is_never_read(damage: str, tmp_path: Path) -> None:
    load_tiny(tmp_path / "model")
    whole = run(tmp_path, "whole", TRAIN)
    keep = tmp_path / "kept"
    keep.mkdir()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "interrupted", TRAIN, stop=8, keep=keep)
    (checkpoint,) = keep.glob("checkpoint-*")
    assert Checkpoints(keep, "this training").newest() == checkpoint
    DAMAGES[damage](checkpoint)
    assert Checkpoints(keep, "this training").newest() is None
    again = run(tmp_path, "resumed", TRAIN, keep=keep)
    assert weights(tmp_path / "resumed") == weights(tmp_path / "whole")
    assert same(again, whole), "it starts from the beginning"


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
import test_train_resume as here
class Killing(here.SilentProgress):
    left = {stop}
    def advance(self, count=1, *, note=""):
        self.left -= count
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
here.Interrupting = lambda stop: Killing()
here.run(Path({folder!r}), "killed", here.TRAIN, stop=0, keep=Path({folder!r}) / "kept")
"""


def test_a_killed_process_leaves_checkpoints_that_another_goes_on_from(tmp_path: Path) -> None:
    load_tiny(tmp_path / "model")
    (tmp_path / "kept").mkdir()
    whole = run(tmp_path, "whole", TRAIN)
    code = KILLED.format(path=sys.path, stop=7, folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=dict(os.environ), check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-500:]
    assert Checkpoints(tmp_path / "kept", "this training").newest() is not None
    again = run(tmp_path, "resumed", TRAIN, keep=tmp_path / "kept")
    assert weights(tmp_path / "resumed") == weights(tmp_path / "whole")
    assert same(again, whole)
