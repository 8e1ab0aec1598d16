"""Which held-out rows a model may have been trained on, in whatever disguise."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from harness.data.folding import fold
from harness.data.near_duplicates import find_candidates, jaccard, pieces
from harness.data.splits import prompt_key
from harness.data.templates import without_templates
from harness.records import Example, LeakKind

# So many words in a row are the same by copying, not by chance (Brown et al. 2020, arXiv 2005.14165, appendix C).
SURE_WORDS = 13
TELLING_WORDS = 8  # of a prompt that is contained in a row with another answer
FEWEST_CHARACTERS = 24  # of a prompt that is contained in a row with the same answer
# Near copies of rows with the same answer, judged by eye on Banking77 and SNIPS; without answers to tell a copy from
# a sibling ("3 stars", "4 stars"), only what differs in a few letters is one.
NEAR, NEAR_WITHOUT_ANSWERS = 0.75, 0.9
NEAR_WITH_FEW_CHANGES, WORDS_PER_CHANGE = 0.5, 8  # where at most one word in eight is another
SAME_MEANING = 0.8  # of two answers
FEWEST_SHARED_PIECES = 24  # fewer are shared by short questions that only sound alike
# Another question about the same text differs in more words than a copy that was edited.
MOST_WORDS_CHANGED = 6
# What is asked about: a number, or a single letter that is no word and no part of one ("don't", "e-mail").
_NAME = re.compile(r"\d+|\b(?:[bcf-hj-ln-ru-z]|zero|one|two|three|four|five|six|seven|eight|nine|ten)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A held-out row and the row that gives it away.

    `similarity` is 1, or of a near copy the share of equal pieces. `is_sure` says that the whole prompt was seen, by
    more than chance.
    """

    row: Example
    twin: Example
    kind: LeakKind
    similarity: float = 1.0
    is_sure: bool = True


def find_leaks(
    held_out: Sequence[Example], seen: Iterable[Example], *, work: Counter[str] | None = None
) -> tuple[Leak, ...]:
    """The held-out rows whose prompt is also among the rows seen in training, in the order of `held_out`.

    Each comes once, with the surest reason. A score on the rest is a score on the clean subset. What is found is
    verified on the texts themselves: no hash decides. `work` counts what was done.
    """
    work = Counter() if work is None else work
    if not held_out:
        return ()
    unique: dict[str, Example] = {}
    exact: dict[str, Example] = {}
    for row in seen:
        unique.setdefault(prompt_key(row), row)
        exact.setdefault(prompt_text(row), row)
    keys = [prompt_key(row) for row in held_out]
    leaks: dict[int, Leak] = {}
    for place, row in enumerate(held_out):
        if (twin := exact.get(prompt_text(row))) is not None:
            leaks[place] = Leak(row=row, twin=twin, kind="exact")
        elif keys[place] in unique:
            leaks[place] = Leak(row=row, twin=unique[keys[place]], kind="normalised")
    contents = without_templates([*keys, *unique])
    rest = [place for place in range(len(keys)) if place not in leaks]
    asked = [Text.of(held_out[place], keys[place], contents[place]) for place in rest]
    texts = [Text.of(unique[key], key, content) for key, content in zip(unique, contents[len(keys) :], strict=True)]
    for query, candidates in find_candidates(
        [text.prompt for text in asked], [text.whole for text in texts], work=work
    ):
        if leak := _best_leak(asked[query], [texts[place] for place in candidates], work):
            leaks[rest[query]] = leak
    return tuple(leaks[place] for place in sorted(leaks))


@dataclass(frozen=True, slots=True)
class Text:
    """A row as it is compared, folded: its prompt, the same without template, and its answer."""

    row: Example
    key: str
    prompt: str
    answer: str | None

    @classmethod
    def of(cls, row: Example, key: str, prompt: str) -> Text:
        """The row with its answer folded; a row of raw text has no answer, and asks nothing."""
        return cls(row, key, prompt, fold(row.target) if row.target is not None and row.messages else None)

    @property
    def whole(self) -> str:
        """Prompt and answer."""
        return f"{self.prompt} {self.answer}" if self.answer else self.prompt


def prompt_text(row: Example) -> str:
    """The prompt as it is written, without the system message; of a row of raw text, the text."""
    return "\n".join(message.content for message in row.messages if message.role != "system") or row.target or ""


