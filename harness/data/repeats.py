"""Rows of one set that say the same, or contradict each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.data.folding import fold
from harness.data.leakage import Text, agree, comparable, is_explained, names, near_copy, similarity, words_apart
from harness.data.near_duplicates import find_candidates, is_one_edit
from harness.data.splits import prompt_key
from harness.data.templates import without_templates
from harness.records import Example

RepeatKind = Literal["duplicate", "contradiction", "near duplicate", "near contradiction"]

# As alike as questions must be for different answers to contradict each other (judged by eye on Banking77).
NEAR_CONTRADICTION = 0.85
MOST_WORDS_ADDED = 2

Answer = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A row and an earlier one of the same set; `similarity` is 1, or the share of equal pieces of near ones."""

    row: Example
    first: Example
    kind: RepeatKind
    similarity: float = 1.0


def find_repeats(rows: Sequence[Example], *, has_labels: bool, work: Counter[str] | None = None) -> tuple[Repeat, ...]:
    """Rows whose prompt, after normalisation, an earlier row has as well, or nearly; in the order of `rows`.

    With the same answer it is a duplicate, with another a contradiction; prompts under different system messages are
    different. Two preferences contradict each other when what one chooses the other rejects. Near contradictions are
    only looked for among rows that have labels for answers, since free answers to like questions may differ.
    """
    work = Counter() if work is None else work
    repeats: list[Repeat] = []
    firsts: dict[tuple[str, str], Example] = {}
    answered: dict[tuple[str, str], dict[Answer, Example]] = {}
    for row in rows:
        asked = (_system(row), prompt_key(row))
        earlier = answered.setdefault(asked, {})
        if repeat := _repeat(row, earlier):
            repeats.append(repeat)
        firsts.setdefault(asked, row)
        earlier.setdefault(_answer(row), row)
    repeats += _near_repeats(firsts, has_labels=has_labels, work=work)
    places = {id(row): place for place, row in enumerate(rows)}
    return tuple(sorted(repeats, key=lambda repeat: places[id(repeat.row)]))


def _repeat(row: Example, earlier: dict[Answer, Example]) -> Repeat | None:
    """What a row repeats among the earlier rows of the same prompt, by their answers."""
    answer = _answer(row)
    if answer in earlier:
        return Repeat(row=row, first=earlier[answer], kind="duplicate")
    if row.rejected is not None:
        swapped = earlier.get((answer[1], answer[0]))
        return Repeat(row=row, first=swapped, kind="contradiction") if swapped else None
    if earlier and row.messages:
        return Repeat(row=row, first=next(iter(earlier.values())), kind="contradiction")
    return None


def _near_repeats(firsts: dict[tuple[str, str], Example], *, has_labels: bool, work: Counter[str]) -> list[Repeat]:
    keys = [key for _, key in firsts]
    contents = without_templates(keys)
    texts = [Text.of(*parts) for parts in zip(firsts.values(), keys, contents, strict=True)]
    found = []
    for later, candidates in find_candidates(contents, work=work):
        for place in candidates:
            work["compared"] += 1
            if repeat := _near_repeat(texts[later], texts[place], has_labels=has_labels):
                found.append(repeat)
                break
    return found


def _near_repeat(later: Text, earlier: Text, *, has_labels: bool) -> Repeat | None:
    if _system(later.row) != _system(earlier.row):
        return None
    if near := near_copy(later, earlier):
        return Repeat(row=later.row, first=earlier.row, kind="near duplicate", similarity=near)
    if not has_labels or agree(later, earlier) is not False:
        return None
    prompts = comparable(later, earlier)
    near = similarity(*prompts) if _says_the_same(*prompts) else 0.0
    if near < NEAR_CONTRADICTION or is_explained(later, earlier):
        return None
    return Repeat(row=later.row, first=earlier.row, kind="near contradiction", similarity=near)


def _says_the_same(left: str, right: str) -> bool:
    """Whether two prompts differ in no word, in one or two that were added, or in a slip of the pen."""
    fewer, more = sorted(words_apart(left, right), key=len)
    if len(fewer) > 1 or len(more) > MOST_WORDS_ADDED or names(left) != names(right):
        return False
    return not fewer or (len(more) == 1 and is_one_edit(fewer.pop(), more.pop()))


def _system(row: Example) -> str:
    return fold(" ".join(message.content for message in row.messages if message.role == "system"))


def _answer(row: Example) -> Answer:
    answer, rejected = ((fold(text) if text is not None else None) for text in (row.target, row.rejected))
    return answer, rejected
