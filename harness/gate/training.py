"""The training must be sound and the adapter must do something."""

from __future__ import annotations

import math

from harness.findings import CheckResult, Status
from harness.gate.evidence import Evidence
from harness.gate.results import check_name, check_result
from harness.records import TrainingHistory
from harness.suite.checks import HealthyTraining

LIVE_LOGIT_DIFFERENCE = 1e-5  # below this, two float32 forward passes of one model may differ by rounding


def adapter_is_live(evidence: Evidence) -> CheckResult:
    """Always on: an adapter that changes nothing is not a tie, it is broken."""
    found = evidence.liveness
    status: Status
    if found is None:
        status, reason = "undecided", "the adapter was not compared with the base model"
    elif not (found.logits_finite and math.isfinite(found.max_logit_difference)):
        status, reason = "fail", "the adapter's logits are not finite"
    elif found.max_logit_difference <= LIVE_LOGIT_DIFFERENCE and found.differing_answers == 0:
        status = "fail"
        reason = (
            f"the adapter has no effect: on {found.prompts} prompts its logits and answers equal the base model's "
            f"(largest difference {found.max_logit_difference:.1e})"
        )
    else:
        status = "pass"
        reason = (
            f"the adapter changes {found.differing_answers} of {found.prompts} answers; "
            f"its logits differ by up to {found.max_logit_difference:.2f}"
        )
    return CheckResult(
        name="adapter_is_live",
        kind="adapter_is_live",
        status=status,
        blocking=True,
        reason=reason,
        observed=found.max_logit_difference if found and math.isfinite(found.max_logit_difference) else None,
        limit=LIVE_LOGIT_DIFFERENCE,
        unit="",
        n=found.prompts if found else 0,
        method="largest difference of next-token logits, and equality of answers",
    )


def healthy_training(check: HealthyTraining, evidence: Evidence) -> CheckResult:
    """Whether training went as training goes; an adapter trained elsewhere is judged by its weights alone."""
    history = evidence.training
    if history is None:
        reason = "the adapter was trained elsewhere, so its training is not judged; its weights are finite"
        return check_result(check, check_name(check), "pass", reason, unit="")
    status, reason = _judge_training(history)
    best, first = _validation_at(history, history.best_step), _validation_at(history, 0)
    return check_result(
        check,
        check_name(check),
        status,
        reason,
        observed=best,
        limit=first,
        direction="below",
        unit="nats",
        n=history.validation_tokens,
        method="mean loss over the answer tokens of the validation rows",
    )


def _judge_training(history: TrainingHistory) -> tuple[Status, str]:
    best, first = _validation_at(history, history.best_step), _validation_at(history, 0)
    if history.diverged:
        return "fail", f"training diverged: {history.stop_reason}"
    if not history.weights_finite:
        return "fail", "training ended with weights that are not finite"
    measured = [loss for point in history.points for loss in (point.train_loss, point.validation_loss)]
    if not all(loss is None or math.isfinite(loss) for loss in measured):
        return "fail", "a loss of the training is not finite"
    if best is None or first is None:
        return "fail", "no finite validation loss was measured"
    if history.best_step == 0 or best >= first:
        return (
            "fail",
            f"training never improved on the untrained model ({first:.4f} nats per token): {history.stop_reason}",
        )
    if not history.stop_reason:
        return "fail", "training ended for no stated reason"
    return "pass", (
        f"the validation loss fell from {first:.4f} to {best:.4f} nats per token at step {history.best_step} "
        f"of {history.last_step}, which is the candidate; stopped: {history.stop_reason}"
    )


def _validation_at(history: TrainingHistory, step: int) -> float | None:
    return next((p.validation_loss for p in history.points if p.step == step and p.validation_loss is not None), None)