def near_copy(left: Text, right: Text) -> float:
    """The exact Jaccard similarity of two prompts whose rows are near copies, else 0.

    Their answers are the same or say the same; where one is missing, the prompts must be more alike.
    """
    one, other = comparable(left, right)
    # In the order of what it costs to ask; most candidates fail early.
    if not _alike_in_length(one, other) or (agreed := agree(left, right)) is False:
        return 0.0
    words, changed = len(one.split()), max(map(len, words_apart(one, other)))
    if changed > MOST_WORDS_CHANGED or _renamed(one, other) > (words >= SURE_WORDS):
        return 0.0
    few_changed = changed * WORDS_PER_CHANGE <= words
    limit = NEAR_WITHOUT_ANSWERS if agreed is None else NEAR_WITH_FEW_CHANGES if few_changed else NEAR
    near = similarity(one, other)
    return near if near >= limit else 0.0


def comparable(left: Text, right: Text) -> tuple[str, str]:
    """Two prompts without their template, or with it where only one of them has it."""
    have_the_same = len(left.key) - len(left.prompt) == len(right.key) - len(right.prompt)
    return (left.prompt, right.prompt) if have_the_same else (left.key, right.key)


def similarity(left: str, right: str) -> float:
    """Exact Jaccard similarity of the pieces of two folded texts, 0 where they cannot be near copies.

    They cannot when one is much longer, or when they share too few pieces to say anything.
    """
    if not _alike_in_length(left, right):
        return 0.0
    one, other = pieces(left), pieces(right)
    return jaccard(one, other) if len(one & other) >= FEWEST_SHARED_PIECES else 0.0


def _alike_in_length(left: str, right: str) -> bool:
    """Whether two texts can be copies at all; spares a comparison."""
    return min(len(left), len(right)) >= NEAR * 0.9 * max(len(left), len(right))


def names(text: str) -> Counter[str]:
    """Every number and single letter in a text: questions about different ones are not copies."""
    return Counter(_NAME.findall(text))


def _renamed(left: str, right: str) -> int:
    """How many numbers and single letters one text has that the other has not."""
    one, other = names(left), names(right)
    return max((one - other).total(), (other - one).total()) if one != other else 0


def agree(left: Text, right: Text) -> bool | None:
    """Whether two answers are the same or say the same; None where one is missing.

    Similar answers to similar prompts say the same unless a word that only one prompt has is in its answer alone: what
    is asked for lead is another thing than what is asked for zinc.
    """
    if left.answer is None or right.answer is None:
        return None
    if left.answer == right.answer:
        return True
    return _are_like_answers(left.answer, right.answer) and not is_explained(left, right)


@lru_cache(maxsize=1 << 14)  # labels are compared again and again
def _are_like_answers(left: str, right: str) -> bool:
    if not _alike_in_length(left, right) or jaccard(pieces(left), pieces(right)) < SAME_MEANING:
        return False
    return names(left) == names(right)


def is_explained(left: Text, right: Text) -> bool:
    """Whether a word that only one of the prompts has is also in its answer alone."""
    asked, answered = words_apart(left.prompt, right.prompt), words_apart(left.answer, right.answer)
    return any(words & said for words, said in zip(asked, answered, strict=True))


def words_apart(left: str | None, right: str | None) -> tuple[set[str], set[str]]:
    """The words that only the left text has, and those that only the right one has."""
    one, other = set((left or "").split()), set((right or "").split())
    return one - other, other - one


def _best_leak(asked: Text, candidates: Sequence[Text], work: Counter[str]) -> Leak | None:
    """The first candidate that holds the prompt, else the first near copy; the likeliest candidates come first."""
    words = len(asked.prompt.split())
    copied: Leak | None = None
    for text in candidates:
        work["compared"] += 1
        if f" {asked.prompt} " in f" {text.whole} " and (
            words >= TELLING_WORDS or (len(asked.prompt) >= FEWEST_CHARACTERS and agree(asked, text) is not False)
        ):
            return Leak(row=asked.row, twin=text.row, kind="contained", is_sure=words >= SURE_WORDS)
        if copied is None and (near := near_copy(asked, text)):
            copied = Leak(row=asked.row, twin=text.row, kind="near copy", similarity=near, is_sure=False)
    return copied
