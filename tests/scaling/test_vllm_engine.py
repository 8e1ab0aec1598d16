"""vLLM in the harness's own process gives the run that transformers gives: opt-in, as `test_vllm.py` is.

HARNESS_VLLM names the Python of an environment with vLLM, to which the harness and its libraries are added here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from in_parts import assert_same_run, call
from stored_verdict import own_part

ROOT = Path(__file__).parents[2]
DEMO, PROMOTED = ROOT / "suites" / "ticket-triage", ROOT / "baselines" / "ticket-triage" / "brief" / "adapter"
PYTHON = os.environ.get("HARNESS_VLLM")
PATIENCE = 1200.0  # seconds
ENGINE = "engine: {kind: vllm, gpu_memory_utilization: 0.2, max_model_len: 2048}\n"
SUITE = """\
suite: triage
seed: 17
model: smollm2-135m-instruct
data: {train: train.jsonl, test: test.jsonl, schema: ticket.schema.json}
decoding: {max_new_tokens: 24, batch_size: 4}
systems:
  candidate: {kind: adapter, role: candidate, from: adapter, system: plain.txt}
  prompt-only: {kind: prompt, system: plain.txt}
  few-shot: {kind: few_shot, shots: 4, selection: nearest}
  bound: {kind: constrained, over: prompt-only}
benchmarks:
  general: {task: general-knowledge, per_subject: 2}
checks:
  - {kind: better_than}
  - {kind: benchmark_drop, benchmark: general}
"""

pytestmark = pytest.mark.skipif(PYTHON is None, reason="HARNESS_VLLM names no Python of an environment with vLLM")


def write_suite(project: Path, *, engine: str) -> Path:
    folder = project / "suites" / "triage"
    (project / "baselines").mkdir(parents=True)
    shutil.copytree(PROMOTED, folder / "adapter")
    shutil.copytree(DEMO / "general-knowledge", folder / "general-knowledge")
    shutil.copy(DEMO / "prompts" / "plain.txt", folder)
    shutil.copy(DEMO / "ticket.schema.json", folder)
    for name, rows in (("train", 40), ("test", 20)):
        lines = (DEMO / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "suite.yaml").write_text(SUITE + engine)
    return folder


def by_vllm(project: Path, *arguments: object) -> dict[str, Any]:
    """What a command printed as JSON in an environment with vLLM."""
    assert PYTHON is not None
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    done = subprocess.run(
        [PYTHON, "-m", "harness", *map(str, arguments), "--fresh", "--json"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode in {0, 3, 4}, done.stdout[-2000:] + done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def rows(run: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def vllm_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("vllm")
    return Path(by_vllm(project, "run", write_suite(project, engine=ENGINE))["run"])


def test_its_answers_and_scores_are_those_of_transformers(
    vllm_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, found = call("run", write_suite(tmp_path, engine=""), "--fresh", "--json")
    own = Path(found["run"])
    ours, theirs = (
        {(one["system"], one["example_id"]): one for one in rows(run, "predictions")} for run in (own, vllm_run)
    )
    assert ours.keys() == theirs.keys() and len(ours) == 80
    for key, one in ours.items():
        other = theirs[key]
        if not (one["near_tie"] or other["near_tie"]):
            assert (one["text"], one["output_tokens"]) == (other["text"], other["output_tokens"]), key
            assert other["logprob"] == pytest.approx(one["logprob"], abs=1e-3), key
    ours_of, theirs_of = (rows(run, "benchmarks") for run in (own, vllm_run))
    for first, second in zip(ours_of, theirs_of, strict=True):
        for one, other in zip(first["outcomes"], second["outcomes"], strict=True):
            assert other["logprobs"] == pytest.approx(one["logprobs"], abs=1e-3)
    assert len(ours_of) == 2
    decisions = [own_part(run)["decision"] for run in (own, vllm_run)]
    assert decisions[0] == decisions[1]


def test_a_run_tells_which_arms_vllm_answered_for(vllm_run: Path) -> None:
    manifest = json.loads((vllm_run / "manifest.json").read_text())
    told = {one["name"]: "|engine:vllm " in one["signature"] for one in manifest["systems"]}
    assert told == {"candidate": True, "prompt-only": True, "few-shot": True, "bound": False}
    assert manifest["versions"]["vllm"] and manifest["counters"]["model_loads"] == 2


def test_its_shards_are_its_run_byte_for_byte(vllm_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = write_suite(tmp_path, engine=ENGINE)
    monkeypatch.chdir(tmp_path)
    shards = [by_vllm(tmp_path, "run", suite, "--shard", f"{index}/2")["folder"] for index in range(2)]
    _, found = call("merge", suite, *shards, "--json")
    assert_same_run(Path(found["run"]), vllm_run)
