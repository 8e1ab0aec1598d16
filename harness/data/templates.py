"""The words that many prompts open or close with: the template around what is asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

TEMPLATE_SHARE = 0.5  # of all prompts; what so many open or close with says nothing about one of them
FEWEST = 20  # prompts


def without_templates(keys: Sequence[str]) -> list[str]:
    """Each prompt key without the words that at least half of all open with, and without those they close with.

    A prompt that is nothing but template stays whole.
    """
    fewest = max(FEWEST, round(TEMPLATE_SHARE * len(keys)))
    opened = [key[length:].lstrip() for key, length in zip(keys, shared_openings(keys, fewest), strict=True)]
    closings = shared_openings([rest[::-1] for rest in opened], fewest)
    kept = (rest[: len(rest) - length].rstrip() for rest, length in zip(opened, closings, strict=True))
    return [rest or key for rest, key in zip(kept, keys, strict=True)]


def shared_openings(texts: Sequence[str], fewest: int) -> list[int]:
    """How many characters, of whole words, each text has in common with at least `fewest` texts, itself among them.

    Words are parted by single spaces. Only as much of a text is read as it shares.
    """
    lengths = [0] * len(texts)
    alike = [list(range(len(texts)))]
    while alike:
        longer: list[list[int]] = []
        for group in alike:
            by_word: dict[str, list[int]] = defaultdict(list)
            for place in group:
                text, start = texts[place], lengths[place] + (lengths[place] > 0)
                if start < len(text):
                    end = text.find(" ", start)
                    by_word[text[start:end] if end >= 0 else text[start:]].append(place)
            for word, places in by_word.items():
                if len(places) >= fewest:
                    for place in places:
                        lengths[place] += len(word) + (lengths[place] > 0)
                    longer.append(places)
        alike = longer
    return lengths
