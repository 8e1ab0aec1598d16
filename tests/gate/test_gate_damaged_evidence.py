"""Evidence that lacks something, has it twice or under another id is broken: nothing is decided on the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from evidence_factory import SUITE, Fixture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.assembly import assemble_evidence
from harness.errors import BrokenRunError
from harness.findings import Verdict
from harness.gate.verdict import decide
from harness.records import BenchmarkResult, Prediction
from harness.store.runs import StoredRun, read_run
from harness.suite.load import parse_suite

SMALL = Fixture(
    suite_text=SUITE.replace("bar: 99.5%", "bar: 90%"),
    n_test=20,
    n_probe=30,
    questions=200,
)


@pytest.fixture(scope="module")
def shipping(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run that ships, read back; what is done to it below is done in memory."""
    run = read_run(SMALL.write(tmp_path_factory.mktemp("runs") / "run"))
    assert judge(run).decision == "ship"
    return run


def judge(run: StoredRun) -> Verdict:
    suite = parse_suite(run.suite_text, run.folder / "suite.yaml", {}, files=False).suite
    _, evidence = assemble_evidence(run, suite)
    return decide(suite, evidence)


def in_answers(change: Callable[[list[Prediction], int], list[Prediction]]) -> Callable[[StoredRun, int], StoredRun]:
    def damage(run: StoredRun, place: int) -> StoredRun:
        rows = list(run.predictions)
        return replace(run, predictions=tuple(change(rows, place % len(rows))))

    return damage


def in_questions(
    system: int, change: Callable[[BenchmarkResult, int], BenchmarkResult]
) -> Callable[[StoredRun, int], StoredRun]:
    def damage(run: StoredRun, place: int) -> StoredRun:
        results = list(run.benchmarks)
        results[system] = change(results[system], place % len(results[system].outcomes))
        return replace(run, benchmarks=tuple(results))

    return damage


def drop_question(result: BenchmarkResult, place: int) -> BenchmarkResult:
    return replace(result, outcomes=result.outcomes[:place] + result.outcomes[place + 1 :])


def repeat_question(result: BenchmarkResult, place: int) -> BenchmarkResult:
    return replace(result, outcomes=(*result.outcomes, result.outcomes[place]))


def rename_question(result: BenchmarkResult, place: int) -> BenchmarkResult:
    renamed = replace(result.outcomes[place], question_id="elsewhere")
    return replace(result, outcomes=(*result.outcomes[:place], renamed, *result.outcomes[place + 1 :]))


def drop_arm(rows: list[Prediction], place: int) -> list[Prediction]:
    gone = (rows[place].system, rows[place].dataset)
    return [row for row in rows if (row.system, row.dataset) != gone]


def drop_example(run: StoredRun, place: int) -> StoredRun:
    rows = run.examples["test"]
    place %= len(rows)
    return replace(run, examples={**run.examples, "test": rows[:place] + rows[place + 1 :]})


def unplan_arm(run: StoredRun, place: int) -> StoredRun:
    """Leave an arm out of the answers and of the plan alike."""
    arm = sorted(run.manifest.planned)[place % len(run.manifest.planned)]
    planned = {name: count for name, count in run.manifest.planned.items() if name != arm}
    rows = tuple(row for row in run.predictions if f"{row.system}/{row.dataset}" != arm)
    return replace(run, predictions=rows, manifest=replace(run.manifest, planned=planned))


def say_absent(run: StoredRun, place: int) -> StoredRun:
    manifest = replace(run.manifest, absent_systems={"bare": "it was not needed"})
    return replace(run, manifest=manifest)


DAMAGES: dict[str, Callable[[StoredRun, int], StoredRun]] = {
    "an answer is missing": in_answers(lambda rows, i: rows[:i] + rows[i + 1 :]),
    "an answer is there twice": in_answers(lambda rows, i: [*rows, rows[i]]),
    "an answer has another id": in_answers(
        lambda rows, i: [*rows[:i], replace(rows[i], example_id="elsewhere"), *rows[i + 1 :]]
    ),
    "an answer is in another arm": in_answers(
        lambda rows, i: [*rows[:i], replace(rows[i], system="nobody"), *rows[i + 1 :]]
    ),
    "the answers of an arm are missing": in_answers(drop_arm),
    "an arm is missing from the plan too": unplan_arm,
    "the baseline is said to be absent": say_absent,
    "an example is missing": drop_example,
    "the base model lacks a question": in_questions(0, drop_question),
    "the candidate lacks a question": in_questions(1, drop_question),
    "the base model answered a question twice": in_questions(0, repeat_question),
    "the candidate answered a question twice": in_questions(1, repeat_question),
    "the base model answered another question": in_questions(0, rename_question),
    "the candidate answered another question": in_questions(1, rename_question),
    "a benchmark arm is missing": lambda run, i: replace(run, benchmarks=(run.benchmarks[i % 2],)),
}


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("damage", DAMAGES)
@given(place=st.integers(0, 1000))
def test_a_run_is_broken_when(damage: str, shipping: StoredRun, place: int) -> None:
    with pytest.raises(BrokenRunError):
        judge(DAMAGES[damage](shipping, place))
