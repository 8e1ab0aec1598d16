"""Builds run folders without a model, so that the light half can be tried on every kind of evidence."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.records import (
    BASE_MODEL,
    FORMAT_VERSION,
    BenchmarkResult,
    Counters,
    DriftRow,
    Example,
    LeakedExample,
    LeakSearch,
    Liveness,
    LossPoint,
    Message,
    Prediction,
    Preference,
    QuestionOutcome,
    RunManifest,
    SystemFact,
    TrainingHistory,
)
from harness.store.runs import begin_run, finish_run, write_evidence
from harness.suite.load import LoadedSuite, parse_suite

SCHEMA = (
    b'{"type":"object","properties":{"label":{"enum":["a","b"]}},"required":["label"],"additionalProperties":false}'
)
LABELS = ('{"label":"a"}', '{"label":"b"}')
INVALID = "no idea"

SUITE = """\
suite: fixture
seed: 3
model: smollm2-135m-instruct
data: {train: train.jsonl, test: test.jsonl, probe: probe.jsonl, schema: schema.json}
train: {method: lora}
systems:
  candidate: {kind: adapter, role: candidate}
  bare: {kind: prompt, role: baseline}
benchmarks:
  general: {task: mmlu}
checks:
  - {kind: better_than, scorer: exact_match, baselines: all}
  - {kind: valid_output, on: probe, bar: 99.5%}
  - {kind: benchmark_drop, benchmark: general, margin: 5%, margin_type: relative}
  - {kind: healthy_training}
