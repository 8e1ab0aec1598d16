"""How the work grows, asserted on exact counts: with systems, adapters, questions and rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_model import load_tiny

from harness.benchmarks.run import count_benchmark, run_benchmark
from harness.benchmarks.tasks import BenchmarkTasks, plan_benchmark
from harness.engine.batching import BATCH_TOKENS
from harness.engine.generate import GenerationSettings
from harness.engine.meter import Meter
from harness.engine.session import ModelSession
from harness.suite.schema import Benchmark

FIXTURE = Path(__file__).parent.parent / "fixtures" / "mmlu"


@pytest.fixture
def session(tmp_path: Path) -> ModelSession:
    return ModelSession(load_tiny(tmp_path / "model"), Meter())


def tasks_of(per_subject: int) -> BenchmarkTasks:
    declared = Benchmark(task="mmlu", mmlu_dir=str(FIXTURE), per_subject=per_subject)
    return plan_benchmark("mmlu", declared, folder=FIXTURE, seed=7)


class Recorder(ModelSession):
    """A session that notes what it is asked to score."""

    def score(self, requests: Any, *, adapter: str | None) -> Any:
        self.requests = list(requests)
        return super().score(requests, adapter=adapter)


def contexts(session: ModelSession, tasks: BenchmarkTasks) -> dict[str, list[list[int]]]:
    """Subject -> the token ids of its questions' prompts, as lm-eval asks them."""
    recorder = Recorder(session.base, Meter())
    run_benchmark(tasks, recorder, system="base model", adapter=None)
    asked = {tuple(context) for context, _ in recorder.requests}
    return {
        subject.name: [list(ids) for ids in asked if subject.name.replace("_", " ") in session.tokenizer.decode(ids)]
        for subject in tasks.subjects
    }


def common(rows: Sequence[Sequence[int]]) -> int:
    first, last = min(map(tuple, rows)), max(map(tuple, rows))
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


@pytest.mark.parametrize("per_subject", [2, 4])
def test_each_few_shot_block_is_read_once_a_system_and_each_question_once(
    per_subject: int, session: ModelSession
) -> None:
    tasks = tasks_of(per_subject)
    expected = 0
    for rows in contexts(session, tasks).values():
        shared = common(rows)
        expected += shared + sum(len(row) - shared + 4 for row in rows)  # and the spaces before four letters
    for systems in (1, 2, 3):
        run_benchmark(tasks, session, system=f"system {systems}", adapter=None)
        assert abs(session.meter.forwarded_tokens - systems * expected) <= 0.02 * systems * expected
    questions = sum(len(subject.asked) for subject in tasks.subjects)
    # A letter and its space are two tokens here: the last position of the prompt, and one for each of four letters.
    assert session.meter.head_rows == 3 * questions * 5
    assert session.meter.tokenizer_calls == 3


def test_the_plan_of_a_benchmark_counts_what_the_run_then_does(session: ModelSession) -> None:
    tasks = tasks_of(3)
    assert count_benchmark(tasks, session, adapter=None)[0] > 0
    assert session.meter.forwarded_tokens == 0
    planned, stored = count_benchmark(tasks, session, adapter=None)
    run_benchmark(tasks, session, system="base model", adapter=None)
    assert (session.meter.forwarded_tokens, 0) == (planned, stored)


@contextmanager
def widest_pass(session: ModelSession) -> Iterator[list[tuple[int, int]]]:
    """(rows, tokens a row) of every pass through the model."""
    seen: list[tuple[int, int]] = []

    def note(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        seen.append(tuple(kwargs["input_ids"].shape))

    hook = session.base.model.model.register_forward_pre_hook(note, with_kwargs=True)
    yield seen
    hook.remove()


def test_no_pass_grows_with_the_number_of_rows(session: ModelSession) -> None:
    settings = GenerationSettings(max_new_tokens=3, batch_size=4)
    widest = []
    for count in (20, 200):
        prompts = [[2 + (i * 7 + j) % 200 for j in range(5 + i % 30)] for i in range(count)]
        with widest_pass(session) as seen:
            list(session.generate(prompts, settings, adapter=None))
            session.score([(prompt * 3, [9]) for prompt in prompts], adapter=None)
        widest.append(max(rows * tokens for rows, tokens in seen))
        assert max(rows for rows, tokens in seen if tokens == 1) <= settings.batch_size
    assert max(widest) <= BATCH_TOKENS
