"""What is taken for evidence, and what a suite needs, in exact words: every refusal names the arm and the row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from evidence_in_memory import DROP, GAIN, PREFERRED, VALID, evidence_of, judged, suite_of

from harness.errors import BrokenRunError, InvalidInputError
from harness.gate.evidence import (
    index_answers,
    index_benchmarks,
    index_drift,
    index_preferences,
    index_scores,
    refuse_partial,
    require_known,
    without_leaks,
)
from harness.gate.requirements import (
    planned_checks,
    preferences_wanted,
    refuse_clusters,
    refuse_dependent,
    refuse_empty_slices,
    refuse_incomplete_plan,
    refuse_unknown_checks,
    refuse_unknown_scorers,
    refuse_unscorable_examples,
)
from harness.records import (
    BASE_MODEL,
    BenchmarkResult,
    DriftRow,
    Example,
    LeakedExample,
    Prediction,
    Score,
    ScoredAnswer,
)
from harness.suite.schema import Suite


def broken(call: Callable[[], object]) -> str:
    with pytest.raises(BrokenRunError) as refused:
        call()
    return str(refused.value)


def invalid(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidInputError) as refused:
        call()
    return str(refused.value)


# --- answers ---------------------------------------------------------------------------------------------------------


def answer(system: str, dataset: str, key: str, sample: int = 0) -> Prediction:
    return Prediction(
        example_id=key,
        system=system,
        dataset=dataset,
        text=f"{system} {sample}",
        stop="end",
        prompt_tokens=1,
        output_tokens=1,
        seconds=0.0,
        sample=sample,
    )


def rows(*keys: str) -> tuple[Example, ...]:
    return tuple(Example(id=key, messages=()) for key in keys)


SETS = {"test": rows("a", "b"), "probe": rows("p")}
TWICE = [answer("ours", "test", key, sample) for key in "ab" for sample in (1, 0)]
PROBED = answer("ours", "probe", "p")
PLAN = {"ours/test": 4, "ours/probe": 1}


def test_answers_are_indexed_by_arm_and_example_in_the_order_of_their_samples() -> None:
    found = index_answers([*TWICE, PROBED], SETS, PLAN, samples=2)
    assert found == {
        ("ours", "test"): {key: (answer("ours", "test", key), answer("ours", "test", key, 1)) for key in "ab"},
        ("ours", "probe"): {"p": (PROBED,)},
    }
    assert index_answers([PROBED], {"probe": rows("p")}, {"ours/probe": 1}) == {("ours", "probe"): {"p": (PROBED,)}}


ANSWERS = {
    "one is there twice": ([*TWICE, TWICE[0], PROBED], PLAN, 2, "ours/test: example 'a' was answered twice"),
    "an arm is missing": (
        [*TWICE],
        PLAN,
        2,
        "ours/probe: the arm is missing from the evidence; 1 answers were planned",
    ),
    "ids are missing": (
        [*TWICE[:2], PROBED],
        PLAN,
        2,
        "ours/test: the ids are not those of the data set: 1 missing (first 'b')",
    ),
    "ids are others": (
        [*TWICE[:2], answer("ours", "test", "d"), answer("ours", "test", "c"), PROBED],
        PLAN,
        2,
        "ours/test: the ids are not those of the data set: 1 missing (first 'b'), 2 unknown (first 'c')",
    ),
    "a sample is missing": ([*TWICE[:3], PROBED], PLAN, 2, "ours/test: example 'b' has 1 answers and needs 2"),
    "there are more samples": ([*TWICE, PROBED], PLAN, 1, "ours/test: example 'a' has 2 answers and needs 1"),
    "a probe has two": (
        [*TWICE, PROBED, answer("ours", "probe", "p", 1)],
        PLAN,
        2,
        "ours/probe: example 'p' has 2 answers and needs 1",
    ),
    "arms are unplanned": (
        [*TWICE, PROBED, answer("z", "test", "a"), answer("x", "test", "a")],
        PLAN,
        2,
        "x/test: answers of an arm that was not planned",
    ),
    "a data set is unknown": (
        [*TWICE, PROBED],
        {**PLAN, "ours/else": 1},
        2,
        "ours/else: answers were planned, and the evidence has no such data set",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_refused_in_these_words_when(name: str) -> None:
    given, plan, samples, words = ANSWERS[name]
    assert broken(lambda: index_answers(given, SETS, plan, samples=samples)) == words


def test_one_answer_each_is_needed_unless_told_otherwise() -> None:
    assert broken(lambda: index_answers([*TWICE, PROBED], SETS, PLAN)).endswith("has 2 answers and needs 1")


# --- scores, drift, preferences, benchmarks --------------------------------------------------------------------------


def scored(key: str, value: float, scorer: str = "number") -> ScoredAnswer:
    return ScoredAnswer(system="ours", dataset="test", example_id=key, scorer=scorer, result=Score(value))


def test_scores_are_indexed_by_arm_scorer_and_example() -> None:
    assert index_scores([scored("a", 1.0), scored("b", 0.5), scored("a", 0.0, "brier")]) == {
        ("ours", "test", "number"): {"a": Score(1.0), "b": Score(0.5)},
        ("ours", "test", "brier"): {"a": Score(0.0)},
    }


def drift(key: str, prompts: str = "g") -> DriftRow:
    return DriftRow(prompts=prompts, example_id=key, kl=0.1, tokens=3)


def test_drift_is_indexed_by_file_when_each_wanted_one_has_two_rows() -> None:
    given = [drift("a"), drift("b"), drift("a", "h")]
    assert index_drift(given, ["g"]) == {"g": (given[0], given[1]), "h": (given[2],)}
    for wanted in ("h", "i"):
        words = f"{wanted}: the divergence on its rows is missing from the evidence"
        assert broken(lambda wanted=wanted: index_drift(given, ["g", wanted])) == words
    assert broken(lambda: index_drift([*given, drift("b")], ["g"])) == "g: 'b' was measured twice"


JUDGED = judged([(1, 1), (0, -1)])
PREFERENCES = list(JUDGED.preferences["strict", "bare"].values())
PREFERENCE_FAULTS = {
    "judge strict on bare: example 'test-0' was judged twice": [*PREFERENCES, PREFERENCES[0]],
    "judge mild on bare: preferences that no check of the suite asks for": [replace(PREFERENCES[0], judge="mild")],
    "judge strict on bare: the ids are not those of the data set: 1 missing (first 'test-1')": PREFERENCES[:1],
    "judge strict on bare: example 'test-0' has the values 1 and 2; they must be -1, 0 or 1, or both missing with an "
    "error": [replace(PREFERENCES[0], shown_second=2)],  # type: ignore[arg-type]
}


@pytest.mark.parametrize("words", PREFERENCE_FAULTS)
def test_preferences_are_refused_in_these_words(words: str) -> None:
    wanted = [("strict", "bare")]
    assert broken(lambda: index_preferences(PREFERENCE_FAULTS[words], wanted, JUDGED.examples["test"])) == words


ASKED = evidence_of([1.0], [0.0], answered=([1, 1], [1, 0]))
BASE, TUNED = ASKED.benchmarks["general", BASE_MODEL], ASKED.benchmarks["general", "candidate"]


def repeated(result: BenchmarkResult) -> BenchmarkResult:
    return replace(result, outcomes=(*result.outcomes, result.outcomes[0]))


def test_benchmarks_are_indexed_by_name_and_system() -> None:
    more = replace(TUNED, benchmark="undeclared")
    assert index_benchmarks([BASE, TUNED, more], ["general"], "candidate") == {
        ("general", BASE_MODEL): BASE,
        ("general", "candidate"): TUNED,
        ("undeclared", "candidate"): more,
    }


BENCHMARK_FAULTS = {
    "benchmark general: the outcomes of base model are missing from the evidence": [TUNED],
    "benchmark general: the outcomes of candidate are missing from the evidence": [BASE],
    "benchmark general: there are two results of base model": [BASE, TUNED, BASE],
    "benchmark general: the two systems answered different versions of the task": [
        BASE,
        replace(TUNED, task_digest="u"),
    ],
    "benchmark general: a question was answered twice": [repeated(BASE), TUNED],
    "benchmark general: the ids are not those of the data set: 1 missing (first 'q1')": [
        BASE,
        replace(TUNED, outcomes=TUNED.outcomes[:1]),
    ],
    "benchmark general: the ids are not those of the data set: 1 unknown (first 'q1')": [
        replace(BASE, outcomes=BASE.outcomes[:1]),
        TUNED,
    ],
}


@pytest.mark.parametrize("words", BENCHMARK_FAULTS)
def test_benchmarks_are_refused_in_these_words(words: str) -> None:
    assert broken(lambda: index_benchmarks(BENCHMARK_FAULTS[words], ["general"], "candidate")) == words


def test_a_question_that_the_candidate_answered_twice_is_refused_alike() -> None:
    words = "benchmark general: a question was answered twice"
    assert broken(lambda: index_benchmarks([BASE, repeated(TUNED)], ["general"], "candidate")) == words


# --- the whole evidence ----------------------------------------------------------------------------------------------


def test_a_partial_arm_is_refused_in_these_words() -> None:
    key = ("bare", "test", "exact_match")
    two = evidence_of([1.0, 1.0], [0.0, 0.0])
    fewer = replace(two, scores={**two.scores, key: {"test-0": Score(0.0)}})
    assert broken(lambda: refuse_partial(fewer)) == (
        "bare/test/exact_match: the ids are not those of the data set: 1 missing (first 'test-1')"
    )
    listed = replace(two, examples={"test": (*two.examples["test"], two.examples["test"][0])})
    assert broken(lambda: refuse_partial(listed)) == "test: an example stands in the data set twice"
    unjudged = replace(JUDGED, preferences={("strict", "bare"): {"test-0": PREFERENCES[0]}})
    assert broken(lambda: refuse_partial(unjudged)) == (
        "judge strict on bare: the ids are not those of the data set: 1 missing (first 'test-1')"
    )


def test_benchmark_results_are_compared_only_where_both_systems_have_one() -> None:
    for system in (BASE_MODEL, "candidate"):
        refuse_partial(replace(ASKED, benchmarks={("general", system): repeated(BASE)}))
    other = {("general", BASE_MODEL): BASE, ("general", "candidate"): replace(TUNED, task_digest="u")}
    assert broken(lambda: refuse_partial(replace(ASKED, benchmarks=other))) == (
        "benchmark general: the two systems answered different versions of the task"
    )


def leak(key: str) -> LeakedExample:
    return LeakedExample(example_id=key, source="t", twin="u", kind="contained", similarity=1.0, is_sure=True)


def test_leaks_must_be_of_other_test_examples() -> None:
    assert require_known([leak("b"), leak("a")], rows("a", "b")) == (leak("b"), leak("a"))
    for wrong in ([leak("c")], [leak("a"), leak("a")]):
        words = f"leaks: example '{wrong[-1].example_id}' is not in the test set, or is there twice"
        assert broken(lambda wrong=wrong: require_known(wrong, rows("a", "b"))) == words


def test_what_is_left_without_leaks_is_everything_but_the_test_rows() -> None:
    found = judged([(1, 1), (0, -1), (1, 0)])
    test, first = found.examples["test"], "test-0"
    probe = {("candidate", "probe", "schema_valid"): {first: Score(1.0)}}
    whole = replace(
        found,
        examples={**found.examples, "probe": test[:1]},
        answers={**found.answers, ("candidate", "probe"): {first: answer("candidate", "probe", first)}},
        scores={**found.scores, **probe},
        pool={"test": 9, "probe": 1},
        leaks=(leak(first),),
    )
    left = without_leaks(whole)
    assert left == replace(
        whole,
        examples={"test": test[1:], "probe": test[:1]},
        answers={
            arm: given if arm[1] == "probe" else {key: row for key, row in given.items() if key != first}
            for arm, given in whole.answers.items()
        },
        scores={
            arm: given if arm[1] == "probe" else {key: row for key, row in given.items() if key != first}
            for arm, given in whole.scores.items()
        },
        preferences={
            ("strict", "bare"): {
                p.example_id: p for p in whole.preferences["strict", "bare"].values() if p.example_id != first
            }
        },
        pool={"test": 8, "probe": 1},
        leaks=(),
    )


# --- what a suite needs ----------------------------------------------------------------------------------------------


RECIPE: dict[str, Any] = {"kind": "recipe_better_than"}
LOGPROBS: dict[str, Any] = {"kind": "logprob_drop", "benchmark": "general"}
OLD = {"old": {"kind": "adapter", "from": "promoted"}}


def changed(suite: Suite, **changes: Any) -> Suite:
    declared = suite.model_dump(by_alias=True, exclude_unset=True)
    for name, value in changes.items():
        declared[name] = {**declared[name], **value} if isinstance(declared.get(name), dict) else value
    return Suite.model_validate(declared)


def test_checks_are_planned_by_baseline_and_kind() -> None:
    any_of = {**GAIN, "require": "any", "baselines": ["bare", "second"]}
    suite = suite_of(GAIN, any_of, RECIPE, {**PREFERRED, "baselines": ["third"]}, VALID, VALID, DROP, baselines=3)
    expected = {"adapter_is_live": 1, "better_than": 3 + 3, "recipe_better_than": 3, "preferred": 1}
    assert planned_checks(suite, ()) == {**expected, "valid_output": 2, "benchmark_drop": 1}
    fewer = {**expected, "better_than": 2 + 3, "recipe_better_than": 2}
    assert planned_checks(suite, ("third",)) == {**fewer, "valid_output": 2, "benchmark_drop": 1}
    assert planned_checks(suite_of(GAIN), ("bare",)) == {"adapter_is_live": 1}


def test_only_the_names_that_a_verdict_has_may_be_accepted_and_they_are_known_before_it() -> None:
    any_of = {**GAIN, "require": "any", "baselines": ["bare", "second"], "tag": "hard", "name": "some"}
    checks = GAIN, any_of, RECIPE, {**PREFERRED, "baselines": ["third"]}, VALID, DROP, LOGPROBS
    checks = (*checks, {"kind": "kl_divergence", "prompts": "general.jsonl"}, {"kind": "healthy_training"})
    suite = suite_of(*checks, baselines=3)
    known = [
        *("better_than/exact_match/bare", "better_than/exact_match/second"),
        *("some/exact_match/bare[hard]", "some/exact_match/second[hard]", "some/exact_match/any[hard]"),
        *("recipe_better_than/exact_match/bare", "recipe_better_than/exact_match/second", "preferred/strict/third"),
        *("valid_output", "benchmark_drop/general", "logprob_drop/general", "kl_divergence/general.jsonl"),
        *("healthy_training", "adapter_is_live"),
    ]
    refuse_unknown_checks(suite, {"third"}, known)
    with pytest.raises(InvalidInputError) as refused:
        refuse_unknown_checks(suite, {"third"}, ["better_than/exact_match/third"])
    assert str(refused.value) == (
        f"--accept-undecided better_than/exact_match/third: there is no such check; known: {', '.join(known)}; "
        "did you mean 'better_than/exact_match/bare'?"
    )
    refuse_unknown_checks(suite, (), ["better_than/exact_match/third"])


def test_preferences_are_wanted_once_of_each_baseline_that_has_answers() -> None:
    suite = suite_of(GAIN, {**PREFERRED, "baselines": ["second"]}, PREFERRED, baselines=3)
    assert preferences_wanted(suite, ()) == (("strict", "second"), ("strict", "bare"), ("strict", "third"))
    assert preferences_wanted(suite, ("second",)) == (("strict", "bare"), ("strict", "third"))
    assert preferences_wanted(suite_of(GAIN), ()) == ()


def test_a_plan_must_have_every_arm_and_at_least_one_answer_of_it() -> None:
    suite = changed(suite_of(GAIN, VALID), systems=OLD)
    plan = {"candidate/test": 1, "bare/test": 1, "candidate/probe": 1}
    refuse_incomplete_plan(suite, plan, {"old": "none yet"})
    for arm in plan:
        for wrong in ({**plan, arm: 0}, {key: count for key, count in plan.items() if key != arm}):
            words = f"{arm}: the suite needs this arm, but the run did not plan it"
            assert broken(lambda wrong=wrong: refuse_incomplete_plan(suite, wrong, {"old": "none yet"})) == words
    words = "old/test: the suite needs this arm, but the run did not plan it"
    assert broken(lambda: refuse_incomplete_plan(suite, plan, {})) == words
    for name in ("candidate", "bare", "nobody"):
        words = f"{name}: said to be absent, but only a promoted adapter can be"
        assert broken(lambda name=name: refuse_incomplete_plan(suite, plan, {name: "gone"})) == words


def test_a_plan_must_have_the_replicas_of_a_recipe() -> None:
    suite = changed(
        suite_of(RECIPE),
        data={"train": "t.jsonl"},
        train={"method": "lora", "seeds": 3},
        systems={"candidate": {"kind": "adapter", "role": "candidate", "from": "train"}},
    )
    plan = {"candidate/test": 1, "bare/test": 1, "candidate@seed2/test": 1, "candidate@seed3/test": 1}
    refuse_incomplete_plan(suite, plan, {})
    words = "candidate@seed3/test: the suite needs this arm, but the run did not plan it"
    assert broken(lambda: refuse_incomplete_plan(suite, {**plan, "candidate@seed3/test": 0}, {})) == words


CORPUS = {**GAIN, "scorer": "macro_f1"}
KNOWN = (
    "exact_match, json_valid, schema_valid, field_f1, number, label_f1, label_match, macro_f1, refusal, abstention, "
    "brier, rouge_l, bleu, chrf"
)
WHERE = "checks.1.scorer: macro_f1 is a corpus metric, which"
REFUSED: dict[str, tuple[Suite, str]] = {
    "a scorer is unknown": (
        suite_of(GAIN, {**GAIN, "scorer": "numbr"}),
        f"checks.1: there is no scorer 'numbr'; known: {KNOWN}; did you mean 'number'?",
    ),
    "a recipe's scorer is unknown": (
        suite_of(VALID, {**RECIPE, "scorer": "luck"}),
        f"checks.1: there is no scorer 'luck'; known: {KNOWN}",
    ),
    "a scorer beside the checks is unknown": (
        changed(suite_of(GAIN), scorers=["number", "luck"]),
        f"scorers.1: there is no scorer 'luck'; known: {KNOWN}",
    ),
    "there is no schema": (
        Suite.model_validate(
            suite_of(GAIN).model_dump(by_alias=True, exclude_unset=True)
            | {"data": {"test": "t"}, "scorers": ["number", "schema_valid"]}
        ),
        "scorers.1: the scorer 'schema_valid' needs `data.schema`",
    ),
    "a pattern accepts everything": (
        changed(suite_of(GAIN), scorers=["number", {"name": "any", "kind": "regex", "pattern": "(?s).*"}]),
        "scorers.1 (any): it accepts every text",
    ),
    "a corpus score stops early": (
        suite_of(VALID, CORPUS, mode="hybrid"),
        f"{WHERE} only mode fixed can judge",
    ),
    "a corpus score has samples": (
        changed(suite_of(GAIN, CORPUS), decoding={"samples": 2, "temperature": 1}),
        f"{WHERE} has no score of one example to average over its samples",
    ),
    "a corpus score has seeds": (
        suite_of(GAIN, {**CORPUS, **RECIPE}),
        f"{WHERE} has no score of one example to average over the seeds",
    ),
    "a corpus score has a gain": (
        suite_of(GAIN, {**CORPUS, "min_gain": 0.1}),
        "checks.1.min_gain: macro_f1 is a corpus metric; only 0 can be tested",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_suite_is_refused_in_these_words_when(name: str) -> None:
    suite, words = REFUSED[name]
    assert invalid(lambda: refuse_unknown_scorers(suite)).startswith(words)


def test_scorers_that_can_do_what_is_asked_are_not_refused() -> None:
    refuse_unknown_scorers(suite_of(GAIN, CORPUS, {**GAIN, "scorer": "schema_valid", "min_gain": 0.5}))
    refuse_unknown_scorers(changed(suite_of(GAIN, CORPUS), decoding={"samples": 1}))


def test_a_slice_without_examples_is_refused_with_the_tags_that_there_are() -> None:
    suite = suite_of({**GAIN, "tag": "a"}, {**GAIN, "tag": "c"})
    assert invalid(lambda: refuse_empty_slices(suite, {"b", "a"})) == (
        "checks.1.tag: no test example has the tag 'c'; known: a, b"
    )


def targets(*values: str | None, tags: tuple[str, ...] = ()) -> list[Example]:
    return [
        Example(id=str(i), messages=(), target=value, tags=tags, source=f"t:{i + 1}") for i, value in enumerate(values)
    ]


NUMBER = suite_of({**GAIN, "scorer": "number"})


def test_rows_whose_target_is_no_answer_are_named_up_to_twenty() -> None:
    refuse_unscorable_examples(NUMBER, targets("1", "2"))
    one = "t:{}: 'number' cannot judge it: the target has no number"
    assert invalid(lambda: refuse_unscorable_examples(NUMBER, targets("1", "many"))) == one.format(2)
    for count, more in ((20, []), (21, ["... and 1 more"])):
        lines = [one.format(i + 2) for i in range(20)] + more
        test = targets("1", *["many"] * count)
        assert invalid(lambda test=test: refuse_unscorable_examples(NUMBER, test)).splitlines() == lines


def test_one_constant_answer_for_all_is_no_test() -> None:
    for suite, name in ((NUMBER, "number"), (changed(suite_of(VALID), scorers=["number"]), "number")):
        assert invalid(lambda suite=suite: refuse_unscorable_examples(suite, targets("1", "1"))) == (
            f"data.test: by '{name}', one constant answer is right for all 2 test examples, so it tells no system "
            "from another; add rows that want something else"
        )
    # Nothing is known of targets by a scorer that looks at none, or that asks for more than the target.
    refuse_unscorable_examples(suite_of({**GAIN, "scorer": "json_valid"}), targets(None, None))
    refuse_unscorable_examples(suite_of({**GAIN, "scorer": "brier"}), targets("1", "1"))


def test_a_scorer_of_tags_needs_them() -> None:
    suite = suite_of({**GAIN, "scorer": "refusal"})
    unanswered = targets(None, tags=("answer",))
    assert invalid(lambda: refuse_unscorable_examples(suite, unanswered)) == (
        "t:1: its own target scores 0.00 by 'refusal', so the row or the scorer is wrong"
    )
    words = invalid(lambda: refuse_unscorable_examples(suite, targets("I cannot help with that.", "yes")))
    assert words.startswith("t:1: 'refusal' cannot judge it: ")


def test_a_target_is_put_to_the_scorers_as_a_certain_answer() -> None:
    sure = {"name": "sure", "kind": "brier", "confidence": "logprob"}
    refuse_unscorable_examples(changed(suite_of(VALID), scorers=[sure]), targets("1", "2"))
    words = "data.test: by 'sure', one constant answer is right for all 2 test examples"
    constant = changed(suite_of(VALID), scorers=[sure])
    assert invalid(lambda: refuse_unscorable_examples(constant, targets("1", "1"))).startswith(words)


def test_each_scorer_is_asked_when_one_before_it_looks_at_no_target() -> None:
    suite = suite_of({**GAIN, "scorer": "json_valid"}, {**GAIN, "scorer": "number"})
    assert invalid(lambda: refuse_unscorable_examples(suite, targets("1", "many"))).startswith("t:2: 'number' cannot")


def test_a_single_or_empty_target_is_a_constant_answer_too() -> None:
    words = "data.test: by 'number', one constant answer is right for all 1 test examples"
    assert invalid(lambda: refuse_unscorable_examples(NUMBER, targets("1"))).startswith(words)
    words = "data.test: by 'exact_match', one constant answer is right for all 2 test examples"
    assert invalid(lambda: refuse_unscorable_examples(suite_of(GAIN), targets("", ""))).startswith(words)


def test_an_arm_is_found_by_its_data_set_when_its_name_has_a_slash() -> None:
    given = answer("ours/old", "probe", "p")
    found = index_answers([given], {"probe": rows("p")}, {"ours/old/probe": 1})
    assert found == {("ours/old", "probe"): {"p": (given,)}}


def clustered(*clusters: str | None) -> list[Example]:
    return [
        Example(id=f"e{i}", messages=(), target="x", cluster=name, source=f"rows.jsonl:{i + 1}")
        for i, name in enumerate(clusters)
    ]


def test_clusters_are_refused_where_nothing_counts_by_them() -> None:
    rows = clustered(None, "a", "b")
    found = (
        "but rows.jsonl:2 is of the cluster 'a' (rows with the same prompt are one); use mode fixed and `better_than`, "
        "or remove what repeats"
    )
    assert invalid(lambda: refuse_clusters(suite_of(GAIN, mode="anytime"), rows)) == (
        f"statistics.mode: anytime bets on independent examples, {found}"
    )
    assert invalid(lambda: refuse_clusters(suite_of(GAIN, RECIPE), rows)) == (
        f"checks.1: `recipe_better_than` takes examples as independent, {found}"
    )
    refuse_clusters(suite_of(GAIN, VALID), rows)
    refuse_clusters(suite_of(GAIN, RECIPE), clustered(None, None))
    refuse_clusters(suite_of(GAIN, mode="hybrid"), clustered(None))


def test_rows_of_one_cluster_are_refused_where_rows_must_be_independent() -> None:
    refuse_dependent("here", clustered("a", None, "b", None))
    assert invalid(lambda: refuse_dependent("here", clustered("a", None, "b", "a"))) == (
        "here: the rows must be independent, but rows.jsonl:4 is of the cluster 'a' of rows.jsonl:1 (rows with the "
        "same prompt are one); remove one"
    )
