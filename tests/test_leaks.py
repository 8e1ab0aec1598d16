"""Leaks that no split refuses: found before a run, kept as evidence, and told by the judge beside the full scores."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from evidence_factory import SUITE, Fixture
from plain_suite import SUITE as PLAIN
from plain_suite import write_plain_suite
from planted_suite import prompts, write_rows

from harness.cli.main import main
from harness.errors import BrokenRunError, EvidenceRefusedError, InvalidInputError
from harness.findings import RunRecord
from harness.judge import judge_run
from harness.leak_search import among_answered, search_leaks
from harness.prepare import Inputs, read_inputs
from harness.progress import SilentProgress
from harness.records import LeakedExample, LeakSearch, Score
from harness.store.facts import read_record
from harness.store.runs import read_run
from harness.suite.load import load_suite

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TEST, TRAIN, GENERAL = prompts(12, 1, words=18), prompts(120, 2), prompts(60, 3)
CONTAINED = f"Hello. {TEST[3]} Many thanks and kind regards"
NEAR = TEST[5].replace(TEST[5].split()[4], "zebra")
MIXED = PLAIN.replace("test: test.jsonl", "test: test.jsonl, mix: {from: mix.jsonl, share: 30%}")


def rows(texts: list[str]) -> list[dict[str, Any]]:
    return [{"id": f"row {place}", "prompt": text, "completion": f'"x{place % 2}"'} for place, text in enumerate(texts)]


def inputs_of(project: Path, train: list[str], *, suite: str = PLAIN, general: list[str] = GENERAL) -> Inputs:
    """A suite with these training rows; whatever is not asked for has nothing to find."""
    folder = write_plain_suite(project, text=suite)
    for name, texts in (("test", TEST), ("train", train), ("mix", general), ("other", TRAIN)):
        write_rows(folder / f"{name}.jsonl", rows(texts))
    return read_inputs(load_suite(folder), registry=project / "baselines")


class Heard(SilentProgress):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_disguised_leaks_are_found_with_both_places_and_told_before_the_training(tmp_path: Path) -> None:
    heard = Heard()
    found = search_leaks(inputs_of(tmp_path, [*TRAIN, CONTAINED, NEAR]), heard)
    assert found.compared == 122
    assert [(leak.example_id, leak.source, leak.twin, leak.kind, leak.is_sure) for leak in found.leaks] == [
        ("row 3", "test.jsonl:4", "train.jsonl:121", "contained", True),
        ("row 5", "test.jsonl:6", "train.jsonl:122", "near copy", False),
    ]
    assert 0.5 < found.leaks[1].similarity < 1
    assert heard.lines == [
        "leakage: 2 of 12 test rows stand among the training rows (first: row 3, contained, train.jsonl:121); "
        "harness lint tells each; a gain must be shown on the rest too"
    ]


def test_nothing_is_found_or_told_when_the_rows_are_clean(tmp_path: Path) -> None:
    heard = Heard()
    assert search_leaks(inputs_of(tmp_path, TRAIN), heard) == LeakSearch(compared=120, leaks=())
    assert heard.lines == []


def test_leaks_that_a_run_refuses_stay_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"test\.jsonl:4: this test prompt also stands in train"):
        inputs_of(tmp_path, [*TRAIN, f"  {TEST[3].upper()}!"])


def test_general_rows_count_where_they_are_mixed_into_the_training(tmp_path: Path) -> None:
    general = [CONTAINED, *GENERAL]
    found = search_leaks(inputs_of(tmp_path / "a", TRAIN, suite=MIXED, general=general), SilentProgress())
    drawn = inputs_of(tmp_path / "b", TRAIN, suite=MIXED, general=general).mix
    assert found.compared == 120 + len(drawn)
    assert [leak.twin for leak in found.leaks] == [row.source for row in drawn if row.source == "mix.jsonl:1"]
    assert found.leaks, "the seed of the suite draws the row that is looked for"


def test_a_candidate_learns_from_its_own_rows_where_it_has_some(tmp_path: Path) -> None:
    suite = PLAIN.replace("{learning_rate: 2e-4}", "{learning_rate: 2e-4, rows: other.jsonl}")
    found = search_leaks(inputs_of(tmp_path, [*TRAIN, CONTAINED], suite=suite), SilentProgress())
    # The labelled rows, in which the leak is, are not what it learns from.
    assert found.compared == 120


def trained_elsewhere(inputs: Inputs) -> Inputs:
    """The same with a candidate that comes from a folder, which has no training here."""
    return replace(inputs, datasets=replace(inputs.datasets, trainings={}))


def test_the_suites_own_rows_are_compared_where_the_adapter_comes_from_elsewhere(tmp_path: Path) -> None:
    found = search_leaks(trained_elsewhere(inputs_of(tmp_path, [*TRAIN, CONTAINED])), SilentProgress())
    assert found.compared == 121
    assert [leak.twin for leak in found.leaks] == ["train.jsonl:121"]


def test_nothing_is_compared_where_the_suite_has_no_training_rows(tmp_path: Path) -> None:
    inputs = trained_elsewhere(inputs_of(tmp_path, TRAIN))
    without = replace(inputs, datasets=replace(inputs.datasets, train=(), validation=()))
    assert search_leaks(without, SilentProgress()) == LeakSearch(compared=0, leaks=())


def test_only_leaks_of_answered_examples_are_kept_where_a_run_stops_early(tmp_path: Path) -> None:
    inputs = inputs_of(tmp_path, [*TRAIN, CONTAINED, NEAR])
    found = search_leaks(inputs, SilentProgress())
    kept = among_answered(found, inputs.datasets.test[:5])
    assert [leak.example_id for leak in kept.leaks] == ["row 3"]
    assert kept.compared == found.compared


# --- the judge -------------------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {"n_test": 40, "n_probe": 600, "questions": 1000}


def leak(place: int) -> LeakedExample:
    return LeakedExample(
        example_id=f"test-{place}",
        source="",
        twin=f"train.jsonl:{place + 1}",
        kind="contained",
        similarity=1.0,
        is_sure=True,
    )


def few_wins(**changes: Any) -> Fixture:
    """The candidate is better on the first six examples alone, which shows a gain (p = 0.016)."""
    arms = {"candidate_right": lambda i: i % 2 == 0 or i < 12, "baseline_right": lambda i: i % 2 == 0}
    return Fixture(**SMALL, **arms, **changes)


def record_of(folder: Path, fixture: Fixture) -> RunRecord:
    return judge_run(fixture.write(folder), lambda: NOW).record


def test_a_run_without_leaks_has_no_clean_subset(tmp_path: Path) -> None:
    record = record_of(tmp_path / "run", few_wins())
    assert record.leaks == LeakSearch(compared=120, leaks=())
    assert record.clean is None
    assert record.verdict.decision == "ship"


def test_scores_and_gains_on_the_clean_subset_are_those_of_the_other_rows(tmp_path: Path) -> None:
    record = record_of(tmp_path / "run", few_wins(leaks=(leak(1), leak(2))))
    assert record.clean is not None
    assert (record.clean.n, record.clean.scorer) == (38, "exact_match")
    for summary in record.clean.summaries:
        values = [
            item.result.value
            for item in record.scores
            if (item.system, item.dataset, item.scorer) == (summary.system, "test", "exact_match")
            and item.example_id not in {"test-1", "test-2"}
            and isinstance(item.result, Score)
        ]
        assert (summary.estimate.n, summary.estimate.value) == (38, sum(values) / 38)
        assert (summary.dataset, summary.tag, summary.unscored) == ("test", None, 0)
    assert [summary.system for summary in record.clean.summaries] == ["candidate", "bare"]
    (gain,) = record.clean.comparisons
    assert (gain.baseline, gain.n, gain.wins, gain.losses) == ("bare", 38, 5, 0)
    whole = next(item for item in record.comparisons if item.tag is None)
    assert (whole.n, whole.wins) == (40, 6)


def test_a_corpus_metric_is_computed_anew_on_the_clean_subset(tmp_path: Path) -> None:
    suite = SUITE.replace("scorer: exact_match", "scorer: macro_f1")
    record = record_of(tmp_path / "run", few_wins(suite_text=suite, leaks=tuple(leak(place) for place in range(12))))
    assert record.clean is not None and record.clean.scorer == "macro_f1"
    ours = next(item for item in record.clean.summaries if item.system == "candidate")
    theirs = next(item for item in record.clean.summaries if item.system == "bare")
    # Off the leaked rows both give the same answers.
    assert ours.estimate == replace(theirs.estimate)
    assert record.clean.comparisons[0].delta.value == 0


def test_a_gain_that_rests_on_leaked_rows_is_undecided_in_the_verdict_and_every_report(tmp_path: Path) -> None:
    record = record_of(tmp_path / "run", few_wins(leaks=(leak(1), leak(3), leak(5))))
    assert record.verdict.decision == "undecided"
    for name in ("verdict.json", "summary.md", "report.html", "junit.xml"):
        text = (tmp_path / "run" / name).read_text(encoding="utf-8").replace("\\", "")
        assert "3 of its 40 test rows were found among the training rows (3 for sure), and on the 37 others: " in text
        assert "write the rows that leaks.json names anew" in text


def test_disguised_leaks_end_undecided_from_the_planted_rows_to_the_exit_code(tmp_path: Path) -> None:
    found = search_leaks(inputs_of(tmp_path, [*TRAIN, CONTAINED, NEAR]), SilentProgress()).leaks
    planted = tuple(replace(leak, example_id=leak.example_id.replace("row ", "test-")) for leak in found)
    folder = few_wins(leaks=planted).write(tmp_path / "run")
    result = CliRunner().invoke(main, ["gate", str(folder)])
    assert result.exit_code == 4, result.output
    told = " ".join(result.stdout.split())
    assert "2 of its 40 test rows were found among the training rows (1 for sure), and on the 38 others: " in told
    accepted = ["--accept-undecided", "better_than/exact_match/bare", "--reason", "both were looked at"]
    result = CliRunner().invoke(main, ["gate", str(folder), *accepted])
    assert result.exit_code == 0, result.output
    assert "was undecided and accepted: both were looked at" in " ".join(result.stdout.split())


@pytest.mark.parametrize("scorer", ["macro_f1", "bleu", "chrf"])
def test_two_clean_rows_of_a_corpus_metric_show_no_gain_and_are_no_error(tmp_path: Path, scorer: str) -> None:
    suite = SUITE.replace("scorer: exact_match", f"scorer: {scorer}")
    right = {"candidate_right": lambda i: True, "baseline_right": lambda i: False}
    fixture = Fixture(**SMALL, **right, suite_text=suite, leaks=tuple(leak(place) for place in range(38)))
    assert record_of(tmp_path / "clean", replace(fixture, leaks=())).verdict.decision == "ship"
    record = record_of(tmp_path / "run", fixture)
    assert record.verdict.decision == "undecided"
    assert "and on the 2 others: " in record.verdict.checks[0].reason


def test_the_clean_subset_may_be_empty(tmp_path: Path) -> None:
    record = record_of(tmp_path / "run", few_wins(leaks=tuple(leak(place) for place in range(40))))
    assert record.clean is not None
    assert (record.clean.n, record.clean.summaries, record.clean.comparisons) == (0, (), ())
    assert record.verdict.checks[0].reason.endswith("and with 0 left it cannot be shown")


def test_a_system_whose_clean_answers_all_failed_has_no_clean_score(tmp_path: Path) -> None:
    def failing(found: list[Any]) -> list[Any]:
        return [
            replace(row, text="", stop="error", error="timed out")
            if (row.system, row.dataset) == ("bare", "test") and row.example_id != "test-1"
            else row
            for row in found
        ]

    record = record_of(tmp_path / "run", few_wins(leaks=(leak(1),), edit_predictions=failing))
    assert record.clean is not None
    assert [summary.system for summary in record.clean.summaries] == ["candidate"]
    assert record.clean.comparisons[0].imputed == 39


def test_leaks_are_bound_by_the_manifest(tmp_path: Path) -> None:
    folder = few_wins(leaks=(leak(1),)).write(tmp_path / "run")
    assert read_record(LeakSearch, folder / "leaks.json") == read_run(folder).leaks
    (folder / "leaks.json").write_text('{"compared": 120, "leaks": []}')
    with pytest.raises(EvidenceRefusedError, match=r"leaks\.json: changed since the run"):
        judge_run(folder, lambda: NOW)
    (folder / "leaks.json").unlink()
    with pytest.raises(EvidenceRefusedError, match=r"leaks\.json: missing"):
        judge_run(folder, lambda: NOW)


def test_a_leak_of_an_example_that_there_is_not_is_broken_evidence(tmp_path: Path) -> None:
    with pytest.raises(BrokenRunError, match="'test-99' is not in the test set"):
        record_of(tmp_path / "run", few_wins(leaks=(leak(99),)))
