"""Scoring time against its floating-point work at the rate of a bare forward pass, measured in the same process.

python -m tests.performance.flops --subjects 3 --per-subject 20
"""

from __future__ import annotations

import random
import time
from typing import Any

import torch

from harness.benchmarks.run import run_benchmark
from harness.benchmarks.tasks import BenchmarkTasks, plan_benchmark
from harness.engine.loglikelihood import ScoringUnit, plan_units
from harness.engine.meter import Meter
from harness.engine.session import ModelSession
from harness.suite.schema import Benchmark
from tests.performance.measure import alternate, arguments, data_folder, real_model, report

ROWS, LENGTH, PASSES = 8, 256, 4  # of the bare forward pass


def main() -> None:
    """Alternate the bare body and the scoring of MMLU, and compare their rates."""
    asked = arguments(__doc__ or "", subjects=3, per_subject=20, repeats=3, seed=0)
    base = real_model()
    declared = Benchmark(task="mmlu", mmlu_dir="mmlu", per_subject=asked.per_subject)
    planned = plan_benchmark("mmlu", declared, folder=data_folder(), seed=asked.seed)
    chosen = random.Random(asked.seed).sample(list(planned.subjects), asked.subjects)
    tasks = BenchmarkTasks(planned.name, planned.template, chosen, planned.shots)
    units: list[ScoringUnit] = []
    run_benchmark(tasks, _Recorder(base, units), system="base model", adapter=None)  # also warms up
    work = sum(_unit_flops(base.model.config, unit) for unit in units)
    ids = torch.randint(5, 40_000, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    bare_work = PASSES * _flops(base.model.config, ROWS * LENGTH, ROWS * LENGTH * (LENGTH + 1) / 2, 0)

    def bare() -> dict[str, float]:
        with torch.inference_mode():
            for _ in range(PASSES):
                base.model.model(input_ids=ids, use_cache=False)
        return {"teraflops": round(bare_work / 1e12, 3)}

    def harness() -> dict[str, float]:
        run_benchmark(tasks, ModelSession(base, Meter()), system="base model", adapter=None)
        return {"teraflops": round(work / 1e12, 3)}

    started = time.perf_counter()
    results = alternate({"harness": harness, "bare forward": bare}, repeats=asked.repeats)
    rate = bare_work / results["bare forward"]["seconds"]
    report(
        "flops",
        results,
        ours="harness",
        gigaflops_per_second_bare=round(rate / 1e9, 1),
        wall_over_work=round(results["harness"]["seconds"] / (work / rate), 3),
        measured_for_seconds=round(time.perf_counter() - started),
    )


class _Recorder(ModelSession):
    """A session that also notes what it was asked to score."""

    def __init__(self, base: Any, units: list[ScoringUnit]) -> None:
        super().__init__(base, Meter())
        self._units = units

    def score(self, requests: Any, *, adapter: str | None) -> Any:
        self._units += plan_units(requests)
        return super().score(requests, adapter=adapter)


def _unit_flops(config: Any, unit: ScoringUnit) -> float:
    """Multiplications and additions of a unit: linear layers, attention, and the head where it is read."""
    prefix = len(unit.prefix)
    seen = prefix * (prefix + 1) / 2
    for row in unit.rows:
        own = len(row.context) - prefix
        seen += own * prefix + own * (own + 1) / 2
        for branch in row.branches:
            extra = len(branch) - 1
            seen += extra * len(row.context) + extra * (extra + 1) / 2
    heads = sum(1 + sum(len(branch) - 1 for branch in row.branches) for row in unit.rows)
    return _flops(config, unit.forwarded_tokens, seen, heads)


def _flops(config: Any, tokens: float, seen: float, head_rows: float) -> float:
    """`seen` is the number of (query, key) pairs."""
    width, inner = config.hidden_size, config.intermediate_size
    head = getattr(config, "head_dim", None) or width // config.num_attention_heads
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    linear = 2 * width * queries + 2 * width * keys + 3 * width * inner
    attention = 2 * queries * seen
    return 2.0 * (config.num_hidden_layers * (tokens * linear + attention) + head_rows * width * config.vocab_size)


if __name__ == "__main__":
    main()
