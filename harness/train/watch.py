"""Watch a training: measure the validation loss on a schedule, keep the best weights, stop, and leave checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from harness.clock import monotonic_seconds
from harness.files import write_json
from harness.progress import Progress
from harness.records import LossPoint
from harness.suite.training import EarlyStopping
from harness.train.adapters import Trainable
from harness.train.checkpoints import Checkpoints
from harness.train.processes import Processes
from harness.train.saving import saving
from harness.train.stopping import StopDecision, decide_stop

WATCHED, BEST = "watch.json", "best.safetensors"  # in a checkpoint


class ValidationWatch(TrainerCallback):
    """Decides by the validation loss when to stop and which weights are the candidate's."""

    def __init__(
        self,
        learning: Trainable,
        measure: Callable[[], float],
        stopping: EarlyStopping,
        *,
        steps_per_epoch: int,
        checkpoints: Checkpoints | None,
        progress: Progress,
        processes: Processes,
    ) -> None:
        """`measure` gives the validation loss of the weights as they are, the same in every process."""
        self.points: list[LossPoint] = []
        self.reason = ""
        self.diverged = False
        self.best_step = 0
        self.trainer: Any = None  # set when it is made, since it is made with its callbacks
        self._learning, self._measured_loss, self._stopping = learning, measure, stopping
        self._every = max(1, steps_per_epoch // stopping.checks_per_epoch)
        self._per_epoch, self._checkpoints, self._progress = steps_per_epoch, checkpoints, progress
        self._processes = processes
        self.best: dict[str, torch.Tensor] = {}
        self._losses: list[float] = []
        self._measured: list[int] = []
        self._started, self._earlier = monotonic_seconds(), 0.0

    @property
    def seconds(self) -> float:
        """How long the training has taken, before an interruption and since."""
        return self._earlier + monotonic_seconds() - self._started

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure the untrained model: what training must improve on."""
        if not self._losses:
            self._measure(0, None, control)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Keep the training loss of the step; a non-finite loss or gradient ends the training."""
        if not logs or "loss" not in logs:
            return
        loss, gradient = float(logs["loss"]), float(logs.get("grad_norm", 0.0))
        self._progress.advance(1, note=f"loss {loss:.3f}")
        step = int(state.global_step)
        if math.isfinite(loss) and math.isfinite(gradient):
            due = step % self._every == 0 or step == state.max_steps
            if due:
                self._measure(step, loss, control)
                control.should_save = self._checkpoints is not None and not control.should_training_stop
            else:
                self._add(step, loss, None)
            return
        self.diverged = True
        what = "loss" if not math.isfinite(loss) else "gradient"
        self.reason = f"the training {what} became {loss if what == 'loss' else gradient} at step {step}"
        control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Add what was watched to the checkpoint, and seal it."""
        assert self._checkpoints is not None
        trained = self._processes.total(self.trainer.trained_tokens)  # and every process has left its generator's state
        if not self._processes.is_main:
            return
        folder = self._checkpoints.at(int(state.global_step))
        with saving(folder):
            save_file(self.best, folder / BEST)
        watched = {
            "points": [asdict(point) for point in self.points],
            "losses": self._losses,
            "measured": self._measured,
            "best_step": self.best_step,
            "trained_tokens": trained,
            "seconds": self.seconds,
        }
        write_json(folder / WATCHED, watched)
        self._checkpoints.seal(folder)

    def resume(self, folder: Path) -> None:
        """Take up what was watched until a checkpoint."""
        watched = json.loads((folder / WATCHED).read_text(encoding="utf-8"))
        self.points = [LossPoint(**point) for point in watched["points"]]
        self._losses, self._measured = watched["losses"], watched["measured"]
        self.best_step, self._earlier = watched["best_step"], watched["seconds"]
        self.trainer.trained_tokens = watched["trained_tokens"] if self._processes.is_main else 0
        self.best = load_file(folder / BEST)

    def restore_best(self) -> bool:
        """Put the best weights back, where they are not shared out; returns whether all of them are finite."""
        if not self._processes.sharded:
            self._learning.restore(self.best)
        return all(bool(torch.isfinite(tensor).all()) for tensor in self.best.values())

    def _measure(self, step: int, train_loss: float | None, control: Any) -> None:
        was_training = self._learning.model.training
        self._learning.model.eval()
        loss = self._measured_loss()
        self._learning.model.train(was_training)
        self._losses.append(loss)
        self._measured.append(step)
        self._add(step, train_loss, loss if math.isfinite(loss) else None)
        if not math.isfinite(self._losses[0]):
            decision = StopDecision(stop=True, best=0, reason=f"the untrained validation loss is {loss}")
        else:
            stopping = self._stopping
            decision = decide_stop(self._losses, patience=stopping.patience, min_delta=stopping.min_delta)
        self.best_step = self._measured[decision.best]
        if self.best_step == step:
            self.best = self.trainer.whole_state()
        self.diverged = self.diverged or not math.isfinite(loss)
        if decision.stop:
            self.reason = f"step {step}: {decision.reason}"
            control.should_training_stop = True

    def _add(self, step: int, train_loss: float | None, validation_loss: float | None) -> None:
        epoch = step / self._per_epoch
        point = LossPoint(step=step, epoch=epoch, train_loss=train_loss, validation_loss=validation_loss)
        self.points.append(point)
