"""`harness compare` decides two score files with the function that decides a suite."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from evidence_factory import SUITE, Fixture
from test_cli_imports import HEAVY, modules_after

from harness.cli.main import main
from harness.records import RunManifest
from harness.stats.sequential import permutation
from harness.store.facts import read_record
from harness.store.runs import MANIFEST, finish_run


def scores(path: Path, values: list[float | None], *, cluster: int | None = None) -> Path:
    rows = [
        {"id": f"e{i}", "score": value, **({"cluster": f"c{i // cluster}"} if cluster else {})}
        for i, value in enumerate(values)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def compare(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def right(count: int, n: int = 200) -> list[float | None]:
    return [1.0 if i < count else 0.0 for i in range(n)]


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (right(100), right(130), 0),
        (right(130), right(100), 3),
        (right(100), right(100), 4),
        (right(100), right(103), 4),
        (right(100), right(105), 0),
        ([0.5 + 0.001 * (i % 7) for i in range(200)], [0.6 + 0.001 * (i % 5) for i in range(200)], 0),
        (right(100), [*right(130)[:-3], None, None, None], 4),
    ],
)
def test_the_exit_code_is_the_verdict(
    before: list[float | None], after: list[float | None], code: int, tmp_path: Path
) -> None:
    result = compare(scores(tmp_path / "a.jsonl", before), scores(tmp_path / "b.jsonl", after), "--json")
    assert result.exit_code == code, result.output
    assert json.loads(result.stdout)["exit_code"] == code


def test_clusters_in_the_file_are_the_units(tmp_path: Path) -> None:
    # Ten clusters of twenty: six change for the better as a whole, one for the worse.
    before = right(100)
    after = [1.0 if i < 100 or 100 <= i < 120 else 0.0 for i in range(200)]
    flat = compare(scores(tmp_path / "a.jsonl", before), scores(tmp_path / "b.jsonl", after))
    clustered = compare(
        scores(tmp_path / "c.jsonl", before, cluster=20), scores(tmp_path / "d.jsonl", after, cluster=20)
    )
    assert (flat.exit_code, clustered.exit_code) == (0, 4)
    assert "cluster" in clustered.output


def test_files_that_score_different_examples_are_refused(tmp_path: Path) -> None:
    result = compare(scores(tmp_path / "a.jsonl", right(10, 20)), scores(tmp_path / "b.jsonl", right(10, 21)))
    assert result.exit_code == 2
    assert "1 stand in one only, the first is 'e20'" in result.output


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    good = scores(tmp_path / "a.jsonl", right(10, 20))
    (tmp_path / "bad.jsonl").write_text('{"id": "e0", "score": 7}\n')
    result = compare(good, tmp_path / "bad.jsonl")
    assert result.exit_code == 2
    assert "bad.jsonl" in result.output


def test_two_runs_are_compared_by_their_candidates(tmp_path: Path) -> None:
    worse = Fixture(candidate_right=lambda i: i % 2 == 0).write(tmp_path / "worse")
    better = Fixture().write(tmp_path / "better")
    for folder in (better, worse):
        CliRunner().invoke(main, ["gate", str(folder)])
    assert compare(worse, better, "--scorer", "exact_match").exit_code == 0
    assert compare(better, worse, "--scorer", "exact_match").exit_code == 3
    assert compare(worse, better).exit_code == 0, "both suites ask for gains by exact_match"
    (better / "predictions.jsonl").write_text("")
    assert compare(worse, better, "--scorer", "exact_match").exit_code == 5, "evidence that changed is refused"


def test_two_runs_are_compared_by_what_they_answered_and_not_by_the_scores_that_were_written(tmp_path: Path) -> None:
    worse = Fixture(candidate_right=lambda i: i % 2 == 0).write(tmp_path / "worse")
    better = Fixture().write(tmp_path / "better")
    unjudged = facts(compare(worse, better, "--json"))
    for folder in (better, worse):
        CliRunner().invoke(main, ["gate", str(folder)])
        written = folder / "scores.jsonl"
        rows = [json.loads(line) for line in written.read_text().splitlines()]
        turned = [row | {"result": {"value": 1 - row["result"]["value"]}} for row in rows]
        written.write_text("".join(json.dumps(row) + "\n" for row in turned))
    result = compare(worse, better, "--json")
    assert (result.exit_code, facts(result)) == (0, unjudged)
    assert compare(better, worse).exit_code == 3


def test_a_shard_of_a_run_is_not_compared(tmp_path: Path) -> None:
    run = Fixture().write(tmp_path / "run")
    finish_run(run, replace(read_record(RunManifest, run / MANIFEST), shard="1/2"))
    result = compare(run, run)
    assert (result.exit_code, "shard 1/2 of a run; `harness merge` puts them together" in result.output) == (2, True)


def test_lm_eval_samples_are_read_as_they_are_written(tmp_path: Path) -> None:
    def samples(name: str, correct: int) -> Path:
        rows = [
            {"doc_id": i, "doc": {"q": str(i)}, "target": "A", "resps": [[["-1", "True"]]], "filtered_resps": [],
             "filter": "none", "metrics": ["acc"], "doc_hash": f"h{i}", "prompt_hash": "p", "target_hash": "t",
             "acc": 1.0 if i < correct else 0.0}
            for i in range(200)
        ]  # fmt: skip
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
        return tmp_path / name

    result = compare(samples("a.jsonl", 100), samples("b.jsonl", 130))
    assert result.exit_code == 0, result.output
    assert "lm-eval samples" in result.output


# A bar other than 0


def moved(wins: int, losses: int, n: int = 400) -> list[float | None]:
    """Scores against `right(n // 2, n)`: so many wins among its wrong answers, so many losses among its right."""
    half = n // 2
    return [0.0] * losses + [1.0] * (half - losses + wins) + [0.0] * (half - wins)


def facts(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("wins", "losses", "options", "code", "words"),
    [
        (20, 22, ["--margin", "5%"], 0, "not worse by 5 points or more: -0.5 points on score"),
        (20, 22, ["--margin", "0.05"], 0, "not worse by 5 points or more: "),
        (20, 22, ["--margin", "1%"], 4, "not shown to be less than 1 point worse: -0.5 points"),
        (20, 33, ["--margin", "5%"], 4, "not shown to be less than 5 points worse: "),
        (5, 60, ["--margin", "5%"], 3, "worse by 5 points or more: -13.8 points"),
        (5, 60, ["--margin", "2.5%"], 3, "worse by 2.5 points or more: "),
        (60, 5, ["--margin", "5%"], 0, "not worse by 5 points or more: +13.8 points"),
        (60, 5, ["--min-gain", "5%"], 0, "better by more than 5 points: +13.8 points"),
        (33, 20, ["--min-gain", "5%"], 4, "no gain of more than 5 points shown: "),
        (22, 20, ["--min-gain", "5%"], 3, "less than 5 points better: "),
    ],
)
def test_the_sentence_says_what_was_asked_and_found(
    wins: int, losses: int, options: list[str], code: int, words: str, tmp_path: Path
) -> None:
    files = scores(tmp_path / "a.jsonl", right(200, 400)), scores(tmp_path / "b.jsonl", moved(wins, losses))
    result = compare(*files, *options)
    assert result.exit_code == code, result.output
    assert result.stdout.partition(": ")[2].startswith(words)


def test_graded_and_clustered_scores_are_held_against_the_margin(tmp_path: Path) -> None:
    draw = random.Random(0)
    before: list[float | None] = [0.4 + 0.2 * draw.random() for _ in range(150)]
    after: list[float | None] = [(score or 0) + 0.1 * (draw.random() - 0.5) for score in before]
    flat = compare(scores(tmp_path / "a.jsonl", before), scores(tmp_path / "b.jsonl", after), "--margin", "3%")
    pair = scores(tmp_path / "c.jsonl", before, cluster=3), scores(tmp_path / "d.jsonl", after, cluster=3)
    clustered = compare(*pair, "--margin", "3%")
    assert (flat.exit_code, clustered.exit_code) == (0, 0), flat.output + clustered.output
    assert "sign-flip" in flat.output
    assert "cluster bootstrap" in clustered.output


@pytest.mark.parametrize(
    ("wins", "losses", "options", "needs"),
    [
        (20, 20, ["--margin", "1%"], "to show it of a candidate that is as good takes about"),
        (20, 38, ["--margin", "5%"], "which this set has: the candidate is likely somewhat worse"),
        (24, 10, ["--min-gain", "4%"], "a true gain of 9.0 points takes about"),
        (20, 20, [], "a true gain of 5.0 points takes about"),
    ],
)
def test_what_would_settle_it_belongs_to_what_was_asked(
    wins: int, losses: int, options: list[str], needs: str, tmp_path: Path
) -> None:
    files = scores(tmp_path / "a.jsonl", right(200, 400)), scores(tmp_path / "b.jsonl", moved(wins, losses))
    result = compare(*files, *options, "--json")
    assert result.exit_code == 4, result.output
    assert needs in facts(result)["needs"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--margin", "5%", "--min-gain", "5%"], "give one of them"),
        (["--margin", "0"], "no share above 0 and below 1"),
        (["--margin", "5"], "no share above 0 and below 1"),
        (["--margin", "nan"], "no share above 0 and below 1"),
        (["--min-gain", "-5%"], "no share above 0 and below 1"),
        (["--min-gain", "much"], "write 0.05 or 5%"),
        (["--look-every", "50"], "--mode hybrid or anytime"),
        (["--mode", "sometimes"], "sometimes"),
        (["--seed", "-1"], "-1"),
        (["--alpha", "nan"], "'nan' is not a finite number"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: list[str], message: str, tmp_path: Path) -> None:
    file = scores(tmp_path / "a.jsonl", right(10, 20))
    result = compare(file, file, *options)
    assert result.exit_code == 2
    assert message in result.output


# Modes that may stop early


def changing(path: Path, share: float, *, right_share: float = 0.5, n: int = 600, seed: int = 0) -> Path:
    """Scores of which `share` differ from those of share 0, and are then right this often."""
    draw = random.Random(seed)
    before = [i % 2 for i in range(n)]
    after = [int(draw.random() < right_share) if draw.random() < share else score for score in before]
    return scores(path, [float(score) for score in after])


@pytest.mark.parametrize(
    ("mode", "options", "right_share", "code", "words"),
    [
        ("anytime", [], 1.0, 0, "better: "),
        ("anytime", [], 0.0, 3, "worse: "),
        ("hybrid", [], 1.0, 0, "better: "),
        ("anytime", ["--margin", "10%"], 0.5, 0, "not worse by 10 points or more: "),
        ("hybrid", ["--margin", "10%"], 0.5, 0, "not worse by 10 points or more: "),
        ("anytime", ["--margin", "2%"], 0.0, 3, "worse by 2 points or more: "),
        ("anytime", ["--min-gain", "2%"], 1.0, 0, "better by more than 2 points: "),
    ],
)
def test_a_clear_case_is_decided_before_every_example_is_read(
    mode: str, options: list[str], right_share: float, code: int, words: str, tmp_path: Path
) -> None:
    files = changing(tmp_path / "a.jsonl", 0.0), changing(tmp_path / "b.jsonl", 0.3, right_share=right_share)
    result = compare(*files, "--mode", mode, "--look-every", "20", *options, "--json")
    found = facts(result)
    assert result.exit_code == code, result.output
    assert found["reason"].startswith(words)
    assert f"{found['n_used']} of 600 examples used" in found["reason"]
    assert (found["n"], found["n_used"] % 20) == (600, 0)
    assert found["n_used"] < 600
    assert (found["low"], found["high"], found["p_value"], found["p_reverse"]) == (None, None, None, None)
    assert max(found["wealth_pass"], found["wealth_fail"]) >= 20


def test_hybrid_ends_with_the_exact_test_and_anytime_leaves_it_open(tmp_path: Path) -> None:
    files = scores(tmp_path / "a.jsonl", right(100)), scores(tmp_path / "b.jsonl", right(106))
    hybrid, anytime = (compare(*files, "--mode", mode, "--json") for mode in ("hybrid", "anytime"))
    assert (hybrid.exit_code, anytime.exit_code) == (0, 4)
    assert "the exact test at 0.04 (p = 0.016)" in facts(hybrid)["reason"]
    assert facts(hybrid)["p_value"] == 0.5**6
    assert (facts(anytime)["p_value"], facts(anytime)["n_used"]) == (None, 200)
    assert facts(anytime)["reason"].startswith("no difference shown: ")
    margin = facts(compare(files[0], files[0], "--mode", "anytime", "--margin", "1%", "--json"))
    assert margin["reason"].startswith("not shown to be less than 1 point worse: ")
    assert margin["needs"]


def test_missing_scores_leave_it_open_in_every_mode(tmp_path: Path) -> None:
    after: list[float | None] = [*right(200)[:-5], *[None] * 5]
    files = scores(tmp_path / "a.jsonl", right(100)), scores(tmp_path / "b.jsonl", after)
    for mode in ("hybrid", "anytime"):
        result = compare(*files, "--mode", mode, "--look-every", "200")
        assert result.exit_code == 4
        assert "5 of 200 pairs lack a score" in result.output


def test_the_seed_alone_draws_the_order(tmp_path: Path) -> None:
    first, second = changing(tmp_path / "a.jsonl", 0.0), changing(tmp_path / "b.jsonl", 0.3, right_share=0.8)
    options = ("--mode", "anytime", "--look-every", "1", "--json")
    there = compare(first, second, *options)
    assert facts(there)["seed"] == 0
    assert facts(compare(first, second, *options, "--seed", "5"))["n_used"] != facts(there)["n_used"]
    for path in (first, second):
        path.write_text("\n".join(reversed(path.read_text().split("\n"))))
    again = facts(compare(first, second, *options))
    assert {**again, "digests": None} == {**facts(there), "digests": None}


def test_what_comes_after_the_deciding_look_changes_nothing(tmp_path: Path) -> None:
    first, second = changing(tmp_path / "a.jsonl", 0.0), changing(tmp_path / "b.jsonl", 0.3, right_share=1.0)
    options = ("--mode", "anytime", "--look-every", "10", "--json")
    there = facts(compare(first, second, *options))
    ids = sorted(f"e{i}" for i in range(600))
    unused = {ids[index] for index in permutation(600, 0)[there["n_used"] :]}
    rows = [json.loads(line) for line in second.read_text().splitlines()]
    turned = [row | {"score": 0.0} if row["id"] in unused else row for row in rows]
    second.write_text("\n".join(map(json.dumps, turned)))
    again = facts(compare(first, second, *options))
    assert {**again, "digests": None} == {**there, "digests": None}
    assert compare(first, second).exit_code == 3, "the fixed test sees the examples that were turned"


@pytest.mark.parametrize("mode", ["hybrid", "anytime"])
def test_clusters_and_corpus_metrics_are_refused_in_a_mode_that_may_stop_early(mode: str, tmp_path: Path) -> None:
    files = (
        scores(tmp_path / "a.jsonl", right(10, 20), cluster=2),
        scores(tmp_path / "b.jsonl", right(9, 20), cluster=2),
    )
    clustered = compare(*files, "--mode", mode)
    assert clustered.exit_code == 2
    assert f"mode {mode} bets on independent examples, and these 20 come in 10 clusters" in clustered.output
    run = Fixture(suite_text=SUITE.replace("checks:", "scorers: [bleu]\nchecks:")).write(tmp_path / "run")
    CliRunner().invoke(main, ["gate", str(run)])
    corpus = compare(run, run, "--scorer", "bleu", "--mode", mode)
    assert corpus.exit_code == 2
    assert "bleu is a corpus metric" in corpus.output
    assert compare(run, run, "--scorer", "exact_match", "--mode", mode).exit_code == 4


# Clusters from a field


def by_author(path: Path, values: list[float | None], size: int, name: str = "author") -> Path:
    rows = [{"id": f"e{i}", "score": value, name: f"c{i // size}"} for i, value in enumerate(values)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_rows_are_clustered_by_the_field_that_is_named(tmp_path: Path) -> None:
    after = [1.0 if i < 120 else 0.0 for i in range(200)]
    files = by_author(tmp_path / "a.jsonl", right(100), 20), by_author(tmp_path / "b.jsonl", after, 20)
    result = compare(*files, "--cluster-by", "author", "--json")
    same = compare(
        scores(tmp_path / "c.jsonl", right(100), cluster=20), scores(tmp_path / "d.jsonl", after, cluster=20), "--json"
    )
    assert result.exit_code == same.exit_code == 4, result.output
    assert facts(result)["p_value"] == facts(same)["p_value"]
    assert (facts(result)["n_clusters"], facts(result)["cluster_by"]) == (10, "author")
    assert (facts(same)["n_clusters"], facts(same)["cluster_by"]) == (10, None)


def test_a_row_without_the_field_and_a_run_are_refused(tmp_path: Path) -> None:
    files = by_author(tmp_path / "a.jsonl", right(5, 9), 3), scores(tmp_path / "b.jsonl", right(5, 9))
    lacking = compare(*files, "--cluster-by", "author")
    assert lacking.exit_code == 2
    assert "b.jsonl:1: there is no `author` in the row" in lacking.output
    run = Fixture().write(tmp_path / "run")
    CliRunner().invoke(main, ["gate", str(run)])
    refused = compare(run, run, "--scorer", "exact_match", "--cluster-by", "author")
    assert refused.exit_code == 2
    assert "the clusters of a run are those of its examples" in refused.output


def test_files_that_cluster_the_examples_differently_are_refused(tmp_path: Path) -> None:
    files = scores(tmp_path / "a.jsonl", right(5, 9), cluster=3), scores(tmp_path / "b.jsonl", right(5, 9), cluster=2)
    result = compare(*files)
    assert result.exit_code == 2
    assert "give 6 examples different clusters: 'e2' is of 'c0' in the first and of 'c1' in the second" in result.output


def test_every_setting_is_printed(tmp_path: Path) -> None:
    files = scores(tmp_path / "a.jsonl", right(60, 120)), scores(tmp_path / "b.jsonl", right(60, 120))
    names = ("margin", "min_gain", "alpha", "mode", "look_every", "seed", "cluster_by", "n", "n_used", "n_clusters")

    def settings(*options: str) -> tuple[Any, ...]:
        return tuple(facts(compare(*files, *options, "--json"))[name] for name in names)

    assert settings() == (None, 0.0, 0.05, "fixed", None, 0, None, 120, 120, 120)
    assert settings("--margin", "20%", "--alpha", "0.1") == (0.2, None, 0.1, "fixed", None, 0, None, 120, 120, 120)
    assert settings("--min-gain", "0.02", "--mode", "hybrid", "--seed", "4") == (
        None, 0.02, 0.05, "hybrid", 100, 4, None, 120, 120, 120,
    )  # fmt: skip
    assert "seed 4" in compare(*files, "--seed", "4").output


@pytest.mark.parametrize("options", [("--margin", "5%"), ("--mode", "anytime")])
def test_comparing_imports_no_model_libraries_whatever_is_asked(options: tuple[str, ...], tmp_path: Path) -> None:
    file = str(scores(tmp_path / "a.jsonl", right(10, 20)))
    assert not modules_after("compare", file, file, *options) & HEAVY
    assert not modules_after("compare", "--help") & (HEAVY | {"numpy", "scipy", "pydantic"})
