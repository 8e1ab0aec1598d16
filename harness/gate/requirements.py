"""What a suite asks for must exist, and a run must have planned all of it; no statistics are loaded for this."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from harness.errors import BrokenRunError, InvalidInputError
from harness.scoring.apply import SCORERS
from harness.suite.schema import AdapterSystem, BetterThan, RecipeBetterThan, Suite, ValidOutput


def refuse_unknown_scorers(suite: Suite) -> None:
    """Every scorer that the suite names must exist and be able to do what is asked; else InvalidInputError."""
    gains = [(i, check) for i, check in enumerate(suite.checks) if isinstance(check, BetterThan | RecipeBetterThan)]
    named = [(f"checks.{i}", check.scorer) for i, check in gains]
    for place, scorer in [*named, *((f"scorers.{i}", name) for i, name in enumerate(suite.scorers))]:
        if scorer not in SCORERS:
            raise InvalidInputError(f"{place}: there is no scorer '{scorer}'; known: {', '.join(SCORERS)}")
        if SCORERS[scorer].needs_schema and suite.data.schema_file is None:
            raise InvalidInputError(f"{place}: the scorer '{scorer}' needs `data.schema`")
    for index, check in gains:
        if not SCORERS[check.scorer].corpus:
            continue
        where = f"checks.{index}.scorer: {check.scorer} is a corpus metric, which"
        if suite.statistics.mode != "fixed":
            raise InvalidInputError(f"{where} only mode fixed can judge")
        if suite.decoding.samples > 1:
            raise InvalidInputError(f"{where} has no score of one example to average over its samples")
        if isinstance(check, RecipeBetterThan):
            raise InvalidInputError(f"{where} has no score of one example to average over the seeds")
        if check.min_gain > 0:
            raise InvalidInputError(f"checks.{index}.min_gain: {check.scorer} is a corpus metric; only 0 can be tested")


def refuse_empty_slices(suite: Suite, tags: Collection[str]) -> None:
    """A check of one tag needs examples with it; else InvalidInputError, since it would compare nothing."""
    for index, check in enumerate(suite.checks):
        if isinstance(check, BetterThan) and check.tag is not None and check.tag not in tags:
            known = ", ".join(sorted(tags)) or "none"
            raise InvalidInputError(f"checks.{index}.tag: no test example has the tag '{check.tag}'; known: {known}")


def refuse_incomplete_plan(suite: Suite, planned: Mapping[str, int], absent: Mapping[str, str]) -> None:
    """Every arm that the suite needs must have been planned, with at least one answer.

    Only an adapter that was never promoted may be absent.

    Raises:
        BrokenRunError: naming the arm.
    """
    for name in absent:
        spec = suite.systems.get(name)
        if not isinstance(spec, AdapterSystem) or spec.source != "promoted":
            raise BrokenRunError(f"{name}: said to be absent, but only a promoted adapter can be")
    needed = [f"{name}/test" for name in suite.systems if name not in absent]
    needed += [f"{name}/test" for name in suite.replicas]
    needed += [f"{suite.candidate}/{check.on}" for check in suite.checks if isinstance(check, ValidOutput)]
    for arm in needed:
        if planned.get(arm, 0) < 1:
            raise BrokenRunError(f"{arm}: the suite needs this arm, but the run did not plan it")
