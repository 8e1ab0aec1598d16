"""A gain that only leaked test examples show is undecided; leaks change nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from evidence_in_memory import GAIN, PREFERRED, evidence_of, judged, suite_of
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import BrokenRunError
from harness.findings import CheckResult, LookCount, Verdict
from harness.gate.evidence import Evidence, require_known, without_leaks
from harness.gate.verdict import decide
from harness.records import LeakedExample

# Eight gains and no loss in 40: p = 0.004.
CLEAR = evidence_of([1.0] * 8 + [0.0] * 32, [0.0] * 40)


def leaked(evidence: Evidence, *places: int, sure: int | None = None) -> Evidence:
    """The evidence with leaks of the test examples at these places, the first `sure` of them for sure."""
    rows = evidence.examples["test"]
    surely = len(places) if sure is None else sure
    leaks = tuple(
        LeakedExample(
            example_id=rows[place].id,
            source=f"test.jsonl:{place + 1}",
            twin="train.jsonl:1",
            kind="contained" if number < surely else "near copy",
            similarity=1.0,
            is_sure=number < surely,
        )
        for number, place in enumerate(places)
    )
    return replace(evidence, leaks=leaks)


def judge(evidence: Evidence, *checks: dict[str, Any], baselines: int = 1, **statistics: Any) -> Verdict:
    """The verdict, which says what leaks change in a check's reason and in no note."""
    verdict = decide(suite_of(*checks, baselines=baselines, **statistics), evidence)
    assert not [note for note in verdict.notes if "training rows" in note]
    return verdict


def undecided(evidence: Evidence, *checks: dict[str, Any], baselines: int = 1, **statistics: Any) -> CheckResult:
    """The one check that leaks leave undecided, in a verdict that would ship without them."""
    assert judge(replace(evidence, leaks=()), *checks, baselines=baselines, **statistics).decision == "ship"
    verdict = judge(evidence, *checks, baselines=baselines, **statistics)
    assert verdict.decision == "undecided"
    (found,) = [check for check in verdict.checks if check.blocking and check.status != "pass"]
    assert verdict.sentence == found.reason[:1].upper() + found.reason[1:] + "."
    return found


def test_a_gain_is_undecided_when_it_is_not_shown_without_the_leaked_rows() -> None:
    evidence = leaked(CLEAR, 0, 1, 2, 3, 4, sure=3)
    found = undecided(evidence, GAIN)
    (shown, _) = judge(CLEAR, GAIN).checks
    (rest, _) = judge(without_leaks(evidence), GAIN).checks
    assert found.reason == (
        f"{shown.reason}; but 5 of its 40 test rows were found among the training rows (3 for sure), "
        f"and on the 35 others: {rest.reason}"
    )
    assert "over 40 examples, 8 better and 0 worse (p = 0.0039)" in shown.reason
    assert "over 35 examples, 3 better and 0 worse (p = 0.12)" in rest.reason
    assert found.needs == (
        "write the rows that leaks.json names anew, or remove them from the test or the training rows, and run again"
    )
    # The numbers stay those of all rows, as everywhere in the report.
    assert found == replace(shown, status="undecided", reason=found.reason, needs=found.needs)


@pytest.mark.parametrize("places", [(0, 1), range(8, 40)])
def test_the_verdict_is_the_same_when_the_gain_is_shown_without_them_too(places: Sequence[int]) -> None:
    assert judge(leaked(CLEAR, *places), GAIN) == judge(CLEAR, GAIN)


def test_an_undecided_gain_can_be_accepted_on_record() -> None:
    name = "better_than/exact_match/bare"
    verdict = decide(suite_of(GAIN), leaked(CLEAR, *range(6)), accepted={name: "they are near copies by chance"})
    assert verdict.decision == "ship"
    assert f"{name} was undecided and accepted: they are near copies by chance" in verdict.notes
    assert "6 of its 40 test rows" in verdict.checks[0].reason


def test_a_check_that_does_not_block_is_undecided_alike_and_decides_nothing() -> None:
    valid = {"kind": "valid_output", "on": "probe", "bar": 0.5}
    evidence = leaked(evidence_of([1.0] * 8 + [0.0] * 32, [0.0] * 40, probe=[1.0] * 40), *range(6))
    verdict = judge(evidence, {**GAIN, "blocking": False}, valid)
    assert [check.status for check in verdict.checks] == ["undecided", "pass", "pass"]
    assert verdict.decision == "ship"