"""


@dataclass
class Fixture:
    """The evidence of one run; every field can be changed before it is written."""

    suite_text: str = SUITE
    finished: str = "2100-01-01T00:10:00+00:00"  # after every judgement, so that none finds the evidence too old
    schema: bytes | None = SCHEMA
    n_test: int = 200
    n_probe: int = 1000
    pool: int | None = None  # examples in the test set, when the run stopped before all were answered
    benchmark_pool: int | None = None  # questions in the whole benchmark, when they are in random order
    candidate_right: Callable[[int], bool] = lambda i: i % 10 != 0  # 90 %
    baseline_right: Callable[[int], bool] = lambda i: i % 2 == 0  # 50 %
    invalid_probes: int = 0
    base_correct: Callable[[int], bool] = lambda i: i % 10 < 7  # 70 %
    tuned_correct: Callable[[int], bool] = lambda i: i % 10 < 7
    questions: int = 1000
    liveness: Liveness | None = field(
        default_factory=lambda: Liveness(
            prompts=200, differing_answers=150, max_logit_difference=3.2, logits_finite=True
        )
    )
    history: TrainingHistory | None = field(default_factory=lambda: history_of((2.0, 1.0, 0.5, 0.6), best=2))
    replicas_right: tuple[Callable[[int], bool], ...] = ()  # one for each further training seed
    trained_tokens: int = 0  # what the counters say when there is no history
    drift: tuple[float, ...] = ()  # divergence of each row of general.jsonl
    preferences: tuple[Preference, ...] = ()
    leaks: tuple[LeakedExample, ...] = ()
    edit_predictions: Callable[[list[Prediction]], list[Prediction]] = lambda rows: rows
    edit_benchmarks: Callable[[list[BenchmarkResult]], list[BenchmarkResult]] = lambda rows: rows
    tags: Callable[[int], tuple[str, ...]] = lambda i: ("odd",) if i % 2 else ()

    def write(self, folder: Path) -> Path:
        """Write the run folder and return it."""
        suite = parse_suite(self.suite_text, folder / "suite.yaml", {}, files=False)
        test = [_example(f"test-{i}", LABELS[i // 2 % 2], self.tags(i)) for i in range(self.n_test)]
        probe = [_example(f"probe-{i}", None) for i in range(self.n_probe)]
        predictions = [
            *(_answer(e, "candidate", "test", self.candidate_right(i)) for i, e in enumerate(test)),
            *(_answer(e, "bare", "test", self.baseline_right(i)) for i, e in enumerate(test)),
            *(
                _answer(e, name, "test", right(i))
                for name, right in zip(suite.suite.replicas, self.replicas_right, strict=False)
                for i, e in enumerate(test)
            ),
            *(
                replace(_answer(e, "candidate", "probe", True), text=INVALID if i < self.invalid_probes else LABELS[0])
                for i, e in enumerate(probe)
            ),
        ]
        benchmarks = [
            replace(outcomes_of(BASE_MODEL, self.questions, self.base_correct), pool=self.benchmark_pool),
            replace(outcomes_of("candidate", self.questions, self.tuned_correct), pool=self.benchmark_pool),
        ]
        folder = begin_run(folder, {})
        adapter = folder / "adapter"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
        (adapter / "adapter_model.safetensors").write_bytes(b"weights")
        search = LeakSearch(compared=120, leaks=self.leaks)
        reports = {"training": self.history, "liveness": self.liveness, "leaks": search}
        write_evidence(
            folder,
            suite_text=self.suite_text,
            schema=self.schema,
            examples={"test": test, "probe": probe},
            tables={
                "predictions": self.edit_predictions(predictions),
                "benchmarks": self.edit_benchmarks(benchmarks),
                "drift": [
                    DriftRow(prompts="general.jsonl", example_id=f"g{i}", kl=value, tokens=9)
                    for i, value in enumerate(self.drift)
                ],
                "preferences": self.preferences,
            },
            reports={name: record for name, record in reports.items() if record is not None},
        )
        manifest = _manifest(folder, suite, self.n_test, self.n_probe, self.pool)
        replicas = list(suite.suite.replicas)[: len(self.replicas_right)]
        planned = {**manifest.planned, **{f"{name}/test": self.n_test for name in replicas}}
        if self.history is None:
            manifest = replace(manifest, counters=replace(manifest.counters, trained_tokens=self.trained_tokens))
        finish_run(folder, replace(manifest, planned=planned, finished=self.finished))
        return folder


def history_of(losses: Sequence[float], *, best: int, **changes: object) -> TrainingHistory:
    """A history with one validation loss a step."""
    points = tuple(
        LossPoint(step=i, epoch=i / 2, train_loss=None if i == 0 else loss, validation_loss=loss)
        for i, loss in enumerate(losses)
    )
    facts = TrainingHistory(
        method="lora",
        points=points,
        best_step=best,
        last_step=len(losses) - 1,
        stop_reason="all 3 epochs are done",
        diverged=False,
        stopped_early=False,
        weights_finite=True,
        trainable_parameters=100,
        total_parameters=10_000,
        trained_tokens=5_000,
        validation_tokens=300,
        train_rows=100,
        mixed_rows=10,
        validation_rows=10,
        truncated_rows=0,
        seconds=12.0,
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def outcomes_of(system: str, n: int, correct: Callable[[int], bool]) -> BenchmarkResult:
    """A benchmark of `n` four-choice questions over two subjects."""
    outcomes = tuple(
        QuestionOutcome(
            question_id=f"q{i}",
            subject="first" if i % 2 else "second",
            logprobs=(-1.0, -2.0, -3.0, -4.0) if correct(i) else (-2.0, -1.0, -3.0, -4.0),
            choice=0 if correct(i) else 1,
            target=0,
            correct=correct(i),
        )
        for i in range(n)
    )
    return BenchmarkResult(
        benchmark="general",
        system=system,
        task_digest="t" * 64,
        chance=0.25,
        outcomes=outcomes,
        weights={"first": 0.5, "second": 0.5},
    )


def _example(name: str, target: str | None, tags: tuple[str, ...] = ()) -> Example:
    return Example(id=name, messages=(Message(role="user", content=f"ask {name}"),), target=target, tags=tags)


def _answer(example: Example, system: str, dataset: str, right: bool) -> Prediction:
    target = example.target or LABELS[0]
    text = target if right else next(label for label in LABELS if label != target)
    return Prediction(
        example_id=example.id,
        system=system,
        dataset=dataset,
        text=text,
        stop="end",
        prompt_tokens=12,
        output_tokens=6,
        seconds=0.01,
    )


def _manifest(folder: Path, loaded: LoadedSuite, n_test: int, n_probe: int, pool: int | None) -> RunManifest:
    planned = {"candidate/test": n_test, "bare/test": n_test, "candidate/probe": n_probe}
    return RunManifest(
        format_version=FORMAT_VERSION,
        run_id=folder.name,
        suite=loaded.suite.suite,
        suite_path="fixture",
        tool_version="0",
        started="2026-01-01T00:00:00+00:00",
        finished="",
        seed=loaded.suite.seed,
        command="harness run fixture",
        git_commit=None,
        git_dirty=False,
        systems=(
            SystemFact(name="candidate", kind="adapter", role="candidate", signature="model:1|adapter:2"),
            SystemFact(name="bare", kind="prompt", role="baseline", signature="model:1"),
        ),
        absent_systems={},
        planned={name: count for name, count in planned.items() if count},
        pool={"test": pool or n_test, "probe": n_probe},
        digests={"test.jsonl": "t" * 64, "suite": loaded.digest, "base": "b" * 64, "adapter:candidate": "c" * 64},
        evidence={},
        versions={"python": "3.11"},
        overrides={},
        counters=Counters(trained_tokens=5000, generated_tokens=900, forwarded_tokens=7000, model_loads=1),
        seconds={"train": 12.0},
    )
