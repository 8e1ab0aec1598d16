"""From check results to ship, hold or undecided: the one place where it is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from harness.findings import CheckResult, Decision, LookCount, Verdict
from harness.gate.deciding import decide_from_checks
from harness.gate.evidence import Evidence, refuse_partial
from harness.gate.leaks import run_check_despite_leaks
from harness.gate.requirements import refuse_unknown_checks
from harness.gate.training import adapter_is_live
from harness.suite.checks import BetterThan, CheckSpec, Preferred, RecipeBetterThan, ValidOutput
from harness.suite.schema import Suite
from harness.suite.systems import ConstrainedSystem, FewShotSystem, RetrievalSystem


def decide(
    suite: Suite, evidence: Evidence, *, looks: LookCount | None = None, accepted: Mapping[str, str] | None = None
) -> Verdict:
    """Run every check of the suite on the evidence, and the one that is always on, and decide.

    Args:
        suite: what was asked.
        evidence: what was found.
        looks: how often the test set was used; with a `holdout_budget` alpha is divided over it, and once it is
            spent, nothing passes on this test set.
        accepted: check name -> reason, for undecided checks that a person lets pass. A failed one still fails.

    Raises:
        InvalidInputError: `accepted` names a check that there is not.
        BrokenRunError: an arm whose scores are not exactly those of its data set's examples.
    """
    statistics = suite.statistics.per_look
    refuse_unknown_checks(suite, evidence.absent, accepted or {})
    refuse_partial(evidence)
    results = [
        _within_budget(result, looks) if _uses_test_set(check) else result
        for check in suite.checks
        for result in run_check_despite_leaks(check, evidence, statistics)
    ]
    results += _nothing_compared(suite, results)
    results.append(adapter_is_live(evidence))
    results = _accept(results, accepted or {})
    decision = decide_from_checks(results)
    notes = [f"{name} is absent: {why}" for name, why in evidence.absent.items()]
    notes += [note for result in results if (note := not_needed(suite, result))]
    notes += _lock(evidence)
    notes += _looks(looks, suite.statistics.alpha)
    notes += [f"{r.name} was undecided and accepted: {r.accepted}" for r in results if r.accepted]
    return Verdict(decision=decision, sentence=_sentence(decision, results), checks=tuple(results), notes=tuple(notes))


def _nothing_compared(suite: Suite, results: Sequence[CheckResult]) -> list[CheckResult]:
    """An undecided result when gains were asked for and no baseline took part in any of them.

    One check whose only baseline is absent does not block: an adapter that was never promoted cannot take part.
    """
    asked = any(isinstance(check, BetterThan) and check.blocking for check in suite.checks)
    if not asked or any(result.kind == "better_than" and result.blocking for result in results):
        return []
    reason = "no baseline took part, so nothing was compared"
    return [CheckResult(name="better_than", kind="better_than", status="undecided", blocking=True, reason=reason)]


def _uses_test_set(check: CheckSpec) -> bool:
    of_gain = isinstance(check, BetterThan | RecipeBetterThan | Preferred)
    return of_gain or (isinstance(check, ValidOutput) and check.on == "test")


def _within_budget(result: CheckResult, looks: LookCount | None) -> CheckResult:
    if looks is None or looks.budget is None or looks.number <= looks.budget or result.status != "pass":
        return result
    reason = f"look {looks.number} at the test set, which has {looks.budget}; {result.reason}"
    return replace(result, status="undecided", reason=reason, needs="a fresh test set, which starts a new count")


def _accept(results: list[CheckResult], accepted: Mapping[str, str]) -> list[CheckResult]:
    return [
        replace(result, accepted=accepted[result.name])
        if result.name in accepted and result.status == "undecided"
        else result
        for result in results
    ]


def not_needed(suite: Suite, result: CheckResult) -> str:
    """The honest sentence: a prompt-side arm that is shown to be within `min_effect` of the candidate; else ""."""
    enough = suite.statistics.min_effect
    if result.kind != "better_than" or result.baseline is None or result.high is None or result.high >= enough:
        return ""
    if not _is_prompt_side(suite, result.baseline):
        return ""
    points = 100 * abs(result.high)
    bound = f"better by {points:.1f} points at most" if result.high >= 0 else f"worse by {points:.1f} points at least"
    return (
        f"You did not need to fine-tune: {result.baseline} is within {100 * enough:.1f} points of the candidate "
        f"(which is {bound})"
    )


def _is_prompt_side(suite: Suite, name: str) -> bool:
    """Whether an arm is the base model that nothing was trained for; another model may cost more to serve."""
    spec = suite.systems[name]
    if isinstance(spec, ConstrainedSystem):
        return _is_prompt_side(suite, spec.over)
    return isinstance(spec, FewShotSystem | RetrievalSystem) or name in suite.bare_prompts


def _lock(evidence: Evidence) -> list[str]:
    """Whether the suite was locked before its candidate came to be.

    What is compared is the time that the lock says it was made and the time at which the harness recorded that the
    candidate's training began. Times of files are not looked at: they change with every copy.
    """
    if evidence.locked is None:
        return []
    locked = datetime.fromisoformat(evidence.locked)
    said = f"the suite was locked at {locked.isoformat(timespec='seconds')}"
    if evidence.training is None or evidence.training.begun is None:
        why = "its training was not recorded"
        return [f"{said}; whether that is before the candidate was trained cannot be told, since {why}"]
    begun = datetime.fromisoformat(evidence.training.begun)
    since = begun.isoformat(timespec="seconds")
    if locked < begun:
        return [f"{said}, before the training of the candidate began ({since})"]
    return [f"{said}, after the training of the candidate began ({since}): its bars are not known to be older"]


def _looks(looks: LookCount | None, alpha: float) -> list[str]:
    if looks is None:
        return []
    notes = []
    if not looks.recorded:
        notes.append("there was no ledger, so looks at this test set before this one are not counted")
    if looks.budget is not None:
        notes.append(f"look {looks.number} of {looks.budget} at this test set; alpha is divided by {looks.budget}")
    elif looks.number > 1:
        chance = 1 - (1 - alpha) ** looks.number
        notes.append(
            f"look {looks.number} at this test set: of {looks.number} candidates that are no better, one ships by luck "
            f"with a chance of up to {chance:.0%}; set statistics.holdout_budget, or rotate the set"
        )
    return notes


def _sentence(decision: Decision, results: Sequence[CheckResult]) -> str:
    """Why, in one sentence with the numbers that decided."""
    blocking = [result for result in results if result.blocking]
    if decision == "ship":
        return _capital("; ".join(filter(None, (_beats(blocking), *map(_kept, blocking)))) + ".")
    wanted = "fail" if decision == "hold" else "undecided"
    found = [result for result in blocking if result.status == wanted]
    if not found:
        return "Nothing was checked, so nothing is decided."
    return _capital("; ".join(map(_lost if decision == "hold" else _open, found)) + ".")


def _beats(results: Sequence[CheckResult]) -> str:
    passed = [result for result in results if result.kind == "better_than" and result.status == "pass"]
    beaten = [result for result in passed if result.baseline is not None]
    if not beaten:
        # Where beating any of several is enough, no one of them is named, and the reason says which were beaten.
        return "; ".join(result.reason for result in passed) or "no baseline was shown to be beaten"
    closest = min(beaten, key=lambda result: result.observed or 0.0)
    arms = len({result.baseline for result in beaten})
    every = f"all {arms} baselines" if arms > 1 else f"{closest.baseline}, the only baseline,"
    gain = f"+{100 * (closest.observed or 0.0):.1f} points"
    return f"beats {every} on {closest.n} test examples (closest: {closest.baseline}, {gain})"


def _kept(result: CheckResult) -> str:
    if result.status != "pass":
        return f"{result.name} was undecided and accepted"
    if result.kind == "valid_output":
        return f"{result.observed:.1%} of {result.n:,} answers are valid"
    if result.kind == "recipe_better_than":
        gain = f"{100 * (result.observed or 0.0):+.1f} points over its seeds"
        return f"the recipe beats {result.baseline} ({gain})"
    if result.kind == "preferred":
        return f"its answers are preferred to those of {result.baseline} ({100 * (result.observed or 0.0):+.1f} points)"
    if result.kind == "served_as_judged":
        return "the server serves what was judged"
    if result.kind == "benchmark_drop":
        moved = 100 * (result.observed or 0.0)
        return f"general ability {'fell' if moved < 0 else 'rose'} {abs(moved):.1f} points, within the margin"
    return ""


def _lost(result: CheckResult) -> str:
    # A gain that is too small for its bar is no loss.
    if result.kind == "better_than" and result.observed is not None and result.observed < 0:
        return f"worse than {result.baseline} by {-100 * result.observed:.1f} points"
    if result.kind == "valid_output":
        return f"only {result.observed:.1%} of {result.n:,} answers are valid, the bar is {result.limit:.1%}"
    if result.kind == "benchmark_drop" and result.observed is not None:
        return f"general ability fell {-100 * result.observed:.1f} points, past the margin"
    return result.reason


def _open(result: CheckResult) -> str:
    # A gain is undecided for its size where its interval reaches the bar; for anything else there is the reason.
    is_small = result.low is not None and result.low <= (result.limit or 0.0)
    if result.kind == "better_than" and result.observed is not None and is_small:
        gain = f"{100 * result.observed:+.1f} points on {result.n} examples"
        return f"not shown to beat {result.baseline} ({gain})"
    if result.kind == "benchmark_drop" and result.observed is not None:
        return f"general ability moved {100 * result.observed:+.1f} points, too close to the margin"
    return result.reason


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
