"""Two workers of a local Ray cluster: the run of one process, also when a worker is killed in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from in_parts import assert_same_run, call, rows
from tiny_model import write_tiny_suite

from harness.distributing import Order, Part, compute_part, run_in_parts
from harness.errors import BrokenRunError, InvalidInputError
from harness.executors import Executor, GivenUp, LocalExecutor, RayExecutor
from harness.progress import SilentProgress
from harness.store.project import project_folders


@pytest.fixture(scope="module")
def whole(suite: Path) -> Path:
    code, found = call("run", suite, "--json")
    assert code in {3, 4}, found
    call("cache", "--prune", "--json")
    return Path(found["run"])


@pytest.fixture(scope="module")
def judged(whole: Path) -> tuple[int, Any]:
    """How it was judged, before newer runs stand above it."""
    return call("gate", whole, "--json")


def in_parts(suite: Path, executor: Executor, compute: Callable[[Part], Any]) -> Path:
    order = Order(
        suite=suite / "suite.yaml", settings={}, adapter=None, fresh=False, locked=False, command="harness run"
    )
    return run_in_parts(
        order,
        executor,
        workers=2,
        folders=project_folders(suite),
        progress=SilentProgress(),
        compute=compute,
    )


def killed(times: int, marks: Path) -> Callable[[Part], Any]:
    """What a worker does whose process is killed the first `times` times that it has computed the second part."""
    marks.mkdir()

    def compute(part: Part) -> Any:
        files = compute_part(part)
        if part.index == 1 and len(list(marks.iterdir())) < times:
            (marks / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return files

    return compute


def test_two_workers_one_of_them_killed_give_the_run_of_one_process(
    suite: Path, whole: Path, judged: tuple[int, Any], tmp_path: Path
) -> None:
    made = in_parts(suite, RayExecutor(), killed(1, tmp_path / "marks"))
    assert len(list((tmp_path / "marks").iterdir())) == 1, "a worker was killed"
    code, found = call("gate", made, "--json")
    assert (code, found["checks"]) == (judged[0], judged[1]["checks"])
    assert_same_run(made, whole)
    assert json.loads((made / "manifest.json").read_text())["shards"] == 2


def test_the_command_runs_on_ray(suite: Path, whole: Path, judged: tuple[int, Any]) -> None:
    code, found = call("run", suite, "--executor", "ray", "--workers", "2", "--json")
    assert code == judged[0], found
    assert_same_run(Path(found["run"]), whole)


def test_what_a_worker_refuses_is_refused_here() -> None:
    def refuse(item: int) -> int:
        raise InvalidInputError(f"suite.yaml:{item}: not so")

    with pytest.raises(InvalidInputError, match=r"suite\.yaml:3: not so"):
        RayExecutor().map(refuse, [3])


def test_a_part_whose_workers_all_die_is_given_up_and_the_others_are_not() -> None:
    def die(item: int) -> int:
        if item == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    first, second = RayExecutor(attempts=2).map(die, [0, 1])
    assert first == 0
    assert isinstance(second, GivenUp) and "died 2 times" in second.why


def test_a_part_has_a_process_of_its_own_when_parts_are_to_be_apart() -> None:
    def own_process(_: int) -> int:
        return os.getpid()

    found = RayExecutor(cpus=os.cpu_count() or 1).apart().map(own_process, [0, 1, 2])  # one after another
    assert len(set(found)) == 3


class _LosesTheSecond:
    """Computes every part but the second."""

    def map(self, compute: Callable[[Any], Any], items: Any) -> list[Any]:
        found = LocalExecutor().map(compute, items)
        return [found[0], GivenUp("its worker died 3 times"), *found[2:]] if len(found) > 1 else found


def test_the_answers_of_a_part_that_was_given_up_are_errors_and_keep_it_from_shipping(tmp_path: Path) -> None:
    (tmp_path / "baselines").mkdir()
    (tmp_path / "tiny").mkdir()
    suite = write_tiny_suite(tmp_path / "tiny", decoding="decoding: {max_new_tokens: 4, batch_size: 4}")
    made = in_parts(suite, _LosesTheSecond(), compute_part)
    answers = rows(made / "predictions.jsonl")
    planned: Mapping[str, int] = json.loads((made / "manifest.json").read_text())["planned"]
    assert len(answers) == sum(planned.values()), "none is dropped"
    failed = [row for row in answers if row["error"]]
    assert failed and all("shard 1 was given up: its worker died" in row["error"] for row in failed)
    code, found = call("gate", made, "--json")
    assert code in {3, 4}, found
    again = Path(call("run", suite, "--json")[1]["run"])
    assert again != made, "a run with answers missing is not what these inputs give"
    assert not [row for row in rows(again / "predictions.jsonl") if row["error"]]
    assert json.loads((again / "manifest.json").read_text())["counters"]["stored_answers"] == len(answers), "read back"
    assert call("run", suite, "--json")[1]["run"] == str(again)


@pytest.mark.parametrize("kept", ["benchmarks", "divergences"])
def test_what_cannot_be_counted_as_an_error_is_refused_where_a_part_was_given_up(
    kept: str, suite: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(suite, tmp_path / "tiny")
    (tmp_path / "baselines").mkdir()
    dropped = ("kl_divergence",) if kept == "benchmarks" else ("benchmarks:", "mmlu:", "benchmark_drop")
    lines = [
        line for line in (folder / "suite.yaml").read_text().splitlines() if not any(word in line for word in dropped)
    ]
    (folder / "suite.yaml").write_text("\n".join(lines) + "\n")
    with pytest.raises(InvalidInputError, match="run the shards that failed again"):
        in_parts(folder, _LosesTheSecond(), compute_part)


def test_a_training_whose_workers_all_die_is_said(suite: Path) -> None:
    class Dies:
        def map(self, compute: Callable[[Any], Any], items: Any) -> list[Any]:
            return [GivenUp("its worker died 3 times") for _ in items]

    with pytest.raises(BrokenRunError, match="the training was not finished: its worker died 3 times"):
        in_parts(suite, Dies(), compute_part)
