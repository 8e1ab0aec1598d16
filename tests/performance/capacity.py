"""What large evaluations would take, on paper: tokens counted here, GPU hours and money by arithmetic.

python -m tests.performance.capacity            # the table of the README, from the counts in capacity.json
python -m tests.performance.capacity --measure  # counts the tokens of MMLU anew (HARNESS_TEST_DATA), half an hour

Counted: the prompts of MMLU's 14,042 questions with five solved ones each, by lm-eval's template and the tokenizer of
SmolLM2, and of them the tokens that the engine forwards, which reads each subject's solved questions once. Computed:
everything about GPUs, by FLOPs = 2 x parameters x tokens (Kaplan et al. 2020, arXiv 2001.08361, without attention).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COUNTS = Path(__file__).with_name("capacity.json")

# The evaluation: two systems on all of MMLU, and six arms on a test set.
SYSTEMS, ARMS, EXAMPLES = 2, 6, 1000
PROMPT_TOKENS, ANSWER_TOKENS = 500, 100
# Assumptions: shares of the peak that reading reaches, and writing 32 answers at a time, which waits for memory.
READING, WRITING = 0.40, 0.05
SCALING = 0.9  # of what more machines should gain, they do
ROOM = 0.85  # of a card's memory that weights may take; the rest is keys, values and activations


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: its parameters, in billions."""

    name: str
    billions: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Cards of one kind: memory in GB, 16-bit TFLOP/s at the peak without sparsity, and a price of one for an hour."""

    name: str
    cards: int
    memory: int
    teraflops: float
    dollars: float
    scaling: float = 1.0


MODELS = (Model(name="8B", billions=8), Model(name="70B", billions=70))
MACHINES = (
    Machine(name="1 × 24 GB", cards=1, memory=24, teraflops=125, dollars=1.0),
    Machine(name="8 × 80 GB", cards=8, memory=80, teraflops=312, dollars=2.0),
    Machine(name="Ray, 4 × (8 × 80 GB)", cards=32, memory=80, teraflops=312, dollars=2.0, scaling=SCALING),
)
BITS = (16, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Tokens that go through a model."""

    read: float
    written: float


def workload(mmlu_tokens: float, *, systems: int = SYSTEMS, arms: int = ARMS) -> Work:
    """What so many systems on MMLU and so many arms on the test set read and write."""
    answers = arms * EXAMPLES
    return Work(read=systems * mmlu_tokens + answers * PROMPT_TOKENS, written=answers * ANSWER_TOKENS)


def gpu_hours(work: Work, model: Model, machine: Machine) -> float:
    """Hours of one card: multiplications over what it does of them."""
    flops = 2 * model.billions * 1e9 * (work.read / READING + work.written / WRITING)
    return flops / (machine.teraflops * 1e12) / 3600 / machine.scaling


def cards_needed(model: Model, machine: Machine, bits: int) -> int:
    """Cards that hold one copy of the weights: 1, 2, 4 or 8."""
    gigabytes = model.billions * bits / 8
    return next((cards for cards in (1, 2, 4, 8) if gigabytes <= cards * machine.memory * ROOM), 0)


def table(counts: dict[str, Any]) -> Iterator[str]:
    """The lines of the README's table."""
    alone, shared = workload(counts["prompt_tokens"]), workload(counts["forwarded_tokens"])
    again = workload(counts["forwarded_tokens"], systems=1, arms=1)
    columns = ("model", "on", "bits", "cards a copy", "GPU hours, no prefix shared", "GPU hours", "hours", "USD")
    yield f"| {' | '.join(columns)} | USD, next candidate |"
    yield "|---" * (len(columns) + 1) + "|"
    for model in MODELS:
        for machine in MACHINES:
            for bits in BITS if machine.cards == 1 else BITS[:1]:
                copy = cards_needed(model, machine, bits)
                place = f"| {model.name} | {machine.name} | {bits} |"
                if not copy or copy > machine.cards:
                    yield f"{place} does not fit | – | – | – | – | – |"
                    continue
                hours = gpu_hours(shared, model, machine)
                yield (
                    f"{place} {copy} | {gpu_hours(alone, model, machine):.1f} | {hours:.1f} | "
                    f"{hours / machine.cards:.2f} | {hours * machine.dollars:.2f} | "
                    f"{gpu_hours(again, model, machine) * machine.dollars:.2f} |"
                )


def facts(counts: dict[str, Any]) -> str:
    """The counted tokens in a sentence."""
    questions, prompts, forwarded = counts["questions"], counts["prompt_tokens"], counts["forwarded_tokens"]
    shared = workload(forwarded)
    return (
        f"{questions:,} questions have {prompts / questions:.0f} prompt tokens each, of which the engine forwards "
        f"{forwarded / questions:.0f}: {prompts / forwarded:.1f} times fewer. The whole reads {shared.read / 1e6:.1f} "
        f"million tokens ({workload(prompts).read / 1e6:.1f} million without shared prefixes) and writes "
        f"{shared.written / 1e6:.1f} million."
    )


def assumptions() -> str:
    """What the table takes for granted, in a sentence."""
    cards = {machine.memory: machine for machine in MACHINES}
    peaks = ", ".join(
        f"{card.teraflops:g} TFLOP/s at {card.dollars:g} USD an hour for a card of {memory} GB"
        for memory, card in sorted(cards.items())
    )
    return (
        f"Reading reaches {READING:.0%} of the peak, and writing 32 answers at a time, which waits for memory, "
        f"{WRITING:.0%}. The peaks are of 16-bit multiplications without sparsity: {peaks}; the cluster of four gains "
        f"{SCALING:.0%} of its cards."
    )


def measure() -> dict[str, Any]:
    """Count the tokens of MMLU, subject by subject; nothing goes through a model."""
    from harness.benchmarks.lm import SessionLM
    from harness.benchmarks.run import _evaluate
    from harness.benchmarks.tasks import BenchmarkTasks, plan_benchmark
    from harness.engine.loglikelihood import Scored, plan_units
    from harness.engine.meter import Meter
    from harness.engine.session import ModelSession
    from harness.suite.schema import Benchmark
    from tests.performance.measure import MODEL, data_folder, real_model

    class Counting(SessionLM):
        prompts = forwarded = 0

        def _score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Scored | None]:
            self.prompts += sum(map(len, {tuple(context) for context, _ in pairs}))
            self.forwarded += sum(unit.forwarded_tokens for unit in plan_units(pairs))
            return [Scored(0.0, False)] * len(pairs)

    declared = Benchmark(task="mmlu", mmlu_dir="mmlu", per_subject=None)
    planned = plan_benchmark("mmlu", declared, folder=data_folder(), seed=0)
    session = ModelSession(real_model(), Meter())
    counts = {"questions": 0, "prompt_tokens": 0, "forwarded_tokens": 0}
    for subject in planned.subjects:
        model = Counting(session, None)
        _evaluate(BenchmarkTasks(planned.name, planned.template, [subject], planned.shots), model)
        counts["questions"] += len(subject.asked)
        counts["prompt_tokens"] += model.prompts
        counts["forwarded_tokens"] += model.forwarded
        print(f"  {subject.name}: {model.prompts:,} tokens, {model.forwarded:,} forwarded", flush=True)
    return {"benchmark": "mmlu", "shots": planned.shots, "tokenizer": MODEL, **counts}


def main() -> None:
    """Print the counted tokens and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="count the tokens anew")
    if parser.parse_args().measure:
        COUNTS.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    counts = json.loads(COUNTS.read_text(encoding="utf-8"))
    print(facts(counts), assumptions(), *table(counts), sep="\n")


if __name__ == "__main__":
    main()
