"""Which texts have much in common: candidates in time that grows with the text, verified by exact Jaccard similarity.

A candidate shares rare windows of `WINDOW` characters, looked up in an inverted index: the prefix filter of Chaudhuri,
Ganti & Kaushik 2006 and of Bayardo, Ma & Srikant 2007 (AllPairs), with the windows spread over the text, so that one
edit spoils few, and with a limit on the texts looked up for each, so that ten thousand rows of one template cost no
more than as many different ones. Hashes only choose what is compared; nothing random decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 8  # characters; a power of two
SEGMENTS, PER_SEGMENT = 8, 2  # of a text, and the rarest windows of each that are looked up
POSTINGS, ALL_POSTINGS = 50, 1 << 24  # texts looked up for one window: so many, or more where few queries are asked
CANDIDATES, CANDIDATES_AMONG = 30, 10  # texts compared with one query: of other texts, and of the queries themselves
BLOCK = 1 << 21  # pairs held in memory at a time
FEWEST_SHARED = 4  # rare windows of the 16; of 1,100 near copies in Banking77 and SNIPS none had fewer
PIECE = 4  # characters of a piece in the similarity of two texts
CHUNK = 1 << 20  # characters hashed at a time
MARK_BITS = range(12, 23)  # of a hash, which its uses are counted under: as many marks as characters, up to 4 million

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]


@lru_cache(maxsize=256)  # one text is compared with several
def pieces(text: str) -> Set[str]:
    """Every run of four characters in a text, its ends marked by a space; what the similarity of two texts is about."""
    padded = f" {text} "
    return {padded[start : start + PIECE] for start in range(max(1, len(padded) - PIECE + 1))}


def jaccard(left: Set[str], right: Set[str]) -> float:
    """The share of all pieces that both have, 0 to 1."""
    return len(left & right) / len(left | right)


def is_one_edit(left: str, right: str) -> bool:
    """Whether one letter was added, left out, replaced, or exchanged with the next (Damerau 1964)."""
    start = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    rest, other = left[start:], right[start:]
    return rest[1:] == other[1:] or rest[1:] == other or rest == other[1:] or rest[1::-1] + rest[2:] == other


def find_candidates(
    queries: Sequence[str], texts: Sequence[str] | None = None, *, work: Counter[str]
) -> Iterator[tuple[int, list[int]]]:
    """For each query, the texts that share the most rare windows with it, the best first; with their positions.

    Without `texts` the queries are compared with each other, each with those before it. `work` counts the windows that
    were hashed, and the pairs of a query and a text that share one.
    """
    among_themselves = texts is None
    texts = queries if texts is None else texts
    uses = _count_uses(texts, work)
    windows, asking = _rare_windows(queries, uses, fewest=2 if among_themselves else 1)
    wanted, which = np.unique(windows, return_inverse=True)
    holders, starts = _look_up(wanted, texts, marked=np.zeros(len(uses), dtype=bool))
    limit = POSTINGS if among_themselves else max(POSTINGS, ALL_POSTINGS // max(1, len(asking)))
    held = np.minimum(np.diff(starts), limit)
    for first, last in _blocks(asking, held[which]):
        rows, places = asking[first:last], which[first:last]
        counts = held[places]
        query = np.repeat(rows, counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        text = holders[np.repeat(starts[places], counts) + within]
        if among_themselves:
            query, text = query[text < query], text[text < query]
        work["shared windows"] += len(query)
        pairs, shared = np.unique(query * len(texts) + text, return_counts=True)
        most = CANDIDATES_AMONG if among_themselves else CANDIDATES
        yield from _best(pairs // len(texts), pairs % len(texts), shared, most)


def _hash_windows(texts: Sequence[str]) -> tuple[Hashes, Places, Places, Places]:
    """Each window's hash, the position of its text and its own in the text; and each text's number of windows."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    hashes = (codes + np.uint64(1)) * np.uint64(0xD6E8FEB86659FD93)
    hashes ^= hashes >> np.uint64(32)
    factor, width = 0x9E3779B97F4A7C15, 1
    while width < WINDOW:
        hashes = hashes[:-width] * np.uint64(factor) + hashes[width:]
        factor, width = factor * factor % (1 << 64), width * 2
    counts = np.maximum(lengths - WINDOW + 1, 0)
    owners = np.repeat(np.arange(len(texts)), counts)
    inside = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    found = hashes[np.repeat(np.cumsum(lengths) - lengths, counts) + inside]
    found ^= found >> np.uint64(29)
    return found * np.uint64(0xBF58476D1CE4E5B9), owners, inside, counts


