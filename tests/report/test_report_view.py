from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hostile_texts import PAYLOADS
from record_factory import BASELINES, CANDIDATE, complete, diverged, make_record, poisoned, priced

from harness.findings import BreakEven, CheckResult, RunRecord, Status
from harness.records import Score
from harness.report.page import CheckRow, Page
from harness.report.view import build_page


def with_checks(record: RunRecord, *checks: CheckResult) -> RunRecord:
    return dataclasses.replace(record, verdict=dataclasses.replace(record.verdict, checks=checks))


def make_check(**facts: Any) -> CheckResult:
    return CheckResult(**{"name": "c", "kind": "k", "status": "pass", "blocking": True, "reason": "r", **facts})


def only_check(**facts: Any) -> CheckRow:
    (row,) = build_page(with_checks(make_record(rows=4, probes=2), make_check(**facts))).checks
    return row


def texts(value: Any) -> list[str]:
    """Every string in a page model."""
    if isinstance(value, str):
        return [value]
    if dataclasses.is_dataclass(value):
        return [text for field in dataclasses.fields(value) for text in texts(getattr(value, field.name))]
    if isinstance(value, tuple):
        return [text for item in value for text in texts(item)]
    return []


def test_page_says_the_verdict_in_a_word_a_symbol_and_a_sentence() -> None:
    pages = [build_page(make_record(decision)) for decision in ("ship", "hold", "undecided")]
    assert [(page.word, page.symbol) for page in pages] == [("Ship", "✓"), ("Hold", "✕"), ("Undecided", "?")]
    assert pages[0].sentence == make_record("ship").verdict.sentence


def test_checks_that_decided_come_first_when_the_run_is_held() -> None:
    page = build_page(make_record("hold"))
    assert [check.status for check in page.checks] == ["fail", "fail"] + ["pass"] * 6
    assert (page.checks[0].title, page.checks[0].baseline) == ("better_than/exact_match", "previous")
    assert page.checks[0].name == "better_than/exact_match/previous"


def test_checks_that_do_not_block_come_last_even_when_they_failed() -> None:
    checks = (make_check(name="soft", status="fail", blocking=False), make_check(name="hard"))
    page = build_page(with_checks(make_record(rows=4, probes=2), *checks))
    assert [check.name for check in page.checks] == ["hard", "soft"]


def test_check_shows_bar_interval_and_n_when_it_was_measured() -> None:
    row = only_check(observed=0.883, low=0.825, high=0.929, limit=0.8, n=1200, status="pass")
    assert (row.needed, row.measured, row.interval, row.n) == ("at least 80.0 %", "88.3 %", "82.5 to 92.9 %", "1,200")
    assert row.bar is not None
    assert row.bar.axis_low < 0.8 < 0.929 < row.bar.axis_high <= 1.0
    assert row.bar.description == ("Measured 88.3 %, interval 82.5 to 92.9 %; needed: at least 80.0 %. Pass.")


@pytest.mark.parametrize(
    ("unit", "direction", "needed"),
    [
        ("fraction", "above", "at least 10.0 %"),
        ("fraction", "below", "at most 10.0 %"),
        ("points", "above", "more than +10.0 points"),
        ("nats", "below", "less than 0.1 nats"),
        ("", "above", "more than 0.1"),
    ],
)
def test_needed_says_on_which_side_of_the_limit_a_check_passes(unit: str, direction: str, needed: str) -> None:
    assert only_check(limit=0.1, unit=unit, direction=direction).needed == needed


def test_check_shows_dashes_and_no_bar_when_nothing_was_measured() -> None:
    row = only_check(limit=None)
    assert (row.needed, row.measured, row.interval, row.n, row.bar) == ("–", "–", "", "–", None)


def test_checks_of_one_kind_share_an_axis_so_that_bars_compare() -> None:
    bars = [check.bar for check in build_page(make_record()).checks if check.kind == "better_than"]
    assert len({(bar.axis_low, bar.axis_high) for bar in bars if bar}) == 1


