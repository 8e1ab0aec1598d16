"""`harness compare` decides two score files with the function that decides a suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from evidence_factory import Fixture

from harness.cli.main import main


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
    for folder in (worse, better):
        CliRunner().invoke(main, ["gate", str(folder)])
    assert compare(worse, better, "--scorer", "exact_match").exit_code == 0
    assert compare(better, worse, "--scorer", "exact_match").exit_code == 3
    assert compare(worse, better).exit_code == 2, "a run has several scorers, and none is guessed"
    (better / "predictions.jsonl").write_text("")
    assert compare(worse, better, "--scorer", "exact_match").exit_code == 5, "evidence that changed is refused"


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
