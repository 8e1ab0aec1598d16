"""Deal the rows of every update out to the processes that train together, so that each row is trained once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch.utils.data import Sampler

from harness.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateShare:
    """What process `index` of `count` takes of an update of `rows` rows: each `count`-th of them.

    Rows of an update are sorted by length, so that every process has as much to do. Shares may be uneven, since the
    loss is a mean over the items of the whole update.
    """

    index: int
    count: int
    rows: int  # of a whole update; the last one of an epoch may be smaller
    batch: int  # rows that one process computes at once
    accumulation: int  # batches of an update, as many in every process

    def batches_in(self, rows: int) -> int:
        """How many batches every process computes of an update of so many rows."""
        return math.ceil(math.ceil(rows / self.count) / self.batch)

    def of(self, update: Sequence[int], idle: int) -> list[list[int]]:
        """The batches of this process; where it has no row left while another one has, one of the row `idle`."""
        own = update[self.index :: self.count]
        found = [list(own[first : first + self.batch]) for first in range(0, len(own), self.batch)]
        return found + [[idle]] * (self.batches_in(len(update)) - len(found))


def share_updates(index: int, count: int, *, batch_size: int, accumulation: int) -> UpdateShare:
    """The share of one process of updates of `batch_size` x `accumulation` rows, in batches no larger than declared.

    Raises:
        InvalidInputError: more processes than rows.
    """
    rows = batch_size * accumulation
    if rows < count:
        raise InvalidInputError(
            f"train.batch_size: an update of {rows} rows cannot be shared by {count} processes; start fewer, or raise "
            "batch_size or gradient_accumulation"
        )
    most = math.ceil(rows / count)
    steps = math.ceil(most / batch_size)
    return UpdateShare(index=index, count=count, rows=rows, batch=math.ceil(most / steps), accumulation=steps)


class SharedBatches(Sampler[list[int]]):
    """The batches of one process in an epoch: of every update, in the order of one process, its share.

    `idle` is the number of a row that trains nothing.
    """

    def __init__(self, order: Sampler[int], share: UpdateShare, idle: int) -> None:
        self.sampler = order  # accelerate looks for it by this name
        self.batch_size, self.drop_last = share.batch, False
        self._share, self._idle = share, idle

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self._share.rows)  # type: ignore[arg-type]
        return whole * self._share.accumulation + self._share.batches_in(rest)

    def set_epoch(self, epoch: int) -> None:
        """Which epoch is drawn."""
        self.sampler.set_epoch(epoch)  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self.sampler)
        for first in range(0, len(order), self._share.rows):
            yield from self._share.of(order[first : first + self._share.rows], self._idle)
