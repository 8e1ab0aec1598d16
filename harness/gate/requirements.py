"""What a suite asks for must exist, and a run must have planned all of it; no statistics are loaded for this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from harness.errors import BrokenRunError, InvalidInputError, did_you_mean
from harness.gate.results import result_names
from harness.records import Example, Unscored
from harness.scoring.apply import ScorerInfo, apply_scorer, corpus_of
from harness.scoring.declared import scorers_of, validators_of
from harness.suite.checks import BetterThan, Preferred, RecipeBetterThan, ValidOutput
from harness.suite.schema import Suite
from harness.suite.systems import AdapterSystem

MAX_PROBLEMS_SHOWN = 20
CERTAIN = 0.0  # the log-probability, in nats, with which a target is put to the scorers as the answer


def refuse_unknown_scorers(suite: Suite) -> None:
    """Every scorer that the suite names must exist and be able to do what is asked; else InvalidInputError."""
    known = scorers_of(suite)
    gains = [(i, check) for i, check in enumerate(suite.checks) if isinstance(check, BetterThan | RecipeBetterThan)]
    named = [(f"checks.{i}", check.scorer) for i, check in gains]
    for place, scorer in [*named, *((f"scorers.{i}", name) for i, name in enumerate(suite.scorers))]:
        if scorer not in known:
            what = f"there is no scorer '{scorer}'; known: {', '.join(known)}"
            raise InvalidInputError(f"{place}: {what}{did_you_mean(scorer, known)}")
        if known[scorer].needs_schema and suite.data.schema_file is None:
            raise InvalidInputError(f"{place}: the scorer '{scorer}' needs `data.schema`")
    for name, validator in validators_of(suite).items():
        if problem := validator.problem():
            raise InvalidInputError(f"scorers.{suite.scorers.index(name)} ({name}): {problem}")
    _refuse_corpus_gains(suite)


def _refuse_corpus_gains(suite: Suite) -> None:
    """What cannot be asked of a score that only a whole set of answers has."""
    for index, check in enumerate(suite.checks):
        if not isinstance(check, BetterThan | RecipeBetterThan) or corpus_of(check.scorer) is None:
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


def refuse_unscorable_examples(suite: Suite, test: Sequence[Example]) -> None:
    """The scorers asked for must be able to judge every test example, and must tell right answers from wrong ones.

    A row is at fault when its own target does not score 1; the set is when one constant answer would score 1
    throughout.

    Raises:
        InvalidInputError: naming the first rows at fault, or the scorer.
    """
    known = scorers_of(suite)
    named = [check.scorer for check in suite.checks if isinstance(check, BetterThan | RecipeBetterThan)]
    for name in dict.fromkeys([*named, *suite.scorers]):
        scorer = known[name]
        if not (scorer.needs_target or scorer.needs_tags):
            continue
        problems = [f"{row.source}: {why}" for row in test if (why := _fault(name, scorer, row))]
        if problems:
            more = len(problems) - MAX_PROBLEMS_SHOWN
            shown = problems[:MAX_PROBLEMS_SHOWN] + ([f"... and {more} more"] if more > 0 else [])
            raise InvalidInputError("\n".join(shown))
        first = test[0].target or ""
        if scorer.target_is_best and all(_is_best(scorer, first, row) for row in test):
            raise InvalidInputError(
                f"data.test: by '{name}', one constant answer is right for all {len(test)} test examples, so it tells "
                "no system from another; add rows that want something else"
            )


def _fault(name: str, scorer: ScorerInfo, row: Example) -> str:
    """Why an example is no test by this scorer; "" when it is one."""
    result = apply_scorer(scorer, row.target or "", row, None, CERTAIN)
    if isinstance(result, Unscored):
        return f"'{name}' cannot judge it: {result.reason}"
    if scorer.target_is_best and not _is_best(scorer, row.target or "", row):
        return f"its own target scores {result.value:.2f} by '{name}', so the row or the scorer is wrong"
    return ""


def _is_best(scorer: ScorerInfo, text: str, row: Example) -> bool:
    result = apply_scorer(scorer, text, row, None, CERTAIN)
    return not isinstance(result, Unscored) and result.value > 1 - 1e-9


def refuse_empty_slices(suite: Suite, tags: Collection[str]) -> None:
    """A check of one tag needs examples with it; else InvalidInputError, since it would compare nothing."""
    for index, check in enumerate(suite.checks):
        if isinstance(check, BetterThan) and check.tag is not None and check.tag not in tags:
            known = ", ".join(sorted(tags)) or "none"
            raise InvalidInputError(f"checks.{index}.tag: no test example has the tag '{check.tag}'; known: {known}")


def refuse_clusters(suite: Suite, test: Sequence[Example]) -> None:
    """Test rows with clusters need tests that know of them; else InvalidInputError, naming the first such row."""
    clustered = next((row for row in test if row.cluster), None)
    if clustered is None:
        return
    found = (
        f"{clustered.source} is of the cluster {clustered.cluster!r} (rows with the same prompt are one); "
        "use mode fixed and `better_than`, or remove what repeats"
    )
    if suite.statistics.mode != "fixed":
        raise InvalidInputError(f"statistics.mode: {suite.statistics.mode} bets on independent examples, but {found}")
    for index, check in enumerate(suite.checks):
        if isinstance(check, RecipeBetterThan):
            raise InvalidInputError(f"checks.{index}: `recipe_better_than` takes examples as independent, but {found}")


def refuse_dependent(place: str, rows: Sequence[Example]) -> None:
    """No two rows may be of one cluster where nothing counts by clusters; else InvalidInputError, naming both."""
    first: dict[str, Example] = {}
    for row in rows:
        if row.cluster is None:
            continue
        if row.cluster in first:
            raise InvalidInputError(
                f"{place}: the rows must be independent, but {row.source} is of the cluster {row.cluster!r} of "
                f"{first[row.cluster].source} (rows with the same prompt are one); remove one"
            )
        first[row.cluster] = row


def preferences_wanted(suite: Suite, absent: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Every (judge, baseline) whose answers the checks want judged, once, in the order of the suite.

    A baseline that is `absent` has no answers.
    """
    return tuple(
        dict.fromkeys(
            (check.judge, baseline)
            for check in suite.checks
            if isinstance(check, Preferred)
            for baseline in (suite.baselines if check.baselines == "all" else check.baselines)
            if baseline not in absent
        )
    )