@pytest.mark.parametrize(
    ("status", "symbol", "word"), [("pass", "✓", "Pass"), ("fail", "✕", "Fail"), ("undecided", "?", "Undecided")]
)
def test_status_is_told_by_symbol_and_word(status: Status, symbol: str, word: str) -> None:
    row = only_check(status=status)
    assert (row.symbol, row.status_text) == (symbol, word)


@pytest.mark.parametrize("field", ["observed", "low", "high", "limit"])
def test_page_is_refused_when_a_check_is_not_finite(field: str) -> None:
    numbers = {"observed": 0.5, "low": 0.4, "high": 0.6, "limit": 0.1, field: math.nan}
    with pytest.raises(ValueError, match="finite"):
        only_check(**numbers)


@pytest.mark.parametrize("errors", [0, 3])
def test_changes_list_exactly_the_wins_and_losses_of_each_comparison(errors: int) -> None:
    record = make_record("hold", errors=errors)
    page = build_page(record)
    assert [change.baseline for change in page.changes] == list(BASELINES)
    overall = [comparison for comparison in record.comparisons if comparison.tag is None]
    for change, comparison in zip(page.changes, overall, strict=True):
        assert (len(change.better), len(change.worse)) == (comparison.wins, comparison.losses)


def test_a_changed_example_carries_input_reference_and_both_answers() -> None:
    record = make_record("hold")
    page = build_page(record)
    change = page.changes[-1]
    row = change.worse[0]
    example = next(example for example in record.examples["test"] if example.id == row.id)
    answer, theirs = row.answers[0], row.answers[change.system]
    assert answer is not None and theirs is not None
    assert row.input == example.messages[0].content
    assert row.reference == example.target == theirs.text
    assert (answer.right, theirs.right, theirs.outcome) == (False, True, "worse")


def test_a_missing_answer_counts_as_wrong_and_says_why() -> None:
    page = build_page(make_record(errors=1))
    answer = page.examples.rows[0].answers[0]
    assert answer is not None
    assert (answer.failed, answer.right, answer.text) == (True, None, "")
    assert answer.problem == "no answer: timed out after 30 s"
    assert answer.scores == ("–", "–", "–")
    assert page.comparisons[0].imputed == "1 missing score counted against the candidate"


def test_examples_keep_the_test_set_first_and_the_candidate_first() -> None:
    examples = build_page(make_record(rows=10, probes=5)).examples
    assert examples.systems == (CANDIDATE, *BASELINES)
    assert examples.datasets == ("test", "probe")
    assert examples.headlines == ("exact_match", "schema_valid")
    assert [row.dataset for row in examples.rows] == ["test"] * 10 + ["probe"] * 5
    assert examples.rows[10].answers[1:] == (None,) * 4
    assert examples.tags == ("plain", "shifted")


def test_turns_are_named_when_an_input_has_several() -> None:
    record = make_record(rows=2, probes=1)
    first = record.examples["test"][0]
    turns = (dataclasses.replace(first.messages[0], role="system", content="Be brief."), *first.messages)
    tests = (dataclasses.replace(first, messages=turns), *record.examples["test"][1:])
    page = build_page(dataclasses.replace(record, examples={**record.examples, "test": tests}))
    assert page.examples.rows[0].input == f"system: Be brief.\n\nuser: {first.messages[0].content}"


def test_scores_have_a_cell_only_where_something_was_measured() -> None:
    page = build_page(make_record())
    assert [(column.scorer, column.dataset) for column in page.arms.columns] == [
        ("exact_match", "test"),
        ("schema_valid", "test"),
        ("schema_valid", "probe"),
    ]
    candidate, prompt_only, absent = page.arms.rows[0], page.arms.rows[1], page.arms.rows[-1]
    assert candidate.is_candidate and candidate.scores[2] is not None and candidate.scores[2].value == "99.5 %"
    assert prompt_only.scores[2] is None
    assert absent.scores == (None, None, None)


def test_scores_that_the_arm_table_leaves_out_have_a_table_of_their_own() -> None:
    table = build_page(priced(make_record())).scores
    assert [(column.scorer, column.dataset) for column in table.columns] == [("rouge_l", "test")]
    assert [row.system for row in table.rows] == [
        CANDIDATE, "prompt-only", "grammar", "engineered", "few-shot", "previous", "hosted",
    ]  # fmt: skip
    rouge = table.rows[0].cells[0]
    assert rouge is not None and rouge.bar is None and "%" not in rouge.value


