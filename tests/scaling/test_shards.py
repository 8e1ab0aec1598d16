"""A run in parts is the run: same answers, same scores, same verdict, whoever computes which part."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from in_parts import assert_same_run, call, rows

SHARDS = 3


@pytest.fixture(scope="module")
def whole(suite: Path) -> Path:
    code, found = call("run", suite, "--json")
    assert code in {3, 4}, found
    return Path(found["run"])


@pytest.fixture(scope="module")
def shards(suite: Path, whole: Path) -> list[Path]:
    """Every shard computes for itself: what the whole run stored is removed."""
    folders = []
    for index in range(SHARDS):
        call("cache", "--prune", "--json")
        code, found = call("run", suite, "--shard", f"{index}/{SHARDS}", "--json")
        assert code == 0, found
        folders.append(Path(found["folder"]))
    return folders


def test_merged_shards_are_the_run_byte_for_byte(suite: Path, whole: Path, shards: list[Path]) -> None:
    expected = call("gate", whole, "--json")  # before, since a newer run that did not ship stands above an older one
    code, found = call("merge", suite, *shards, "--json")
    assert code == expected[0]
    assert found["checks"] == expected[1]["checks"]
    assert_same_run(Path(found["run"]), whole)


def test_each_shard_computes_its_share_only(whole: Path, shards: list[Path]) -> None:
    def count(folder: Path, name: str) -> int:
        return int(json.loads((folder / "manifest.json").read_text())["counters"][name])

    answers = [len(rows(folder / "predictions.jsonl")) for folder in shards]
    assert sum(answers) == len(rows(whole / "predictions.jsonl"))
    assert min(answers) >= sum(answers) / SHARDS / 2
    assert sum(count(folder, "generated_tokens") for folder in shards) == count(whole, "generated_tokens")


def test_a_shard_is_no_evidence_by_itself(shards: list[Path]) -> None:
    code, output = call("gate", shards[0])
    assert (code, "harness merge" in output) == (2, True), output


def test_a_run_is_no_shard(suite: Path, whole: Path) -> None:
    code, output = call("merge", suite, whole)
    assert (code, "a whole run and no shard" in output) == (2, True), output


def test_a_missing_shard_is_refused(suite: Path, shards: list[Path]) -> None:
    code, output = call("merge", suite, *shards[:-1])
    assert (code, "shard 2 is missing" in output) == (2, True), output


def test_a_shard_given_twice_is_refused(suite: Path, shards: list[Path]) -> None:
    code, output = call("merge", suite, *shards, shards[1])
    assert (code, "is it already" in output) == (2, True), output


def test_shards_of_two_rounds_in_one_folder_are_told_apart(suite: Path, shards: list[Path], tmp_path: Path) -> None:
    for number, name in enumerate(["first", "second"]):
        copy = shutil.copytree(shards[0], tmp_path / "all" / name)
        manifest = json.loads((copy / "manifest.json").read_text())
        (copy / "manifest.json").write_text(json.dumps({**manifest, "run_id": name, "started": f"202{number}-01-01"}))
    code, output = call("merge", suite, tmp_path / "all")
    assert code == 2, output
    assert "second: shard 0/3 of run second, started 2021-01-01, again" in output
    assert "first, of run first, started 2020-01-01, is it already" in output
    assert "remove the folders of the earlier round, or name the shards of one round one by one" in output


def test_a_shard_of_another_run_is_refused(suite: Path, shards: list[Path]) -> None:
    code, found = call("run", suite, "--shard", f"0/{SHARDS}", "--set=seed=2", "--json")
    assert code == 0, found
    code, output = call("merge", suite, found["folder"], *shards[1:])
    assert code == 2 and ("of another suite" in output or "of another run" in output), output


def test_shards_of_another_number_are_refused(suite: Path, shards: list[Path]) -> None:
    code, found = call("run", suite, "--shard", "1/2", "--json")
    assert code == 0, found
    code, output = call("merge", suite, shards[0], found["folder"], shards[2])
    assert code == 2 and "of 2 and of 3" in output, output


def test_a_changed_shard_is_refused(suite: Path, shards: list[Path], tmp_path: Path) -> None:
    copy = shutil.copytree(shards[0], tmp_path / shards[0].name)
    text = (copy / "predictions.jsonl").read_text()
    (copy / "predictions.jsonl").write_text(text.replace('"text": "', '"text": "x', 1))
    code, output = call("merge", suite, copy, *shards[1:])
    assert (code, "changed since the run" in output) == (5, True), output


@pytest.mark.parametrize("written", ["3/3", "-1/3", "0", "0/0", "1/2/3", "a/b"])
def test_what_is_no_shard_is_refused(suite: Path, written: str) -> None:
    code, output = call("run", suite, f"--shard={written}")
    assert (code, "INDEX/COUNT" in output) == (2, True), output


def test_ray_needs_the_number_of_workers(suite: Path) -> None:
    code, output = call("run", suite, "--executor=ray")
    assert (code, "needs --workers" in output) == (2, True), output


def test_a_slip_in_the_name_of_a_check_is_refused_before_shards_are_merged(suite: Path, shards: list[Path]) -> None:
    runs = shards[0].parents[1]
    before = sorted(runs.iterdir())
    code, output = call("merge", suite, *shards, "--accept-undecided=better_than", "--reason=why")
    assert (code, "there is no such check; known: better_than/" in output) == (2, True), output
    assert sorted(runs.iterdir()) == before


@pytest.mark.parametrize("option", ["--worker-cpus", "--worker-gpus"])
def test_what_is_for_the_workers_of_ray_is_refused_without_them(option: str, suite: Path) -> None:
    code, output = call("run", suite, "--workers=2", f"{option}=1")
    assert (code, f"{option} needs --executor ray" in output) == (2, True), output


def test_the_verdict_on_merged_shards_is_signed_where_there_is_a_key(
    suite: Path, shards: list[Path], tmp_path: Path
) -> None:
    assert call("keygen", tmp_path / "key.pem")[0] == 0
    code, found = call("merge", suite, *shards, f"--key={tmp_path / 'key.pem'}", "--json")
    assert code in {3, 4}, found
    assert (Path(found["run"]) / "verdict.dsse.json").is_file()


def test_a_run_that_stops_early_has_no_shards(suite: Path) -> None:
    code, output = call("run", suite, "--shard=0/2", "--set=statistics.mode=anytime")
    assert (code, "which shards cannot" in output) == (2, True), output


@pytest.mark.parametrize("parts", ["--shard=0/2", "--workers=2"])
def test_a_run_whose_server_loads_the_adapter_of_an_arm_has_no_shards(suite: Path, tmp_path: Path, parts: str) -> None:
    """The second would find the name taken, and all its answers would be errors."""
    (tmp_path / "baselines").mkdir()
    copy = shutil.copytree(suite, tmp_path / "hosted")
    arm = (
        "  hosted: {kind: endpoint, base_url: 'http://127.0.0.1:9/v1', model: base, "
        "served_adapter: {name: mine, path: mine}}\n"
    )
    text = (copy / "suite.yaml").read_text()
    (copy / "suite.yaml").write_text(text.replace("systems:\n", f"systems:\n{arm}"))
    (copy / "mine").mkdir()
    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}
    (copy / "mine" / "adapter_config.json").write_text(json.dumps(config))
    (copy / "mine" / "adapter_model.safetensors").write_bytes(b"weights")
    code, output = call("run", copy, parts)
    assert (code, "systems.hosted.served_adapter" in output) == (2, True), output
    assert "run the suite whole" in output


def test_the_parts_of_one_process_are_the_run_too(suite: Path, whole: Path) -> None:
    code, found = call("run", suite, "--workers", "2", "--json")
    assert code in {3, 4}, found
    assert_same_run(Path(found["run"]), whole)