def planned_checks(suite: Suite, absent: Collection[str]) -> dict[str, int]:
    """Check kind -> how many results a verdict must have: one a baseline of a gain, and the one that is always on.

    Counted from the suite and not from what was found, so that a check that was never made is missed. Baselines that
    are `absent` count where a check names them.
    """
    present = [name for name in suite.baselines if name not in absent]
    planned = Counter({"adapter_is_live": 1})
    for check in suite.checks:
        if isinstance(check, BetterThan | RecipeBetterThan | Preferred):
            planned[check.kind] += len(present if check.baselines == "all" else check.baselines)
            planned[check.kind] += isinstance(check, BetterThan) and check.require == "any"
        else:
            planned[check.kind] += 1
    return {kind: count for kind, count in planned.items() if count}


def refuse_unknown_checks(suite: Suite, absent: Collection[str], accepted: Collection[str]) -> None:
    """Every check that a person lets pass must be one that a verdict of this suite has, without `absent` arms.

    Told from the suite and not from a verdict, so that a slip is found before anything is computed or taken back.

    Raises:
        InvalidInputError: naming the check, and those that there are.
    """
    present = [name for name in suite.baselines if name not in absent]
    known = [*(name for check in suite.checks for name in result_names(check, present)), "adapter_is_live"]
    if unknown := sorted(set(accepted).difference(known)):
        what = f"there is no such check; known: {', '.join(known)}"
        raise InvalidInputError(f"--accept-undecided {unknown[0]}: {what}{did_you_mean(unknown[0], known)}")


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
