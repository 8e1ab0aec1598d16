"""Draw test rows from a file so that nothing about them is learned from the rest."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.data.leakage import find_leaks
from harness.data.splits import prompt_key
from harness.records import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """The positions of the rows that are trained on and tested on.

    `repeated` rows are in neither: each is a test row that is given again. `near` counts the near copies, and the
    prompts within longer rows, that were put on one side together.
    """

    train: tuple[int, ...]
    test: tuple[int, ...]
    repeated: tuple[int, ...]
    near: int


def hold_out(rows: Sequence[Example], *, wanted: int, seed: int) -> Holdout:
    """Draw `wanted` rows for the test by the seed, or fewer where groups do not add up to as many.

    Rows with the same normalised prompt, of the same cluster, or of which one gives the other away (`find_leaks`) are
    a group and stay on one side. Each answer has the same share on both sides, as far as groups allow.
    """
    groups = _Groups(len(rows))
    for named in ([prompt_key(row) for row in rows], [row.cluster for row in rows]):
        groups.join_same(named)
    places = {id(row): place for place, row in enumerate(rows)}
    order = _order(rows, seed)
    near = 0
    while True:
        test = _draw(groups, rows, order, wanted)
        train = [place for place in range(len(rows)) if place not in test]
        leaks = find_leaks([rows[place] for place in sorted(test)], [rows[place] for place in train])
        if not leaks:
            break
        near += len(leaks)
        for leak in leaks:  # of two groups each, so that this ends
            groups.join(places[id(leak.row)], places[id(leak.twin)])
    firsts = {rows[place].id: place for place in sorted(test, reverse=True)}
    kept = tuple(sorted(firsts.values()))
    return Holdout(train=tuple(train), test=kept, repeated=tuple(sorted(test.difference(kept))), near=near)


class _Groups:
    """Which rows belong together: the rows of a group have one representative, its first row."""

    def __init__(self, count: int) -> None:
        self._first = list(range(count))

    def first(self, row: int) -> int:
        while self._first[row] != row:
            self._first[row] = self._first[self._first[row]]
            row = self._first[row]
        return row

    def join(self, row: int, other: int) -> None:
        one, two = sorted((self.first(row), self.first(other)))
        self._first[two] = one

    def join_same(self, names: Iterable[str | None]) -> None:
        """Join the rows of the same name; those without one stay as they are."""
        firsts: dict[str, int] = {}
        for row, name in enumerate(names):
            if name is not None:
                self.join(row, firsts.setdefault(name, row))


def _order(rows: Sequence[Example], seed: int) -> list[tuple[float, int]]:
    """When each row is drawn: the rows of each answer in random order, spread evenly over the whole."""
    shuffled = list(range(len(rows)))
    random.Random(f"init {seed}").shuffle(shuffled)
    by_answer: dict[str | None, list[int]] = defaultdict(list)
    for place in sorted(range(len(rows)), key=shuffled.__getitem__):
        by_answer[rows[place].target].append(place)
    when = [(0.0, 0)] * len(rows)
    for places in by_answer.values():
        for number, place in enumerate(places):
            when[place] = ((number + 0.5) / len(places), shuffled[place])
    return when


def _draw(groups: _Groups, rows: Sequence[Example], order: Sequence[tuple[float, int]], wanted: int) -> set[int]:
    """Whole groups, by the order of their first rows, until there are `wanted` different rows."""
    members: dict[int, list[int]] = defaultdict(list)
    for row in range(len(rows)):
        members[groups.first(row)].append(row)
    test, count = set[int](), 0
    for first in sorted(members, key=order.__getitem__):
        size = len({rows[row].id for row in members[first]})
        if count + size <= wanted:
            test.update(members[first])
            count += size
    return test
