"""What the processes of the slow tests do beside `harness` itself."""

from __future__ import annotations

import resource
from pathlib import Path

from harness.records import StoredAnswer

BATCHES = 4


def batch(number: int) -> tuple[StoredAnswer, ...]:
    """Answers that fill a few pages of the store."""
    return tuple(
        StoredAnswer(
            tokens=tuple(range(number, number + 400)),
            ended=True,
            near_tie=False,
            logprob=-number - row / 8,
            seconds=0.5,
        )
        for row in range(6)
    )


def key_of(number: int) -> str:
    """The key of a batch."""
    return f"{number:064x}"


def put_batches(folder: str) -> None:
    """Store batches, one after the other, and note each that was acknowledged."""
    from harness.clock import utc_now
    from harness.store.answers import AnswerStore

    with AnswerStore(Path(folder) / "answers.sqlite", clock=utc_now) as store:
        for number in range(BATCHES):
            store.put_answers(key_of(number), "w" * 64, batch(number))
            (Path(folder) / f"acknowledged-{number}").mkdir()


def harness_within(bytes_a_file: str, *arguments: str) -> None:
    """The command `harness` where no file may grow beyond a size, as on a disk that is full."""
    from fork_server import command_line

    resource.setrlimit(resource.RLIMIT_FSIZE, (int(bytes_a_file), resource.RLIM_INFINITY))
    command_line(*arguments)


def write_suite(folder: str) -> None:
    """A suite that a run takes seconds for."""
    from tiny_model import write_tiny_suite

    quiz = Path(__file__).parents[1] / "fixtures" / "mmlu"
    write_tiny_suite(
        Path(folder),
        benchmarks=f"benchmarks:\n  quiz: {{task: mmlu, mmlu_dir: {quiz}, per_subject: 3, shots: 1}}",
        checks="checks:\n  - {kind: better_than}\n  - {kind: benchmark_drop, benchmark: quiz, blocking: false}",
    )
