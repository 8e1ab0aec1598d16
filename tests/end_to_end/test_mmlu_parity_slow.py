"""On real MMLU the harness equals lm-eval's own command-line run, question by question."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from harness.environment import cache_folder

pytestmark = pytest.mark.slow

DATA = os.environ.get("HARNESS_TEST_DATA")
SUBJECTS = ("anatomy", "high_school_geography", "marketing", "philosophy", "computer_security")
QUESTIONS = 40
DESCRIPTION = "The following are multiple choice questions (with answers) about {}.\n\n"


def write_task(folder: Path, subject: str, questions: list[dict[str, object]], dev: list[dict[str, object]]) -> None:
    """lm-eval's own MMLU template over local rows, as its documentation shows for offline use."""
    for split, rows in (("test", questions), ("dev", dev)):
        (folder / f"{subject}_{split}.json").write_text("\n".join(map(json.dumps, rows)))
    template = resources.files("lm_eval").joinpath("tasks/mmlu/default/_default_template_yaml")
    lines = [
        f"include: {template}",
        f"task: local_{subject}",
        "dataset_path: json",
        "dataset_kwargs:",
        "  data_files:",
        f"    test: {folder}/{subject}_test.json",
        f"    dev: {folder}/{subject}_dev.json",
        f"description: {json.dumps(DESCRIPTION.format(subject.replace('_', ' ')))}",
    ]
    (folder / f"{subject}.yaml").write_text("\n".join(lines) + "\n")


def csv_rows(path: Path) -> list[dict[str, object]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return [{"question": r[0], "choices": r[1:5], "answer": "ABCD".index(r[5])} for r in csv.reader(stream)]


@pytest.mark.skipif(DATA is None, reason="HARNESS_TEST_DATA does not name the folder with real MMLU")
def test_real_mmlu_equals_lm_evals_own_command(tmp_path: Path) -> None:
    from harness.benchmarks.run import run_benchmark
    from harness.benchmarks.tasks import BenchmarkTasks, plan_benchmark
    from harness.engine.catalogue import locate
    from harness.engine.loading import load
    from harness.engine.meter import Meter
    from harness.engine.session import ModelSession
    from harness.suite.schema import Benchmark

    mmlu = Path(str(DATA)) / "mmlu"
    planned = plan_benchmark(
        "mmlu", Benchmark(task="mmlu", mmlu_dir=str(mmlu), per_subject=QUESTIONS), folder=mmlu, seed=17
    )
    chosen = [subject for subject in planned.subjects if subject.name in SUBJECTS]
    tasks = BenchmarkTasks("mmlu", planned.template, chosen, planned.shots)
    _, model_folder = locate("smollm2-135m-instruct", suite_folder=tmp_path, cache=cache_folder())
    ours = run_benchmark(tasks, ModelSession(load("demo", model_folder), Meter()), system="base", adapter=None)

    folder = tmp_path / "tasks"
    folder.mkdir()
    for subject in chosen:
        rows = [{"question": q.question, "choices": list(q.choices), "answer": q.answer} for q in subject.asked]
        write_task(folder, subject.name, rows, csv_rows(mmlu / "dev" / f"{subject.name}_dev.csv"))
    command = [
        sys.executable, "-m", "lm_eval", "run", "--model", "hf",
        "--model_args", f"pretrained={model_folder},dtype=float32",
        "--tasks", ",".join(f"local_{subject.name}" for subject in chosen),
        "--include_path", str(folder), "--num_fewshot", "5", "--batch_size", "8", "--device", "cpu",
        "--log_samples", "--output_path", str(tmp_path / "out"),
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]

    theirs: dict[tuple[str, str], tuple[float, ...]] = {}
    for subject in chosen:
        (file,) = (tmp_path / "out").rglob(f"samples_local_{subject.name}_*.jsonl")
        for line in file.read_text().splitlines():
            sample = json.loads(line)
            values = tuple(float(response[0][0]) for response in sample["resps"])
            theirs[subject.name, sample["doc"]["question"]] = values
    questions = {q.id: (s.name, q.question) for s in chosen for q in s.asked}
    largest = 0.0
    for outcome in ours.outcomes:
        reference = theirs[questions[outcome.question_id]]
        largest = max(largest, *(abs(a - b) for a, b in zip(outcome.logprobs, reference, strict=True)))
        assert outcome.choice == max(range(4), key=lambda i: reference[i]), outcome
    print(f"{len(ours.outcomes)} questions, largest difference of a log-probability {largest:.2e}")
    assert len(ours.outcomes) == len(SUBJECTS) * QUESTIONS
    assert largest <= 1e-4