def _marks(hashes: Hashes, table: NDArray[Any]) -> Places:
    """Where a table of 2**n places has each hash: at its first n bits."""
    return (hashes >> np.uint64(65 - len(table).bit_length())).astype(np.int64)


def _chunks(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """Runs of texts of about `CHUNK` characters, each with the position of its first."""
    first, size = 0, 0
    for position, text in enumerate(texts, start=1):
        size += len(text)
        if size >= CHUNK or position == len(texts):
            yield first, texts[first:position]
            first, size = position, 0


def _count_uses(texts: Sequence[str], work: Counter[str]) -> Places:
    """How often each mark is met; windows that share one are counted together, and seem less rare than they are."""
    bits = min(MARK_BITS[-1], max(MARK_BITS[0], sum(map(len, texts)).bit_length()))
    uses = np.zeros(1 << bits, dtype=np.int64)
    for _, chunk in _chunks(texts):
        hashes = _hash_windows(chunk)[0]
        work["windows"] += len(hashes)
        uses += np.bincount(_marks(hashes, uses), minlength=len(uses))
    return uses


def _rare_windows(queries: Sequence[str], uses: Places, *, fewest: int) -> tuple[Hashes, Places]:
    """The rarest windows of each query's segments that at least `fewest` texts may have, and whose they are."""
    found, owners_found = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for first, chunk in _chunks(queries):
        hashes, owners, inside, counts = _hash_windows(chunk)
        met = uses[_marks(hashes, uses)]
        segments = owners * SEGMENTS + inside * SEGMENTS // np.maximum(counts[owners], 1)
        used = met >= fewest
        hashes, owners, segments = hashes[used], owners[used], segments[used]
        order = np.lexsort((met[used], segments))
        rarest = order[_rank(segments[order]) < PER_SEGMENT]
        found.append(hashes[rarest])
        owners_found.append(owners[rarest] + first)
    return np.concatenate(found), np.concatenate(owners_found)


def _look_up(wanted: Hashes, texts: Sequence[str], *, marked: NDArray[np.bool_]) -> tuple[Places, Places]:
    """The texts that have each wanted window, in their order; window i's are from starts[i] to starts[i + 1].

    `marked` is an empty table of marks, in which few windows have to be looked for more closely.
    """
    marked[_marks(wanted, marked)] = True
    windows, holders = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for first, chunk in _chunks(texts):
        hashes, owners, _, _ = _hash_windows(chunk)
        likely = marked[_marks(hashes, marked)]
        hashes, owners = hashes[likely], owners[likely]
        place = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
        same = wanted[place] == hashes
        windows.append(place[same])
        holders.append(owners[same] + first)
    window, holder = np.concatenate(windows), np.concatenate(holders)
    order = np.argsort(window, kind="stable")
    starts = np.searchsorted(window[order], np.arange(len(wanted) + 1))
    return holder[order], starts


def _blocks(asking: Places, counts: Places) -> Iterator[tuple[int, int]]:
    """Ranges of look-ups with about `BLOCK` texts in all, which keep the look-ups of one query together."""
    ends = np.flatnonzero(np.diff(asking, append=-1)) + 1  # behind the last look-up of each query
    texts = np.cumsum(counts)[ends - 1] if len(ends) else ends
    first, done = 0, 0
    while first < len(asking):
        place = min(int(np.searchsorted(texts, done + BLOCK)), len(ends) - 1)
        yield first, int(ends[place])
        first, done = int(ends[place]), int(texts[place])


def _best(query: Places, text: Places, shared: Places, most: int) -> Iterator[tuple[int, list[int]]]:
    enough = shared >= FEWEST_SHARED
    query, text, shared = query[enough], text[enough], shared[enough]
    order = np.lexsort((text, -shared, query))
    query, text = query[order], text[order]
    kept = _rank(query) < most
    query, text = query[kept], text[kept]
    borders = np.flatnonzero(np.diff(query)) + 1
    for group in np.split(np.arange(len(query)), borders):
        if len(group):
            yield int(query[group[0]]), text[group].tolist()


def _rank(groups: Places) -> Places:
    """The place of each item within its run of equal groups, from 0."""
    places = np.arange(len(groups))
    starts = np.concatenate([[True], groups[1:] != groups[:-1]])[: len(groups)]
    return places - np.maximum.accumulate(np.where(starts, places, 0)) if len(groups) else places
