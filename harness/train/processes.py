"""The processes that train one model together: which one this is, what the main one decides, and what all have."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from harness.environment import launched, launched_sharded, value
from harness.errors import BrokenRunError, HarnessError, InvalidInputError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """One of `count` processes; each of them makes the same calls in the same order, or all of them end."""

    index: int = 0
    count: int = 1
    sharded: bool = False  # no process has all weights: FSDP or DeepSpeed

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes."""
        return self.index == 0

    def decide(self, make: Callable[[], T]) -> T:
        """What `make` gives in the main process, in all of them.

        Raises:
            SystemExit: in the others, when it failed in the main one, which tells why.
        """
        if self.count == 1:
            return make()
        told: list[Any] = [None, None]  # the value, and the exit code of a failure
        if self.is_main:
            try:
                told[0] = make()
            except (HarnessError, OSError) as error:
                told[1] = int(getattr(error, "exit_code", BrokenRunError.exit_code))
                self._tell(told)
                raise
        self._tell(told)
        if told[1] is not None:
            raise SystemExit(told[1])
        found: T = told[0]
        return found

    def _tell(self, told: list[Any]) -> None:
        with self.together():
            broadcast_object_list(told)

    def total(self, amount: T) -> T:
        """The sum of an amount over all processes, the same number in each; none goes on before all have come here."""
        if self.count == 1:
            return amount
        with self.together():
            return sum(gather_object([amount]))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A block in which processes wait for each other.

        Raises:
            BrokenRunError: another one ended, which torch has no error of its own for (gloo: RuntimeError).
        """
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or isinstance(error, torch.OutOfMemoryError):
                raise
            raise BrokenRunError(
                f"process {self.index} of {self.count} cannot go on, and no adapter was written: {error}; "
                "look for what the first process to end says"
            ) from error


ALONE = Processes()


def join_processes() -> Processes:
    """Join the processes that `accelerate launch` started, by its configuration; alone when it started one.

    Raises:
        InvalidInputError: one that is to share its weights with others.
        BrokenRunError: it is not the process that its environment says.
    """
    index, count = launched()
    if count == 1 and launched_sharded():
        raise InvalidInputError("one process shares its weights with no other; start several, or no FSDP or DeepSpeed")
    if count == 1:
        return ALONE
    on_cpu = not torch.cuda.is_available() or (value("ACCELERATE_USE_CPU") or "").lower() == "true"
    state = PartialState(cpu=on_cpu)
    if (state.process_index, state.num_processes) != (index, count):
        raise BrokenRunError(
            f"process {index} of {count} by its environment is {state.process_index} of {state.num_processes} for "
            "accelerate; start the processes with `accelerate launch`"
        )
    return Processes(index=index, count=count, sharded=launched_sharded() and not on_cpu)
