"""How the candidate came to be: the losses, where training stopped and why, whether the adapter is live."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.records import Liveness, LossPoint, TrainingHistory
from harness.report.formatting import NOTHING, clean, count, duration, number, percent
from harness.report.page import Fact, TrainingView
from harness.report.page_sections import LossCurve, LossRow


def training_view(system: str, history: TrainingHistory) -> TrainingView:
    """Return how a system was trained; losses that are not finite are said and never drawn."""
    return TrainingView(
        system=clean(system),
        sentence=_sentence(history),
        curve=_curve(history),
        facts=_facts(history),
        rows=tuple(_loss_row(point, history) for point in history.points),
    )


def liveness_facts(liveness: Liveness | None) -> tuple[Fact, ...]:
    """Return how far the candidate is from the base model; nothing when it was not measured."""
    if liveness is None:
        return ()
    differing = f"{count(liveness.differing_answers)} of {count(liveness.prompts)} prompts"
    largest = number(liveness.max_logit_difference) if liveness.logits_finite else "not finite"
    return (
        Fact(label="Answers that differ from the base model", value=differing),
        Fact(label="Largest logit difference", value=largest),
    )


def _sentence(history: TrainingHistory) -> str:
    reason = clean(history.stop_reason).rstrip(".")
    best = f"the checkpoint of step {count(history.best_step)} was kept"
    if history.diverged:
        return f"Training diverged: {reason}."
    how = "Stopped early" if history.stopped_early else "Ran to its end"
    return f"{how} at step {count(history.last_step)} ({reason}); {best}."


def _curve(history: TrainingHistory) -> LossCurve | None:
    train = _finite_points([(point.step, point.train_loss) for point in history.points])
    validation = _finite_points([(point.step, point.validation_loss) for point in history.points])
    if len(train) + len(validation) < 2:
        return None
    best = dict(validation).get(history.best_step)
    best_text = f"best: step {count(history.best_step)}" + ("" if best is None else f" ({number(best)})")
    stop_text = f"{'stopped' if history.stopped_early else 'end'}: step {count(history.last_step)}"
    return LossCurve(
        train=train,
        validation=validation,
        best_step=history.best_step,
        best_text=best_text,
        last_step=history.last_step,
        stop_text=stop_text,
        description=f"Training and validation loss by optimizer step; {best_text}, {stop_text}.",
    )


def _finite_points(points: Sequence[tuple[int, float | None]]) -> tuple[tuple[int, float], ...]:
    return tuple((step, loss) for step, loss in points if loss is not None and math.isfinite(loss))


def _facts(history: TrainingHistory) -> tuple[Fact, ...]:
    share = history.trainable_parameters / history.total_parameters if history.total_parameters else 0.0
    trainable = f"{count(history.trainable_parameters)} of {count(history.total_parameters)} ({percent(share)})"
    return (
        Fact(label="Method", value=clean(history.method)),
        Fact(label="Trainable parameters", value=trainable),
        Fact(label="Training rows", value=f"{count(history.train_rows)}, {count(history.mixed_rows)} mixed in"),
        Fact(
            label="Validation",
            value=f"{count(history.validation_rows)} rows, {count(history.validation_tokens)} tokens",
        ),
        Fact(label="Truncated rows", value=count(history.truncated_rows)),
        Fact(label="Trained tokens", value=count(history.trained_tokens)),
        Fact(label="Weights", value="finite" if history.weights_finite else "not finite"),
        Fact(label="Training time", value=duration(history.seconds)),
        *([Fact(label="Processes", value=count(history.world_size))] if history.world_size > 1 else []),
    )


def _loss_row(point: LossPoint, history: TrainingHistory) -> LossRow:
    marks = [("best", history.best_step), ("stopped" if history.stopped_early else "end", history.last_step)]
    return LossRow(
        step=count(point.step),
        epoch=f"{point.epoch:.2f}",
        train=_loss(point.train_loss),
        validation=_loss(point.validation_loss),
        mark=", ".join(mark for mark, step in marks if step == point.step),
    )


def _loss(loss: float | None) -> str:
    if loss is None:
        return NOTHING
    return number(loss) if math.isfinite(loss) else "not finite"
