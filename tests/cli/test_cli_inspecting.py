"""`harness show`, `explain` and `export` look into a judged run."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from evidence_factory import SUITE, Fixture
from stored_verdict import own_part
from test_cli_imports import HEAVY, modules_after

from harness.cli.main import main
from harness.records import BenchmarkResult, Prediction, Preference, RunManifest
from harness.report.methods import describe_method
from harness.stats.drift import mean_against
from harness.stats.noninferiority import absolute_noninferiority, relative_noninferiority
from harness.stats.paired import compare_corpus, compare_paired
from harness.stats.seeds import compare_over_seeds
from harness.stats.sequential import BettingTest
from harness.store.facts import read_record
from harness.store.runs import MANIFEST, finish_run

GAIN = "better_than/exact_match/bare"


def harness(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def facts(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def judged(folder: Path, **changes: Any) -> Path:
    sizes = {"n_test": 40, "n_probe": 30, "questions": 200}
    run = Fixture(**{**sizes, **changes}).write(folder)
    assert harness("gate", run).exit_code in (0, 3, 4)
    return run


def edited(key: str, **changes: Any) -> Callable[[list[Prediction]], list[Prediction]]:
    """The candidate's answer to one example, changed."""

    def edit(rows: list[Prediction]) -> list[Prediction]:
        return [replace(r, **changes) if (r.example_id, r.system) == (key, "candidate") else r for r in rows]

    return edit


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 test examples: the candidate fails on every tenth, the baseline on every odd one; test-3 timed out."""
    timed_out = edited("test-3", text="", stop="error", error="timed out")
    return judged(
        tmp_path_factory.mktemp("inspect") / "run",
        suite_text=SUITE + "statistics: {max_unscored: 5%}\n",
        edit_predictions=timed_out,
        invalid_probes=1,
        n_probe=600,
    )


# show


def test_an_example_is_shown_with_every_arms_answer_and_scores(run: Path) -> None:
    result = harness("show", run, "test-11")
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "test-11 in test of run run\n"
        "tags: odd\n"
        "\nuser:\n    ask test-11\n"
        '\nreference:\n    {"label":"b"}\n'
        '\ncandidate: exact_match 1, schema_valid 1, field_f1 1\n    {"label":"b"}\n'
        '\nbare: exact_match 0, schema_valid 1, field_f1 0\n    {"label":"a"}\n'
    )


def test_an_answer_that_failed_says_why_it_has_no_score(run: Path) -> None:
    text = harness("show", run, "test-3").stdout
    assert "candidate: exact_match not scored (no answer: timed out)" in text
    assert "    (no answer: timed out)" in text
    (found,) = facts(harness("show", run, "test-3", "--json"))["examples"]
    assert (found["run_id"], found["dataset"], found["example"]["id"]) == ("run", "test", "test-3")
    assert [arm["system"] for arm in found["arms"]] == ["candidate", "bare"]
    assert found["arms"][0]["scores"]["exact_match"] == {"reason": "no answer: timed out"}
    assert found["arms"][0]["answers"][0]["error"] == "timed out"


def test_the_start_of_an_id_is_enough_when_no_other_has_it(run: Path) -> None:
    assert harness("show", run, "probe-598").stdout.startswith("probe-598 in probe of run run\n")
    assert "test-5" in harness("show", run, "test-5").stdout, "a whole id is no start of another"
    several = harness("show", run, "test-")
    assert several.exit_code == 2
    assert "40 examples start with 'test-':\n  test-0\n" in several.output
    assert several.output.endswith("  and 30 more\n")


@pytest.mark.parametrize(
    ("wanted", "close"), [("tset-12", "  test-12\n"), ("12", "  test-12\n"), ("zzz", "  test-0\n")]
)
def test_an_unknown_id_is_refused_with_those_that_come_close(run: Path, wanted: str, close: str) -> None:
    result = harness("show", run, wanted)
    assert result.exit_code == 2
    assert f"there is no example '{wanted}'" in result.output and close in result.output


def test_every_sample_of_an_answer_is_shown(tmp_path: Path) -> None:
    def sampled(rows: list[Prediction]) -> list[Prediction]:
        return [replace(row, sample=k) for row in rows for k in ((0, 1) if row.dataset == "test" else (0,))]

    suite = SUITE + "decoding: {temperature: 0.7, samples: 2}\n"
    sizes = {"n_test": 20, "n_probe": 30, "questions": 40}
    folder = Fixture(suite_text=suite, edit_predictions=sampled, **sizes).write(tmp_path / "run")
    manifest = read_record(RunManifest, folder / MANIFEST)
    planned = {name: count * (2 if name.endswith("/test") else 1) for name, count in manifest.planned.items()}
    finish_run(folder, replace(manifest, planned=planned))
    assert harness("gate", folder).exit_code in (0, 3, 4)
    assert harness("show", folder, "test-1").stdout.count('    {"label":"a"}\n') == 3, "once as the reference"


def test_what_a_model_wrote_is_shown_harmless_and_what_was_cut_off_says_so(tmp_path: Path) -> None:
    hostile = edited("test-1", text="\x1b[31mred\u202e\n\nlast", stop="length")
    text = harness("show", judged(tmp_path / "run", edit_predictions=hostile), "test-1").stdout
    assert "    ␛[31mred⟨U+202E⟩\n    \n    last\n    (cut off at the token limit)\n" in text


def test_a_suite_stands_for_its_last_run(tmp_path: Path) -> None:
    suite = tmp_path / "suites" / "fixture"
    suite.mkdir(parents=True)
    (tmp_path / "baselines").mkdir()
    (suite / "suite.yaml").write_text(SUITE)
    for name in ("train.jsonl", "test.jsonl", "probe.jsonl", "schema.json"):
        (suite / name).write_text("{}")
    none = harness("show", suite, "test-1")
    assert (none.exit_code, "no finished run of this suite" in none.output) == (2, True)
    for day in (1, 2):
        judged(tmp_path / "reports" / "fixture" / f"2026010{day}-120000-abcdef")
    for path in (suite, suite / "suite.yaml"):
        assert "of run 20260102-120000-abcdef" in harness("show", path, "test-1").stdout
    for path in (tmp_path / "reports" / "fixture", tmp_path / "reports" / "fixture" / "20260102"):
        unlike = harness("show", path, "test-1")
        assert unlike.exit_code == 2
        assert "neither a run folder" in unlike.output and "fixture/20260102-120000-abcdef\n" in unlike.output


def test_a_run_that_is_not_judged_or_changed_is_refused(run: Path, tmp_path: Path) -> None:
    unjudged = Fixture(n_test=20, n_probe=5, questions=8).write(tmp_path / "unjudged")
    for command in (("show", "test-1"), ("explain", GAIN)):
        result = harness(command[0], unjudged, command[1])
        assert (result.exit_code, f"`harness gate {unjudged}` judges it" in result.output) == (2, True)
    assert harness("export", unjudged, "--output", tmp_path / "x.csv").exit_code == 2
    changed = shutil.copytree(run, tmp_path / "changed")
    (changed / "predictions.jsonl").write_text("")
    assert harness("show", changed, "test-1").exit_code == 5
    damaged = shutil.copytree(run, tmp_path / "damaged")
    (damaged / "scores.jsonl").write_text('{"example_id": "test-1"\n')
    assert harness("show", damaged, "test-1").exit_code == 1


# explain


def explained(run: Path, check: str) -> dict[str, Any]:
    (found,) = facts(harness("explain", run, check, "--json"))["checks"]
    assert isinstance(found, dict)
    return found


def test_a_gain_is_explained_from_the_stored_verdict(run: Path) -> None:
    stored = {c["name"]: c for c in own_part(run)["checks"]}
    found = explained(run, "better")
    assert found["check"] == stored[GAIN]
    assert found["declared"]["scorer"] == "exact_match"
    assert (found["items"], found["worse"]) == ("test examples", 4)
    worst = [(item["id"], item["change"], item["groups"]) for item in found["worst"]]
    assert worst == [(f"test-{i}", -1.0, []) for i in (0, 10, 20, 30)]
    odd = {"name": "odd", "n": 20, "better": 19, "worse": 0, "change": 0.95}
    assert found["slices"] == [odd], "the answer that timed out is no better than a wrong one"
    text = harness("explain", run, GAIN).stdout
    assert text.startswith(f"✓ pass: {GAIN} in run run\nasks: The candidate must beat each of these baselines")
    for line in ("needed: more than 0 points", "n: 40", "test: exact one-sided McNemar; Tango score interval"):
        assert f"\n{line}\n" in text
    assert f"found: {stored[GAIN]['reason']}" in text
    assert "what would settle it: nothing, it is decided" in text
    assert "what drives it: 4 test examples count against the candidate" in text
    assert "    odd: mean 0.95, 19 better and 0 worse of 20\n    test-0  −1\n" in text
    assert f"look at one: harness show {run} test-0\n" in text


def test_an_undecided_check_says_what_would_settle_it(run: Path) -> None:
    found = explained(run, "valid_output")
    assert (found["check"]["status"], found["items"], found["worse"]) == ("undecided", "probe examples", 1)
    assert [item["id"] for item in found["worst"]] == ["probe-0"]
    text = harness("explain", run, "valid_output").stdout
    assert f"what would settle it: {found['check']['needs']}\n" in text and "more" in found["check"]["needs"]


def test_a_lost_ability_is_explained_by_its_questions_and_subjects(tmp_path: Path) -> None:
    lost = judged(tmp_path / "run", tuned_correct=lambda i: i % 10 < 7 and i not in (2, 4, 1))
    found = explained(lost, "benchmark_drop")
    assert (found["items"], found["worse"]) == ("questions of general", 3)
    assert [item["id"] for item in found["worst"]] == ["q1", "q2", "q4"]
    assert [(s["name"], s["n"], s["worse"], s["change"]) for s in found["slices"]] == [
        ("second", 100, 2, -0.02),
        ("first", 100, 1, -0.01),
    ]
    assert "look at one" not in harness("explain", lost, "benchmark_drop").stdout, "questions are not kept as texts"


def with_checks(*declared: str) -> str:
    return SUITE + "".join(f"  - {check}\n" for check in declared)


def test_forgetting_is_explained_by_the_questions_and_rows_that_moved_most(tmp_path: Path) -> None:
    def less_sure(rows: list[BenchmarkResult]) -> list[BenchmarkResult]:
        first = replace(rows[1].outcomes[0], logprobs=(-2.0, -2.5, -3.0, -4.0))
        return [rows[0], replace(rows[1], outcomes=(first, *rows[1].outcomes[1:]))]

    checks = ("{kind: logprob_drop, benchmark: general}", "{kind: kl_divergence, prompts: general.jsonl}")
    run = judged(
        tmp_path / "run", suite_text=with_checks(*checks), edit_benchmarks=less_sure, drift=(0.01, 0.3, *[0.02] * 9)
    )
    logprob, divergence = explained(run, "logprob"), explained(run, "kl_divergence")
    assert [(item["id"], item["change"]) for item in logprob["worst"]] == [("q0", -1.0)]
    assert divergence["items"] == "rows of general.jsonl"
    assert [(item["id"], item["change"]) for item in divergence["worst"][:2]] == [("g1", -0.3), ("g2", -0.02)]


def test_gains_of_a_tag_and_over_seeds_are_explained_by_their_own_examples(tmp_path: Path) -> None:
    suite = with_checks(
        "{kind: better_than, name: tagged, tag: odd}",
        "{kind: better_than, name: either, require: any, blocking: false}",
        "{kind: recipe_better_than}",
    ).replace("{method: lora}", "{method: lora, seeds: 3}")
    always, never = (lambda i: True), (lambda i: False)
    run = judged(tmp_path / "run", suite_text=suite, candidate_right=always, replicas_right=(always, never))
    tagged = explained(run, "tagged")
    assert (tagged["declared"]["tag"], tagged["slices"][0]["n"], tagged["worse"]) == ("odd", 20, 0)
    recipe = explained(run, "recipe")
    assert recipe["worse"] == 20 and recipe["worst"][0]["id"] == "test-0"
    assert recipe["worst"][0]["change"] == pytest.approx(-1 / 3), "one of three trainings fails what the baseline knows"
    either = explained(run, "either/exact_match/any")
    assert (either["items"], either["declared"]["require"]) == ("", "any"), "what decides it is told by each baseline"


def test_a_preference_is_explained_by_what_the_judge_liked_least(tmp_path: Path) -> None:
    judge = "judges: {strict: {rubric: rubric.txt, base_url: 'http://localhost:1/v1', model: m}}\nchecks:"
    orders: list[tuple[Any, Any]] = [(1, 1)] * 37 + [(-1, -1), (-1, 0), (None, None)]
    preferences = [
        Preference(
            judge="strict",
            baseline="bare",
            example_id=f"test-{i}",
            shown_first=first,
            shown_second=second,
            error=None if first is not None else "no reply",
        )
        for i, (first, second) in enumerate(orders)
    ]
    suite = with_checks("{kind: preferred, judge: strict}").replace("checks:", judge)
    found = explained(judged(tmp_path / "run", suite_text=suite, preferences=tuple(preferences)), "preferred")
    assert [(item["id"], item["change"]) for item in found["worst"]] == [
        ("test-37", -1.0),
        ("test-39", -1.0),
        ("test-38", -0.5),
    ]


def test_two_checks_of_one_name_are_both_explained_by_their_own_declaration(tmp_path: Path) -> None:
    run = judged(tmp_path / "run", suite_text=with_checks("{kind: valid_output, on: test, bar: 50%}"))
    found = facts(harness("explain", run, "valid_output", "--json"))["checks"]
    assert [(item["declared"]["on"], item["items"], item["check"]["n"]) for item in found] == [
        ("probe", "probe examples", 30),
        ("test", "test examples", 40),
    ]


def test_checks_without_single_items_are_explained_in_words(run: Path) -> None:
    live, training = explained(run, "adapter_is_live"), explained(run, "healthy")
    assert live["declared"] == {} and "adapter without effect" in live["asks"]
    assert (training["items"], training["worst"], training["slices"]) == ("", [], [])
    assert "what drives it" not in harness("explain", run, "healthy_training").stdout


def test_a_baseline_that_took_no_part_has_nothing_to_show(tmp_path: Path) -> None:
    suite = SUITE.replace("  bare:", "  previous: {kind: adapter, role: baseline, from: promoted}\n  bare:").replace(
        "baselines: all", "baselines: [bare, previous]"
    )
    folder = Fixture(suite_text=suite, n_test=40, n_probe=30, questions=200).write(tmp_path / "run")
    manifest = read_record(RunManifest, folder / MANIFEST)
    finish_run(folder, replace(manifest, absent_systems={"previous": "nothing was promoted yet"}))
    assert harness("gate", folder).exit_code in (0, 3, 4)
    found = explained(folder, "better_than/exact_match/previous")
    assert (found["items"], found["check"]["status"]) == ("", "undecided")
    assert "did not take part: nothing was promoted yet" in harness("explain", folder, found["check"]["name"]).stdout


def test_an_unknown_check_is_refused_with_those_there_are(run: Path) -> None:
    result = harness("explain", run, "latency")
    assert result.exit_code == 2
    assert "there is no check 'latency'; there are:\n" in result.output and f"  {GAIN}\n" in result.output
    assert "close to it:\n  healthy_training\n" in harness("explain", run, "healthy_trainin_").output


def test_a_verdict_that_was_edited_or_is_of_another_run_is_refused(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    path = copy / "verdict.json"
    path.write_text(path.read_text().replace('"status":"undecided"', '"status":"pass"'))
    edited_verdict = harness("explain", copy, GAIN)
    assert (edited_verdict.exit_code, "changed since it was written" in edited_verdict.output) == (5, True)
    other = judged(tmp_path / "other")
    shutil.copy(other / "verdict.json", path)
    of_another = harness("explain", copy, GAIN)
    assert (of_another.exit_code, "about other evidence" in of_another.output) == (5, True)


# What a test does, in words

BINARY, OTHER = [1.0, 0.0, 1.0, 1.0] * 10, [0.0, 0.0, 1.0, 0.0] * 10
GRADED = [0.1 * (i % 7) for i in range(40)]
STRATA, WEIGHTS = ["a"] * 20 + ["b"] * 20, {"a": 0.9, "b": 0.1}


def _methods() -> list[str]:
    paired = {"alpha": 0.05, "seed": 0}
    corpus = np.array([BINARY, OTHER]).T
    clusters = [f"c{i // 4}" for i in range(40)]
    settings = {"margin": 0.05, "alpha": 0.05}
    return [
        compare_paired(BINARY, OTHER, min_gain=0.0, **paired).method,
        compare_paired(BINARY, OTHER, min_gain=0.1, mid_p=True, **paired).method,
        compare_paired(GRADED, OTHER, min_gain=0.0, **paired).method,
        compare_paired([x + 0.1 for x in GRADED], GRADED, min_gain=0.0, **paired).method,
        compare_paired(BINARY, OTHER, min_gain=0.0, clusters=clusters, **paired).method,
        compare_corpus(corpus, corpus[:, ::-1], lambda sums: sums[..., 0] / 40, **paired).method,
        compare_over_seeds([GRADED, OTHER, BINARY], **paired).method,
        relative_noninferiority(BINARY, OTHER, STRATA, WEIGHTS, **settings).method,
        absolute_noninferiority(BINARY, OTHER, STRATA, WEIGHTS, **settings).method,
        absolute_noninferiority(BINARY, OTHER, ["a"] * 40, {"a": 1.0}, **settings).method,
        mean_against(GRADED, bar=0.1, alpha=0.05, seed=0)[0].method,
        BettingTest(bar=0.5, low=0.0, high=1.0, alpha=0.05, n_planned=40).update(BINARY).method,
    ]


@pytest.mark.parametrize("method", _methods())
def test_every_test_of_the_gate_is_described(method: str) -> None:
    described = describe_method(method)
    assert described and all(sentence.endswith(".") for sentence in described)


def test_every_method_of_a_verdict_is_described(run: Path) -> None:
    checks = own_part(run)["checks"]
    assert all(describe_method(check["method"]) for check in checks)
    assert describe_method("exact one-sided McNemar; Tango score interval")[0].startswith("Only the examples that one")


# export


def test_every_format_holds_the_same_table(run: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / f"table.{name}" for name in ("csv", "jsonl", "parquet")}
    for path in files.values():
        found = facts(harness("export", run, "--output", path, "--json"))
        assert (found["output"], found["rows"]) == (str(path), 80)
    frames = [pd.read_csv(files["csv"]), pd.read_json(files["jsonl"], lines=True), pd.read_parquet(files["parquet"])]
    for frame in frames:
        assert list(frame.columns) == found["columns"]
        assert (frame["system"] == "candidate").sum() == 40
        failed = frame[(frame["example"] == "test-3") & (frame["system"] == "candidate")]
        assert failed["exact_match"].isna().all() and (failed["error"] == "timed out").all()
        assert frame.groupby("system")["exact_match"].sum().to_dict() == {"bare": 20.0, "candidate": 35.0}
    assert files["csv"].read_bytes() == (run / "comparison.csv").read_bytes()


def test_the_table_is_named_comparison_csv_when_no_file_is_given(run: Path) -> None:
    runner = CliRunner()
    with runner.isolated_filesystem():
        result = runner.invoke(main, ["export", str(run)])
        assert result.exit_code == 0, result.output
        assert re.match(r"comparison\.csv: 80 rows of example, system, ", result.stdout)
        assert Path("comparison.csv").read_text().count("\n") == 81


def test_an_unknown_format_is_refused(run: Path, tmp_path: Path) -> None:
    result = harness("export", run, "--output", tmp_path / "table.xlsx")
    assert result.exit_code == 2
    assert "no format for '.xlsx'; give the file one of .csv, .jsonl, .parquet" in result.output
    assert not (tmp_path / "table.xlsx").exists()


@pytest.mark.parametrize(("command", "needless"), [(("show", "test-1"), "pandas"), (("explain", GAIN), "pandas")])
def test_looking_into_a_run_needs_neither_model_libraries_nor_statistics(
    run: Path, command: tuple[str, str], needless: str
) -> None:
    assert not modules_after(command[0], str(run), command[1]) & (HEAVY | {"scipy", "jinja2", needless})


def test_exporting_a_run_imports_no_model_libraries(run: Path, tmp_path: Path) -> None:
    assert not modules_after("export", str(run), "--output", str(tmp_path / "table.parquet")) & HEAVY
    assert (tmp_path / "table.parquet").is_file()