def test_a_check_that_is_no_gain_passes_as_it_did_whatever_leaked() -> None:
    valid = {"kind": "valid_output", "on": "test", "bar": 0.5}
    evidence = evidence_of([1.0] * 40, [0.0] * 40, scorer="schema_valid")
    without = judge(evidence, {**valid})
    found = judge(leaked(evidence, *range(39)), {**valid})
    assert [check.status for check in without.checks] == ["pass", "pass"], without.checks
    assert found.checks == without.checks, "with one row left it could not be shown"


@pytest.mark.parametrize(("lost", "decision"), [(12, "undecided"), (20, "hold")])
def test_what_is_failed_or_undecided_stays_so_when_the_clean_rows_show_a_gain(lost: int, decision: str) -> None:
    ours = [0.0] * lost + [1.0] * 8
    without = evidence_of(ours, [1.0 - value for value in ours])
    found = leaked(without, *range(lost))
    assert judge(without_leaks(found), GAIN).decision == "ship"
    assert judge(found, GAIN) == judge(without, GAIN)
    assert judge(without, GAIN).decision == decision


def test_a_baseline_that_is_not_beaten_holds_whatever_leaks_take_from_another() -> None:
    evidence = evidence_of([1.0] * 8 + [0.0] * 32, [0.0] * 40, [1.0] * 40)
    before, after = (judge(item, GAIN, baselines=2) for item in (evidence, leaked(evidence, *range(6))))
    assert [check.status for check in after.checks] == ["undecided", "fail", "pass"]
    assert after.decision == "hold"
    assert after.checks[1] == before.checks[1]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_leaks_only_ever_turn_passes_into_undecided(data: st.DataObject) -> None:
    n = data.draw(st.integers(4, 24))
    values = st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=n, max_size=n)
    # Most drawn at random would pass nothing; and few clusters may be left as one.
    ours, theirs = data.draw(values | st.just([1.0] * n)), data.draw(values | st.just([0.0] * n))
    groups = data.draw(st.none() | st.lists(st.sampled_from("abcdefg"), min_size=n, max_size=n))
    without = evidence_of(ours, theirs, clusters=groups)
    found = leaked(without, *data.draw(st.sets(st.integers(0, n - 1), min_size=1)))
    checks = (GAIN, {"kind": "recipe_better_than", "blocking": False})
    before, after = (judge(replicated(evidence), *checks) for evidence in (without, found))
    assert (before.decision, after.decision) in {(item, item) for item in ("ship", "hold", "undecided")} | {
        ("ship", "undecided")
    }
    for old, new in zip(before.checks, after.checks, strict=True):
        if new != old:
            assert (old.status, new.status) == ("pass", "undecided")
            assert new.reason.startswith(f"{old.reason}; but {len(found.leaks)} of its {n} test rows were found")


def replicated(evidence: Evidence) -> Evidence:
    """The evidence with two further trainings, whose answers are the candidate's own."""
    arm = ("candidate", "test", "exact_match")
    replicas = {(name, *arm[1:]): evidence.scores[arm] for name in ("candidate@seed2", "candidate@seed3")}
    return replace(evidence, replicas=tuple(name for name, *_ in replicas), scores={**evidence.scores, **replicas})


def test_a_slice_is_judged_on_its_own_clean_rows() -> None:
    rows = tuple(replace(row, tags=("rare",) if place < 8 else ()) for place, row in enumerate(CLEAR.examples["test"]))
    tagged = replace(CLEAR, examples={**CLEAR.examples, "test": rows})
    found = undecided(leaked(tagged, *range(2, 12), sure=4), {**GAIN, "tag": "rare"})
    assert "; but 6 of its 8 test rows were found among the training rows (4 for sure), and on the 2" in found.reason
    apart = {**GAIN, "tag": "rare"}
    assert judge(leaked(tagged, *range(8, 40)), apart) == judge(tagged, apart)


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("check", [GAIN, {"kind": "recipe_better_than"}], ids=["gain", "recipe"])
def test_too_few_rows_left_are_a_gain_that_is_not_shown(left: int, check: dict[str, Any]) -> None:
    evidence = replicated(leaked(evidence_of([1.0] * 100 + [0.0] * 20, [0.0] * 120), *range(120 - left)))
    found = undecided(evidence, check)
    assert found.reason.endswith(
        f"; but {120 - left} of its 120 test rows were found among the training rows ({120 - left} for sure), "
        f"and with {left} left it cannot be shown"
    )


@pytest.mark.parametrize("left", [2, 3])
@pytest.mark.parametrize("values", [[1.0] * 40, [0.5 + place / 100 for place in range(40)]])
def test_two_or_three_rows_left_are_compared_without_an_error(left: int, values: list[float]) -> None:
    found = undecided(leaked(evidence_of(values, [0.0] * 40), *range(40 - left)), GAIN)
    assert f"and on the {left} others: no difference shown" in found.reason


