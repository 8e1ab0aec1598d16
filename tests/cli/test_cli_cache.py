"""`harness cache` shows what is stored and removes what is asked."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli.main import main
from harness.clock import utc_now
from harness.records import StoredAnswer, StoredScore
from harness.store.answers import AnswerStore

OLD, NEW = "ab12" * 16, "ab99" * 16
HEAVY = {"torch", "transformers", "peft", "trl", "lm_eval", "datasets", "numpy", "scipy", "pandas", "pydantic"}


def cache(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["cache", *arguments])


def shown(*arguments: str) -> dict[str, object]:
    result = cache(*arguments, "--json")
    assert result.exit_code == 0, result.output
    value: dict[str, object] = json.loads(result.stdout)
    return value


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that does not exist yet."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def stored(folder: Path) -> Path:
    """A store with two batches of weights last used 40 days ago and one of weights used now."""
    answer = StoredAnswer(tokens=(1, 2, 3), ended=True, near_tie=False, logprob=-0.5, seconds=0.5)
    score = StoredScore(logprob=-1.5, is_greedy=True)
    path = folder / "answers.sqlite"
    with AnswerStore(path, clock=lambda: utc_now() - timedelta(days=40)) as store:
        store.put_answers(hashlib.sha256(b"1").hexdigest(), OLD, [answer] * 3)
        store.put_scores(hashlib.sha256(b"2").hexdigest(), OLD, [score] * 900)
    with AnswerStore(path, clock=utc_now) as store:
        store.put_scores(hashlib.sha256(b"3").hexdigest(), NEW, [score] * 4000)
    return path


def weights_left() -> list[str]:
    rows = shown()["weights"]
    assert isinstance(rows, list)
    return [row["weights"] for row in rows]


def test_it_says_so_when_nothing_is_stored_and_makes_no_file(folder: Path) -> None:
    result = cache()
    assert (result.exit_code, result.output) == (0, f"nothing is stored: there is no {folder / 'answers.sqlite'}\n")
    assert cache("--prune").output == result.output
    assert shown()["weights"] == shown("--prune")["removed"] == []
    assert not folder.exists()


def test_it_shows_a_row_for_each_weights(stored: Path) -> None:
    lines = cache().output.splitlines()
    assert lines[0].startswith(f"{stored}: ") and lines[0].endswith(" kB")
    assert lines[1].split() == ["weights", "batches", "answers", "scores", "last", "used"]
    assert lines[2].split()[:4] == [NEW[:12], "1", "0", "4,000"]
    assert lines[3].split()[:4] == [OLD[:12], "2", "3", "900"]
    assert lines[3].endswith("UTC")


def test_the_json_has_whole_digests_and_the_size_of_the_file(stored: Path) -> None:
    value = shown()
    assert (value["path"], value["bytes"], value["refusals"]) == (str(stored), stored.stat().st_size, [])
    newest, oldest = value["weights"]  # type: ignore[misc]
    assert (newest["weights"], newest["scores"], newest["answers"]) == (NEW, 4000, 0)
    assert (oldest["weights"], oldest["scores"], oldest["answers"], oldest["batches"]) == (OLD, 900, 3, 2)


def test_it_shows_why_weights_were_refused_without_their_control_characters(stored: Path) -> None:
    with AnswerStore(stored, clock=utc_now) as store:
        store.refuse(OLD, "row 3\nwas\x1b[31m different")
    assert f"refused: {OLD[:12]}, 903 rows forgotten on " in cache().output
    assert cache().output.splitlines()[-1].endswith("row 3 was␛[31m different")


def test_looking_changes_nothing(stored: Path) -> None:
    before = stored.read_bytes()
    cache()
    assert stored.read_bytes() == before


def test_pruning_removes_everything_when_nothing_is_named(stored: Path) -> None:
    result = cache("--prune")
    assert result.exit_code == 0
    assert result.output.splitlines()[:-1] == [
        f"removed: {NEW[:12]}, 0 answers and 4,000 scores (batches: 1)",
        f"removed: {OLD[:12]}, 3 answers and 900 scores (batches: 2)",
    ]
    assert weights_left() == []
    assert cache("--prune").output.splitlines()[0] == "nothing to remove"
    assert cache().output.splitlines()[-1] == "nothing is stored"


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--older-than", "30d"], [NEW]),
        (["--older-than", "6w"], [NEW, OLD]),
        (["--older-than", "0h"], []),
        (["--max-size", "1GB"], [NEW, OLD]),
        (["--max-size", "0.5kB"], []),
        (["--weights", "ab9"], [OLD]),
        (["--weights", OLD, "--older-than", "41d"], [NEW, OLD]),
        (["--weights", NEW, "--older-than", "30d"], [NEW, OLD]),
    ],
)
def test_pruning_removes_only_what_is_named(stored: Path, options: list[str], left: list[str]) -> None:
    assert cache("--prune", *options).exit_code == 0
    assert weights_left() == left


def test_the_file_is_no_larger_than_asked_after_pruning_by_size(stored: Path) -> None:
    limit = stored.stat().st_size - 1
    removed = shown("--prune", "--max-size", f"{limit}B")
    assert stored.stat().st_size == removed["bytes"] <= limit  # type: ignore[operator]
    assert weights_left() == [NEW]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--older-than", "30d"], "add --prune"),
        (["--weights", "ab"], "add --prune"),
        (["--prune", "--older-than", "30"], "write hours, days or weeks"),
        (["--prune", "--older-than", "-3d"], "write hours, days or weeks"),
        (["--prune", "--older-than", "123456w"], "write hours, days or weeks"),
        (["--prune", "--max-size", "500"], "write 800kB, 500MB or 1.5GB"),
        (["--prune", "--max-size", "nanMB"], "write 800kB, 500MB or 1.5GB"),
        (["--prune", "--weights", "ab"], f"found: {NEW[:16]}, {OLD[:16]}"),
        (["--prune", "--weights", "cd"], "nothing is stored of such weights"),
        (["--prune", "--weights", ""], "exactly one digest"),
    ],
)
def test_a_wrong_option_is_refused_and_removes_nothing(stored: Path, options: list[str], message: str) -> None:
    result = cache(*options)
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert weights_left() == [NEW, OLD]


def test_a_damaged_file_is_an_error_with_its_remedy(folder: Path) -> None:
    folder.mkdir()
    (folder / "answers.sqlite").write_bytes(b"no database" * 1000)
    for arguments in ([], ["--prune"]):
        result = cache(*arguments)
        assert result.exit_code == 1
        assert f"error: {folder / 'answers.sqlite'}: file is not a database; delete the file" in result.output


SCRIPT = """
import sys
from harness.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("MODULES", *{name.split(".")[0] for name in sys.modules})
"""


@pytest.mark.parametrize("arguments", [[], ["--prune", "--older-than", "30d"]])
def test_it_loads_no_model_library(stored: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-c", SCRIPT, "cache", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert str(stored) in done.stdout
    assert not set(done.stdout.splitlines()[-1].split()) & HEAVY


def keep_training(folder: Path, key: str, *, days: int, finished: bool = True) -> None:
    """What a training leaves in the cache, last used some days ago."""
    place = folder / "trainings" / key
    (place / ("result" if finished else "checkpoint-4")).mkdir(parents=True)
    (place / ("result/seal.json" if finished else "checkpoint-4/learned.safetensors")).write_bytes(b"x" * 5000)
    moment = (utc_now() - timedelta(days=days)).timestamp()
    os.utime(place, (moment, moment))


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "trainings").iterdir())


def test_trainings_are_shown_and_pruned_with_the_rest(stored: Path, folder: Path) -> None:
    keep_training(folder, OLD, days=40)
    keep_training(folder, NEW, days=0, finished=False)
    lines = cache().output.splitlines()
    assert lines[-2].startswith(f"training {NEW[:12]}, interrupted, 5.0 kB, ")
    assert lines[-1].startswith(f"training {OLD[:12]}, finished, 5.0 kB, ")
    rows = shown()["trainings"]
    assert [row["key"] for row in rows] == [NEW, OLD]  # type: ignore[attr-defined]
    cache("--prune", "--weights", "ab9")
    assert kept(folder) == [OLD, NEW], "weights are chosen among answers only"
    result = cache("--prune", "--older-than", "30d")
    assert f"removed: training {OLD[:12]}, 5.0 kB" in result.output
    assert kept(folder) == [NEW]
    cache("--prune", "--max-size", "4kB")
    assert kept(folder) == []


def test_trainings_are_shown_where_no_answer_was_stored(folder: Path) -> None:
    keep_training(folder, OLD, days=1)
    assert f"training {OLD[:12]}, finished" in cache().output
    assert "removed: training" in cache("--prune").output
    assert kept(folder) == []
