"""What a gain rests on when test examples stand among the training rows: it must be shown without them as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.findings import CheckResult
from harness.gate.checks import run_check
from harness.gate.evidence import Evidence, without_leaks
from harness.suite.checks import BetterThan, CheckSpec, Preferred, RecipeBetterThan
from harness.suite.schema import Statistics

FEWEST_ROWS = 2  # that a comparison over several trainings needs
NEEDS = "write the rows that leaks.json names anew, or remove them from the test or the training rows, and run again"


def run_check_despite_leaks(check: CheckSpec, evidence: Evidence, statistics: Statistics) -> list[CheckResult]:
    """The results of one declared check, where a gain that the clean examples do not show is undecided.

    Leaks only ever take a pass away: what fails or is undecided on all examples stays so. A check that does not block
    is held to the same, since its pass would say as much.
    """
    results = list(run_check(check, evidence, statistics))
    is_gain = isinstance(check, BetterThan | RecipeBetterThan | Preferred)
    if not (is_gain and evidence.leaks and any(result.status == "pass" for result in results)):
        return results
    tag = check.tag if isinstance(check, BetterThan) else None
    asked = {example.id for example in evidence.examples["test"] if tag is None or tag in example.tags}
    sure = [leak.is_sure for leak in evidence.leaks if leak.example_id in asked]
    found = f"{len(sure)} of its {len(asked)} test rows were found among the training rows ({sum(sure)} for sure)"
    left, clean = len(asked) - len(sure), {}
    if left >= FEWEST_ROWS:
        clean = {result.name: result for result in run_check(check, without_leaks(evidence), statistics)}
    return [_undecided_unless_shown(result, clean, found, left) for result in results]


def _undecided_unless_shown(
    result: CheckResult, clean: Mapping[str, CheckResult], found: str, left: int
) -> CheckResult:
    """The result, but undecided where it passes on all examples and not among the `clean` results (by name)."""
    without = clean.get(result.name)
    if result.status != "pass" or (without is not None and without.status == "pass"):
        return result
    rest = f"on the {left} others: {without.reason}" if without else f"with {left} left it cannot be shown"
    return replace(result, status="undecided", reason=f"{result.reason}; but {found}, and {rest}", needs=NEEDS)
