"""MMLU against lm-eval's own HFLM at its best batch size: the same model, questions and template, in one process.

python -m tests.performance.mmlu --subjects 10 --per-subject 20 --shots 5
python -m tests.performance.mmlu --shots 0
python -m tests.performance.mmlu --texts 1       # the choices are scored by their text, not their letter
"""

from __future__ import annotations

import random
import time
from typing import Any

from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from harness.benchmarks.run import run_benchmark
from harness.benchmarks.tasks import BenchmarkTasks, plan_benchmark
from harness.engine.meter import Meter
from harness.engine.session import ModelSession
from harness.suite.schema import Benchmark
from tests.performance.measure import alternate, arguments, data_folder, real_model, report

BATCH_SIZES = (1, 4, 8, 16)
Scores = dict[str, tuple[float, ...]]


def main() -> None:
    """Compare both engines on a seeded choice of subjects."""
    asked = arguments(__doc__ or "", subjects=10, per_subject=20, shots=5, repeats=1, seed=0, texts=0, batch=0)
    base = real_model()
    tasks = _tasks(asked)
    chosen = random.Random(asked.seed).sample([subject.name for subject in tasks.subjects], asked.subjects)
    tasks = _only(tasks, chosen)
    batch, trials = (asked.batch, {}) if asked.batch else _best_batch(base, _only(tasks, chosen[:2]))
    found: dict[str, Scores] = {}

    def ours() -> dict[str, int]:
        meter = Meter()
        result = run_benchmark(tasks, ModelSession(base, meter), system="base model", adapter=None)
        found["harness"] = {outcome.question_id: outcome.logprobs for outcome in result.outcomes}
        reading = meter.reading()
        return {
            "forwarded_tokens": reading.forwarded_tokens,
            "head_rows": reading.head_rows,
            "tokenizer_calls": reading.tokenizer_calls,
        }

    def theirs() -> dict[str, int]:
        found["lm-eval"] = _lm_eval(base, tasks, batch)
        return {"batch_size": batch}

    results = alternate({"harness": ours, "lm-eval": theirs}, repeats=asked.repeats)
    pairs = [(found["harness"][name], found["lm-eval"][name]) for name in found["lm-eval"]]
    report(
        f"mmlu-{asked.shots}shot-{asked.per_subject}{'-texts' if asked.texts else ''}",
        results,
        ours="harness",
        questions=len(pairs),
        subjects=sorted(chosen),
        batch_trials=trials,
        different_choices=sum(_best(mine) != _best(other) for mine, other in pairs),
        largest_difference=max(abs(a - b) for mine, other in pairs for a, b in zip(mine, other, strict=True)),
    )


def _tasks(asked: Any) -> BenchmarkTasks:
    declared = Benchmark(task="mmlu", mmlu_dir="mmlu", shots=asked.shots, per_subject=asked.per_subject)
    tasks = plan_benchmark("mmlu", declared, folder=data_folder(), seed=asked.seed)
    template = dict(tasks.template)
    if asked.texts:
        template |= {"doc_to_text": "{{question.strip()}}\nAnswer:", "doc_to_choice": "{{choices}}"}
    return BenchmarkTasks(tasks.name, template, tasks.subjects, tasks.shots)


def _only(tasks: BenchmarkTasks, names: list[str]) -> BenchmarkTasks:
    kept = [subject for subject in tasks.subjects if subject.name in names]
    return BenchmarkTasks(tasks.name, tasks.template, kept, tasks.shots)


def _best_batch(base: Any, tasks: BenchmarkTasks) -> tuple[int, dict[int, float]]:
    """The batch size at which lm-eval is fastest on two subjects."""
    trials = {}
    for size in BATCH_SIZES:
        started = time.perf_counter()
        _lm_eval(base, tasks, size)
        trials[size] = round(time.perf_counter() - started, 2)
        print(f"  lm-eval at batch {size}: {trials[size]} s on two subjects", flush=True)
    return min(trials, key=lambda size: trials[size]), trials


def _lm_eval(base: Any, tasks: BenchmarkTasks, batch: int) -> Scores:
    result = simple_evaluate(
        model=HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=batch, device="cpu"),
        tasks=tasks.build(),
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
    )
    assert result is not None
    samples = [sample for subject in tasks.subjects for sample in result["samples"][tasks.task_name(subject)]]
    return {s["doc"]["question_id"]: tuple(float(r[0][0]) for r in s["resps"]) for s in samples}


def _best(logprobs: tuple[float, ...]) -> int:
    return max(range(len(logprobs)), key=lambda index: logprobs[index])


if __name__ == "__main__":
    main()
