"""Two processes of `accelerate launch` train what one trains: the same rows in every update, and the same decisions."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from tiny_model import make_tiny_model, write_tiny_suite
from trained_together import KINDS, train_kinds

from harness.cli.main import main
from harness.errors import BrokenRunError, InvalidInputError
from harness.suite.training import Train
from harness.train.adapters import Trainable
from harness.train.processes import Processes
from harness.train.recipe import refuse_processes
from harness.train.shares import SharedBatches, share_updates
from harness.train.trainer import LengthGroupedBatches, gathered

# float32 without dropout; 0.0000011 was measured, at losses from 2 to 8
LOSS_TOLERANCE = 1e-5
WEIGHT_TOLERANCE = 2e-5  # with weights up to 0.3
HERE = Path(__file__).parent
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2"]
LAUNCH += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
HARNESS = ["-m", "harness"]
PATIENCE = 240  # seconds for a launch that hangs
# 25 rows, so that the fourth update of an epoch has one row, and one process has none.
TRAIN = (
    "train: {learning_rate: 1e-2, epochs: 9, rank: 4, alpha: 8, dropout: 0, warmup: 0,"
    " early_stopping: {patience: 2, min_delta: 0.3}}"
)


@dataclass(frozen=True)
class Trained:
    out: Path
    cache: Path
    code: int
    said: str

    @property
    def history(self) -> dict[str, Any]:
        (file,) = self.cache.glob("trainings/*/result/history.json")
        return json.loads(file.read_text())


def launch(
    folder: Path, *command: str | Path, kind: tuple[str, ...] = ("--multi_gpu",)
) -> subprocess.CompletedProcess[str]:
    """Run a command in two processes of a kind that accelerate knows, with `folder` as their cache."""
    paths = os.pathsep.join([str(HERE.parents[1]), *map(str, (HERE, HERE.parent))])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "HARNESS_CACHE": str(folder)}
    return subprocess.run(
        [*LAUNCH, *kind, *map(str, command)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def train_in_two(suite: Path, folder: Path, program: list[str] = HARNESS) -> Trained:
    done = launch(folder / "cache", *program, "train", suite, "--out", folder / "out")
    return Trained(folder / "out", folder / "cache", done.returncode, done.stdout)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_suite(tmp_path_factory.mktemp("suite"), rows=31, train=TRAIN)


@pytest.fixture(scope="module")
def one(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        done = CliRunner().invoke(main, ["train", str(suite), "--out", str(folder / "out")])
        yield Trained(folder / "out", folder / "cache", done.exit_code, done.output)


@pytest.fixture(scope="module")
def two(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_in_two(suite, tmp_path_factory.mktemp("two"))


def differences(first: dict[str, Any], second: dict[str, Any], loss: str) -> list[float]:
    pairs = zip(first["points"], second["points"], strict=True)
    assert [(a["step"], a["epoch"], a[loss] is None) for a in first["points"]] == [
        (b["step"], b["epoch"], b[loss] is None) for b in second["points"]
    ]
    return [abs(a[loss] - b[loss]) for a, b in pairs if a[loss] is not None]


def test_two_processes_learn_what_one_learns(one: Trained, two: Trained) -> None:
    assert (one.code, two.code) == (0, 0), two.said
    for loss in ("train_loss", "validation_loss"):
        assert max(differences(one.history, two.history, loss)) < LOSS_TOLERANCE, loss
    ours, theirs = (load_file(trained.out / "adapter_model.safetensors") for trained in (one, two))
    assert ours.keys() == theirs.keys()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < WEIGHT_TOLERANCE


def test_they_stop_at_the_same_step_for_the_same_reason_and_record_how_many_they_were(
    one: Trained, two: Trained
) -> None:
    own = {"points", "seconds", "begun"}
    ours, theirs = ({k: v for k, v in trained.history.items() if k not in own} for trained in (one, two))
    assert ours["stopped_early"] and ours["last_step"] == 17 and ours["train_rows"] == 25
    # Every row was read once an epoch, and none twice: the tokens are those of one process.
    assert theirs == {**ours, "world_size": 2} and ours["world_size"] == 1


def test_only_the_main_process_writes_and_talks(one: Trained, two: Trained) -> None:
    def files(trained: Trained) -> list[str]:
        found = (path.relative_to(trained.out.parent) for path in trained.out.parent.rglob("*") if path.is_file())
        return sorted("/".join(part for part in path.parts if len(part) != 64) for path in found)

    assert files(two) == files(one)
    assert [two.said.count(said) for said in ("in 2 processes", "judge it with", "17/36", "warning: train")] == [
        1,
        1,
        1,
        1,
    ]


def test_the_manifest_of_a_run_tells_how_many_trained_the_adapter(
    suite: Path, two: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(two.cache))
    done = CliRunner().invoke(main, ["run", str(suite), "--adapter", str(two.out), "--json"])
    run = Path(json.loads(done.stdout.splitlines()[-1])["run"])
    assert json.loads((run / "manifest.json").read_text())["world_size"] == 2
    assert "2 processes" in (run / "report.html").read_text()


def test_a_killed_process_ends_the_others_and_the_next_launch_goes_on(
    suite: Path, two: Trained, tmp_path: Path
) -> None:
    killed = train_in_two(suite, tmp_path, [str(HERE / "killed_at_a_step.py")])
    assert killed.code != 0 and "Signal 9 (SIGKILL)" in killed.said
    assert not killed.out.exists() and not list(tmp_path.glob("cache/trainings/*/result"))
    again = train_in_two(suite, tmp_path)
    assert again.code == 0 and "going on from step 6" in again.said, again.said
    weights = [(trained.out / "adapter_model.safetensors").read_bytes() for trained in (again, two)]
    assert weights[0] == weights[1]


def test_a_run_in_two_processes_is_refused(suite: Path, tmp_path: Path) -> None:
    done = launch(tmp_path, *HARNESS, "run", suite)
    assert done.returncode != 0 and done.stdout.count("error: `run` was started in 2 processes") == 1
    assert "exitcode  : 2" in done.stdout and "run " not in done.stdout.split("error:")[0]


def test_accelerate_on_a_cpu_that_started_one_process_of_several_is_told(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    done = CliRunner().invoke(main, ["train", str(suite), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and "starts one process" in done.output and not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Kind -> the history of a training by one process, and by two."""
    folder = tmp_path_factory.mktemp("kinds")
    make_tiny_model(folder / "model")
    alone = train_kinds(folder, Processes())
    done = launch(folder, HERE / "trained_together.py", folder)
    assert done.returncode == 0, done.stdout
    return alone, json.loads((folder / "histories.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_other_methods_and_uneven_shares_are_learned_alike(
    kind: str, kinds: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    alone, together = (histories[kind] for histories in kinds)
    for loss in ("train_loss", "validation_loss"):
        assert max(differences(alone, together, loss)) < LOSS_TOLERANCE, loss
    assert together["trained_tokens"] == alone["trained_tokens"]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(("batch_size", "accumulation"), [(8, 1), (2, 4), (1, 9), (5, 2)])
@pytest.mark.parametrize("rows", [70, 65, 8, 3])
def test_every_row_of_an_update_has_one_process(count: int, batch_size: int, accumulation: int, rows: int) -> None:
    chance = random.Random(rows)
    lengths, size = [chance.randint(5, 200) for _ in range(rows)], batch_size * accumulation
    order = list(LengthGroupedBatches(lengths, size, seed=1))
    shares = [share_updates(i, count, batch_size=batch_size, accumulation=accumulation) for i in range(count)]
    dealt = [SharedBatches(LengthGroupedBatches(lengths, size, seed=1), share, idle=rows) for share in shares]
    batches = [list(batches) for batches in dealt]
    assert {len(own) for own in batches} == {len(dealt[0])}, "every process is called as often"
    assert all(len(batch) <= batch_size for own in batches for batch in own)
    steps = shares[0].accumulation
    for update in range(0, len(dealt[0]), steps):
        taken = sorted(row for own in batches for batch in own[update : update + steps] for row in batch if row != rows)
        first = update // steps * size
        assert taken == sorted(order[first : first + size])


def test_one_process_takes_the_batches_as_they_are_declared() -> None:
    share = share_updates(0, 1, batch_size=4, accumulation=3)
    assert (share.batch, share.accumulation) == (4, 3)
    assert share.of(range(10), idle=-1) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_more_processes_than_rows_of_an_update_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="an update of 2 rows cannot be shared by 3 processes"):
        share_updates(0, 3, batch_size=2, accumulation=1)


@pytest.mark.parametrize(
    ("declared", "processes", "why"),
    [
        (Train(objective="dpo"), Processes(count=2), "dpo is trained by one process"),
        (Train(method="prefix_tuning"), Processes(count=2, sharded=True), "prefix_tuning learns too little"),
        (Train(batch_size=1), Processes(count=2), "an update of 1 rows cannot be shared"),
    ],
)
def test_what_several_processes_cannot_train_is_refused_before_a_model_is_known(
    declared: Train, processes: Processes, why: str
) -> None:
    with pytest.raises(InvalidInputError, match=why):
        refuse_processes(declared, processes)


def test_weights_that_were_not_gathered_are_not_left_out_in_silence() -> None:
    found = {"a": torch.ones(2, dtype=torch.bfloat16), "other": torch.zeros(1)}
    assert torch.equal(gathered(found, ["a"])["a"], torch.ones(2))
    with pytest.raises(BrokenRunError, match="1 of 2 weights were not gathered, the first is b"):
        gathered(found, ["a", "b"])


@pytest.mark.parametrize("sharding", ["FSDP", "DEEPSPEED"])
@pytest.mark.parametrize(
    ("command", "why"),
    [(["run"], "answers with whole weights"), (["train", "--out", "out"], "shares its weights with no other")],
)
def test_sharding_that_cannot_be_is_refused(
    sharding: str, command: list[str], why: str, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{sharding}", "true")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [command[0], str(suite), *command[1:]])
    assert done.exit_code == 2 and why in done.output and not (tmp_path / "out").exists()


def test_ranks_that_are_no_numbers_are_refused(suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "first")
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = CliRunner().invoke(main, ["train", str(suite), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and "are 'first' and '2', which are no numbers" in done.output


@pytest.mark.parametrize("method", ["lora", "dora", "full"])
def test_weights_that_were_gathered_are_saved_as_those_of_the_model(method: str, tmp_path: Path) -> None:
    from harness.engine.loading import load

    base = load("tiny", make_tiny_model(tmp_path / "model"))
    learning = Trainable(base.model, Train(method=method, rank=4), base_name="tiny")
    learning.save(tmp_path / "own")
    whole = learning.model.state_dict()
    found = {name: whole[name].clone() for name in learning.names}
    learning.restore({name: weight + 1 for name, weight in learning.state().items()})
    learning.save(tmp_path / "gathered", gathered(found, learning.names))
    for file in (tmp_path / "own").iterdir():
        assert (tmp_path / "gathered" / file.name).read_bytes() == file.read_bytes(), file.name