def test_two_rows_left_are_compared_without_an_error_for_a_recipe_too() -> None:
    evidence = replicated(leaked(evidence_of([1.0] * 100 + [0.0] * 20, [0.0] * 120), *range(118)))
    found = undecided(evidence, {"kind": "recipe_better_than"})
    assert "and on the 2 others: no difference shown" in found.reason


def test_beating_any_of_the_baselines_is_asked_again_as_one_question() -> None:
    evidence = evidence_of([1.0] * 8 + [0.0] * 32, [0.0] * 40, [1.0] * 8 + [0.0] * 32)
    found = undecided(leaked(evidence, *range(5)), {**GAIN, "require": "any"}, baselines=2)
    assert found.name == "better_than/exact_match/any"
    assert "and on the 35 others: not shown to beat any of bare, second" in found.reason


def test_what_judges_prefer_is_asked_again_too() -> None:
    evidence = judged([(1, 1)] * 8 + [(0, 0)] * 32)
    found = undecided(leaked(evidence, *range(5)), PREFERRED)
    assert found.name == "preferred/strict/bare"
    assert "and on the 35 others: no difference shown" in found.reason


@pytest.mark.parametrize("mode", ["hybrid", "anytime"])
def test_every_clean_example_counts_as_the_whole_pool_in_modes_that_stop_early(mode: str) -> None:
    evidence = evidence_of([1.0] * 60, [0.0] * 60)
    assert judge(leaked(evidence, 3, 9), GAIN, mode=mode, look_every=10).decision == "ship"
    assert without_leaks(leaked(evidence, 3, 9)).pool["test"] == 58
    found = undecided(leaked(evidence, *range(57)), GAIN, mode=mode, look_every=10)
    assert "and on the 3 others: no difference shown" in found.reason


def test_alpha_stays_divided_over_the_budget_of_looks() -> None:
    # Six gains and no loss: p = 0.016, enough for 0.05 and not for 0.01.
    evidence = leaked(evidence_of([1.0] * 8 + [0.0] * 32, [0.0] * 40), 0, 1)
    assert judge(evidence, GAIN).decision == "ship"
    assert "(p = 0.016)" in undecided(evidence, GAIN, holdout_budget=5).reason


def test_leaks_are_told_rather_than_the_budget_when_both_take_the_pass_away() -> None:
    looks = LookCount(number=3, budget=2, recorded=True)
    suite = suite_of(GAIN, holdout_budget=2)
    few, many = (decide(suite, leaked(CLEAR, *range(n)), looks=looks).checks[0] for n in (1, 6))
    assert few.reason.startswith("look 3 at the test set, which has 2; ")
    assert "6 of its 40 test rows" in many.reason and "which has 2" not in many.reason


def test_what_is_left_pairs_as_before() -> None:
    evidence = leaked(judged([(1, 1)] * 8 + [(0, 0)] * 32), 0, 5)
    clean = without_leaks(evidence)
    ids = [row.id for row in clean.examples["test"]]
    assert len(ids) == 38 and not {"test-0", "test-5"} & set(ids)
    for found in (*clean.answers.values(), *clean.preferences.values()):
        assert list(found) == ids
    assert all(list(found) == ids for (_, dataset, _), found in clean.scores.items() if dataset == "test")
    assert clean.leaks == ()


def test_probes_stay_even_where_one_has_the_id_of_a_leaked_row() -> None:
    evidence = evidence_of([1.0] * 8, [0.0] * 8, probe=[1.0] * 5)
    probes = tuple(replace(row, id=f"test-{place}") for place, row in enumerate(evidence.examples["probe"]))
    valid = dict(
        zip((row.id for row in probes), evidence.scores["candidate", "probe", "schema_valid"].values(), strict=True)
    )
    same_ids = replace(
        evidence,
        examples={**evidence.examples, "probe": probes},
        scores={**evidence.scores, ("candidate", "probe", "schema_valid"): valid},
    )
    clean = without_leaks(leaked(same_ids, 0, 1))
    assert clean.examples["probe"] == probes
    assert clean.scores["candidate", "probe", "schema_valid"] == valid


def test_leaks_of_examples_that_there_are_not_are_refused() -> None:
    rows = CLEAR.examples["test"]
    leaks = leaked(CLEAR, 0, 1).leaks
    assert require_known(leaks, rows) == leaks
    for wrong in (leaks + leaks[:1], (replace(leaks[0], example_id="no such row"),)):
        with pytest.raises(BrokenRunError, match="not in the test set, or is there twice"):
            require_known(wrong, rows)


def test_a_similarity_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        replace(leaked(CLEAR, 0).leaks[0], similarity=float("nan"))