def test_tags_get_tables_of_their_own() -> None:
    tables = build_page(make_record()).tag_scores
    assert [(table.title, table.columns[0].n) for table in tables] == [("shifted", "30"), ("plain", "90")]


def test_an_absent_system_is_said_and_never_dropped() -> None:
    arms = build_page(make_record()).arms
    assert [arm.name for arm in arms.rows] == [CANDIDATE, *BASELINES, "smaller-model"]
    assert arms.rows[-1].absent and set(arms.rows[-1].use) == {"–"}
    assert arms.notes == ("smaller-model: absent: no weights in the local folder",)


def test_arms_count_errors_and_cut_off_answers() -> None:
    record = make_record(errors=2)
    cut = sum(row.stop == "length" for row in record.predictions if row.system == "prompt-only")
    table = build_page(record).arms
    arms = {arm.name: dict(zip(table.uses, arm.use, strict=True)) for arm in table.rows}
    assert cut > 0
    assert (arms[CANDIDATE]["Errors"], arms[CANDIDATE]["Cut off"]) == ("2 of 120", "0")
    assert (arms["prompt-only"]["Errors"], arms["prompt-only"]["Cut off"]) == ("0", f"{cut} of 120")


def test_a_constrained_arm_stands_below_the_arm_it_constrains_with_both_validities() -> None:
    table = build_page(priced(make_record())).arms
    validity = [column.scorer for column in table.columns].index("schema_valid")
    free, held = table.rows[1:3]
    assert (free.name, held.name, held.kind) == ("prompt-only", "grammar", "constrained over prompt-only")
    assert free.scores[validity] is not None and held.scores[validity] is not None


def test_arms_show_what_a_request_takes_and_costs() -> None:
    table = build_page(priced(make_record())).arms
    assert table.uses == (
        "Prompt tokens", "Output tokens", "Seconds", "Cost of 1,000 (EUR)", "Errors", "Cut off",
    )  # fmt: skip
    use = {arm.name: arm.use for arm in table.rows}
    assert use[CANDIDATE][:4] == ("80.0", "14.0", "0.210", "0.0583")
    assert use["hosted"][:4] == ("1,234", "14.0", "1.85", "0.312")
    assert table.notes[0] == "hosted: 2 requests repeated"
    assert table.notes[-1].endswith("held to the JSON Schema while it answers; prompt-only answers freely.")


def test_costs_have_no_column_when_none_is_known() -> None:
    assert not [heading for heading in build_page(make_record()).arms.uses if "Cost" in heading]


def test_use_is_not_shown_as_zero_when_it_is_not_known() -> None:
    record = priced(make_record())
    hosted = dataclasses.replace(record.arms[-1], prompt_tokens=None, output_tokens=None, cost=None, uncounted=3)
    table = build_page(dataclasses.replace(record, arms=(*record.arms[:-1], hosted))).arms
    assert table.rows[-2].name == "hosted" and table.rows[-2].use[:4] == ("–", "–", "1.85", "–")


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (
            BreakEven(endpoint="hosted", requests=1440, training_cost=3.6, saving=2.5),
            "Break-even against hosted: 1,440 requests. 1,000 of them save 2.50 EUR, the training cost 3.60 EUR; "
            "a machine that waits is not counted.",
        ),
        (
            BreakEven(endpoint="hosted", requests=None, training_cost=3.6, saving=-0.1),
            "Break-even against hosted: never, since the candidate's requests are not cheaper.",
        ),
        (
            BreakEven(endpoint="hosted", requests=None, training_cost=None, saving=2.5, unknown="nothing was trained"),
            "Break-even against hosted: not known, since nothing was trained.",
        ),
    ],
)
def test_break_even_is_told_with_its_numbers_or_why_there_is_none(found: BreakEven, line: str) -> None:
    record = dataclasses.replace(priced(make_record(rows=4, probes=2)), break_even=(found,))
    assert build_page(record).arms.break_even == (line,)


