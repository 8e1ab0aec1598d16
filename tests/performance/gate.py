"""A whole gate against three runs of lm-eval: cold, with the baselines stored, and again with nothing changed.

    python -m tests.performance.gate --subjects 5 --per-subject 20 --rows 100

Three systems (bare prompt, previous adapter, candidate) answer held-out tickets, and MMLU is asked. lm-eval runs once
for each system, as a process of its own, with the same questions, prompts and token budget.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from harness.benchmarks.questions import read_subjects
from harness.engine.catalogue import locate
from harness.environment import cache_folder
from tests.performance.measure import MODEL, OUTPUT, arguments, data_folder

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "suites" / "ticket-triage"
ADAPTER = ROOT / "baselines" / "ticket-triage" / "brief" / "adapter"
TOKENS = 24
SUITE = """\
suite: gate
seed: 17
model: smollm2-135m-instruct
data: {{test: test.jsonl}}
decoding: {{max_new_tokens: {tokens}, batch_size: 32}}
systems:
  candidate: {{kind: adapter, role: candidate, system: plain.txt, from: candidate}}
  prompt-only: {{kind: prompt, role: baseline, system: plain.txt}}
  previous: {{kind: adapter, role: baseline, system: plain.txt, from: previous}}
benchmarks:
  mmlu: {{task: mmlu, mmlu_dir: mmlu, per_subject: {per_subject}}}
checks:
  - {{kind: better_than}}
  - {{kind: benchmark_drop, benchmark: mmlu}}
"""


def main() -> None:
    """Time both sides, one after the other; each is a process from start to exit code."""
    asked = arguments(__doc__ or "", subjects=5, per_subject=20, rows=100, seed=0)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        suite = _write_suite(work, asked)
        cache = work / "cache"
        shutil.copytree(cache_folder() / "models", cache / "models", symlinks=True)
        seconds: dict[str, Any] = {}
        seconds["cold"], cold = _harness(suite, cache)
        _nudge(suite / "candidate", 1.01)
        seconds["baselines stored"], warm = _harness(suite, cache)
        seconds["nothing changed"], _ = _harness(suite, cache)
        runs = {system: _lm_eval(work, suite, system, asked) for system in ("candidate", "prompt-only", "previous")}
        theirs = sum(runs.values())
        whole = {
            "harness": seconds,
            "lm-eval": runs,
            "counters": {"cold": cold, "baselines stored": warm},
            "ratios": {name: round(theirs / taken, 2) for name, taken in seconds.items()},
            "cold over unchanged": round(seconds["cold"] / seconds["nothing changed"], 1),
        }
    print(json.dumps(whole, indent=1))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "gate.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def _write_suite(work: Path, asked: Any) -> Path:
    folder = work / "suites" / "gate"
    folder.mkdir(parents=True)
    rows = (DEMO / "test.jsonl").read_text(encoding="utf-8").splitlines()[: asked.rows]
    (folder / "test.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    shutil.copy(DEMO / "prompts" / "plain.txt", folder / "plain.txt")
    subjects = sorted(read_subjects(data_folder() / "mmlu"))
    for split in ("dev", "test"):
        (folder / "mmlu" / split).mkdir(parents=True)
    for name in random.Random(asked.seed).sample(subjects, asked.subjects):
        for split in ("dev", "test"):
            shutil.copy(data_folder() / "mmlu" / split / f"{name}_{split}.csv", folder / "mmlu" / split)
    for name in ("candidate", "previous"):
        shutil.copytree(ADAPTER, folder / name)
    _nudge(folder / "candidate", 1.02)
    text = SUITE.format(tokens=TOKENS, per_subject=asked.per_subject)
    (folder / "suite.yaml").write_text(text, encoding="utf-8")
    return folder


def _nudge(adapter: Path, factor: float) -> None:
    """Another adapter of the same size: every tensor times a factor."""
    file = adapter / "adapter_model.safetensors"
    save_file({name: tensor * factor for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})


def _harness(suite: Path, cache: Path) -> tuple[float, dict[str, int]]:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", str(suite), "--json"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "HARNESS_CACHE": str(cache)},
        check=False,
    )
    taken = time.perf_counter() - started
    assert done.returncode in {0, 3, 4}, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    manifest = json.loads((Path(found["run"]) / "manifest.json").read_text(encoding="utf-8"))
    print(f"  harness: {taken:.1f} s", flush=True)
    return taken, manifest["counters"]


def _lm_eval(work: Path, suite: Path, system: str, asked: Any) -> float:
    _, model = locate(MODEL, suite_folder=suite, cache=cache_folder())
    tasks = work / "tasks"
    if not tasks.is_dir():
        _write_tasks(tasks, suite, asked)
    names = ",".join(sorted("tickets" if p.stem == "tickets" else f"local_{p.stem}" for p in tasks.glob("*.yaml")))
    peft = "" if system == "prompt-only" else f",peft={suite / system}"
    command = [
        sys.executable, "-m", "lm_eval", "run", "--model", "hf",
        "--model_args", f"pretrained={model},dtype=float32{peft}", "--tasks", names,
        "--include_path", str(tasks), "--batch_size", "8", "--device", "cpu",
        "--log_samples", "--output_path", str(work / "out" / system),
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(work / "datasets")}
    started = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, check=False
    )
    taken = time.perf_counter() - started
    assert done.returncode == 0, done.stderr[-3000:]
    print(f"  lm-eval {system}: {taken:.1f} s", flush=True)
    return taken


def _write_tasks(tasks: Path, suite: Path, asked: Any) -> None:
    """The same tickets as a generation task, and the same subjects by lm-eval's own MMLU template."""
    from transformers import AutoTokenizer

    tasks.mkdir()
    _, model = locate(MODEL, suite_folder=suite, cache=cache_folder())
    tokenizer = AutoTokenizer.from_pretrained(model)
    system = (suite / "plain.txt").read_text(encoding="utf-8").strip()
    rows = [json.loads(line) for line in (suite / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "system", "content": system}, row["messages"][0]], tokenize=False, add_generation_prompt=True
        )
        for row in rows
    ]
    answers = [row["messages"][1]["content"] for row in rows]
    _write_rows(tasks / "tickets.json", [{"prompt": p, "answer": a} for p, a in zip(prompts, answers, strict=True)])
    (tasks / "tickets.yaml").write_text(
        f"task: tickets\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {tasks}/tickets.json\n"
        "test_split: test\noutput_type: generate_until\ndoc_to_text: '{{prompt}}'\ndoc_to_target: '{{answer}}'\n"
        f"generation_kwargs: {{until: ['<|im_end|>'], max_gen_toks: {TOKENS}, do_sample: false}}\n"
        "metric_list:\n  - metric: exact_match\n",
        encoding="utf-8",
    )
    template = resources.files("lm_eval").joinpath("tasks/mmlu/default/_default_template_yaml")
    for name, (test, dev) in read_subjects(suite / "mmlu").items():
        for split, questions in (("test", test[: asked.per_subject]), ("dev", dev)):
            _write_rows(
                tasks / f"{name}_{split}.json",
                [{"question": q.question, "choices": list(q.choices), "answer": q.answer} for q in questions],
            )
        description = f"The following are multiple choice questions (with answers) about {name.replace('_', ' ')}.\n\n"
        (tasks / f"{name}.yaml").write_text(
            f"include: {template}\ntask: local_{name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
            f"    test: {tasks}/{name}_test.json\n    dev: {tasks}/{name}_dev.json\nnum_fewshot: 5\n"
            f"description: {json.dumps(description)}\n",
            encoding="utf-8",
        )


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
