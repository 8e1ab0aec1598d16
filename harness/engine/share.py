"""One of several equal parts of a run's work, the same whoever computes the others."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import InvalidInputError


@dataclass(slots=True)
class Share:
    """Every `count`-th unit of what is computed together, counted over the run from unit `index`.

    Every shard plans the whole run and walks through the same units in the same order, so that each unit is computed
    by exactly one of them, in the same batch as without shards.
    """

    index: int
    count: int
    _seen: int = 0

    def takes_next(self) -> bool:
        """Whether the next unit is this shard's own."""
        self._seen += 1
        return (self._seen - 1) % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_share(text: str) -> Share:
    """The share that "INDEX/COUNT" names, the index from 0.

    Raises:
        InvalidInputError: anything else.
    """
    match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise InvalidInputError(f"shard {text!r}: write INDEX/COUNT with INDEX from 0 to COUNT - 1, as 0/4")
    return Share(int(match[1]), int(match[2]))