def test_benchmark_counts_right_answers_by_subject() -> None:
    record = make_record()
    (view,) = build_page(record).benchmarks
    outcomes = record.benchmarks[0].outcomes
    right = sum(outcome.correct for outcome in outcomes if outcome.subject == "food")
    food = next(row for row in view.subjects if row.subject == "food")
    assert view.systems == (CANDIDATE, "base model")
    assert view.chance == "25.0 %"
    assert food.cells[0] == f"{right} of 40"
    assert [row.cells[0].value for row in view.accuracy.rows if row.cells[0]] == ["71.0 %", "72.5 %"]


def test_training_marks_the_best_and_the_stopping_step() -> None:
    training = build_page(make_record()).training
    assert training is not None and training.curve is not None
    assert training.sentence == (
        "Stopped early at step 90 (2 measurements without a gain of more than 0 nats); "
        "the checkpoint of step 75 was kept."
    )
    assert training.curve.best_text == "best: step 75 (0.1384)"
    assert training.curve.stop_text == "stopped: step 90"
    assert {row.step: row.mark for row in training.rows if row.mark} == {"75": "best", "90": "stopped"}
    facts = {fact.label: fact.value for fact in training.facts}
    assert facts["Trainable parameters"] == "4,884,480 of 139,399,488 (3.5 %)"


def test_losses_that_are_not_finite_are_said_and_not_drawn_when_training_diverged() -> None:
    training = build_page(diverged(make_record("hold"))).training
    assert training is not None and training.curve is not None
    assert training.sentence == "Training diverged: the validation loss was not finite at step 20."
    assert max(step for step, _ in training.curve.validation) == 15
    assert training.rows[-1].validation == "not finite"
    assert {fact.label: fact.value for fact in training.facts}["Weights"] == "not finite"


def test_training_is_left_out_when_the_adapter_came_from_elsewhere() -> None:
    page = build_page(make_record(trained=False))
    assert page.training is None
    assert {fact.label: fact.value for fact in page.trust}["Truncated"] == "not trained here"


def test_identity_names_commit_digests_overrides_and_cost() -> None:
    page = build_page(make_record())
    groups = {group.title: {fact.label: fact.value for fact in group.facts} for group in page.identity}
    assert groups["Run"]["Commit"].endswith("abc with uncommitted changes")
    assert groups["Digests"]["adapter:candidate"] == "sha256:" + "ef56" * 16
    assert groups["Overrides"] == {"seed": "17"}
    assert groups["Cost"]["Trained tokens"] == "38,912"
    assert groups["Data sets"] == {"test": "120 examples", "probe": "200 examples"}
    assert page.command == "harness run suites/ticket-triage --set seed=17"


def test_page_is_built_when_nothing_was_compared_scored_or_checked() -> None:
    record = make_record(trained=False, rows=2, probes=1)
    bare = dataclasses.replace(
        with_checks(record),
        predictions=(),
        scores=(),
        summaries=(),
        comparisons=(),
        benchmarks=(),
        benchmark_summaries=(),
        liveness=None,
        schema_problems=(),
        lengths=(),
    )
    page = build_page(bare)
    assert (page.checks, page.closest, page.examples.rows, page.scores.rows) == ((), "", (), ())
    assert all(not change.better and not change.worse for change in page.changes)


def test_every_string_of_a_page_is_clean_when_every_text_is_hostile() -> None:
    for payload in PAYLOADS:
        page: Page = build_page(poisoned(complete(priced(make_record("hold", rows=6, probes=3, errors=1))), payload))
        for text in texts(page):
            assert not any(ord(char) < 32 and char not in "\n\t" for char in text)
            assert not any(0x7F <= ord(char) <= 0x9F or 0xD800 <= ord(char) <= 0xDFFF for char in text)
            assert not set(text) & {"\ufffe", "\uffff", "\u202e", "\u2066", "\u200b", "\ufeff"}


def test_scores_of_other_values_are_neither_right_nor_wrong() -> None:
    record = make_record(rows=2, probes=1)
    scores = tuple(
        dataclasses.replace(item, result=Score(0.5)) if item.scorer == "exact_match" else item for item in record.scores
    )
    answer = build_page(dataclasses.replace(record, scores=scores)).examples.rows[0].answers[0]
    assert answer is not None and answer.right is None and not answer.failed
