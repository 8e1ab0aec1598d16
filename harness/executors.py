"""Where the parts of a run are computed: in this process one after another, or by the workers of a Ray cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from harness.environment import THREADS, value
from harness.errors import HarnessError, InvalidInputError

Item = TypeVar("Item")
Result = TypeVar("Result")
ATTEMPTS = 3  # at a part whose worker dies


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A part that no worker lived to finish, and why."""

    why: str


class Executor(Protocol):
    """Computes parts that do not depend on each other."""

    def map(self, compute: Callable[[Item], Result], items: Sequence[Item]) -> list[Result | GivenUp]:
        """`compute` of each item, in their order; an error that `compute` raises is raised here."""

    def apart(self) -> Executor:
        """The same, with a process for each part, which ends with it.

        Raises:
            InvalidInputError: it has one process only.
        """


class LocalExecutor:
    """One part after another in this process."""

    def map(self, compute: Callable[[Item], Result], items: Sequence[Item]) -> list[Result | GivenUp]:
        """`compute` of each item."""
        return [compute(item) for item in items]

    def apart(self) -> Executor:
        """There is one process.

        Raises:
            InvalidInputError: always.
        """
        raise InvalidInputError("--workers: one process starts vLLM once; `--executor ray` has one for each part")


@dataclass(frozen=True, slots=True, kw_only=True)
class RayExecutor:
    """A Ray task for each part; one whose worker dies is started again on another.

    Ray finds its cluster by RAY_ADDRESS, and starts one of this machine's cores where that is not set.

    Args:
        cpus, gpus: what a worker is given; parts of a GPU let several share one.
        attempts: at a part, before it is given up.
        reused: a worker may compute several parts, which saves its start.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    attempts: int = ATTEMPTS
    reused: bool = True

    def apart(self) -> Executor:
        """A worker for each part."""
        return replace(self, reused=False)

    def map(self, compute: Callable[[Item], Result], items: Sequence[Item]) -> list[Result | GivenUp]:
        """`compute` of each item; both travel to the workers, and so does the number of threads of this process.

        Raises:
            InvalidInputError: Ray is not installed.
        """
        with _ray() as ray:
            calls = 0 if self.reused else 1  # 0: no limit
            settings = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_calls": calls}
            task = ray.remote(**settings, max_retries=self.attempts - 1)(_work)
            waiting = [task.remote(compute, item, value(THREADS)) for item in items]
            return [self._result(ray, reference) for reference in waiting]

    def _result(self, ray: Any, reference: Any) -> Any:
        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, HarnessError):
                raise error.cause from None  # the same on every worker: trying again would not help
            raise
        except ray.exceptions.RayError as error:
            return GivenUp(f"its worker died {self.attempts} times: {type(error).__name__}")


def _work(compute: Callable[[Item], Result], item: Item, threads: str | None) -> Result:
    """What a worker does: compute with the threads of the process that asked, since sums depend on their number."""
    from harness.environment import set_threads

    set_threads(threads)
    return compute(item)


@contextlib.contextmanager
def _ray() -> Iterator[Any]:
    try:
        import ray
    except ImportError:
        raise InvalidInputError(
            "`--executor ray` needs Ray, which is not installed here; `pip install 'lora-harness[ray]'`"
        ) from None
    began = not ray.is_initialized()
    if began:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield ray
    finally:
        if began:
            ray.shutdown()
