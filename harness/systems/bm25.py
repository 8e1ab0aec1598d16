"""Rank texts by how well they match a query: BM25, the same on every machine and in every language."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import bm25s  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from harness.scoring.overlap import UnicodeWords

K1, B = 1.5, 0.75
METHOD = f"bm25 lucene k1={K1} b={B}"  # for the digest of what depends on the ranking

SAME_SCORE = 9  # decimals; sums of equal parts in another order differ in the last bits of a float


class Bm25Index:
    """An index over texts, which are named by their position.

    Source: Kamphuis et al. 2020, "Which BM25 Do You Mean?", Lucene (accurate); library: bm25s.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._size = len(texts)
        self._ids: dict[str, int] = {}
        documents = [[self._ids.setdefault(word, len(self._ids)) for word in words(text)] for text in texts]
        self._index = bm25s.BM25(k1=K1, b=B, method="lucene", dtype="float64")
        if self._ids:  # without a word anywhere bm25s would divide by a mean length of 0
            self._index.index((documents, self._ids), create_empty_token=False, show_progress=False)

    def scores(self, query: str) -> NDArray[np.float64]:
        """The score of each text, shape (texts,); 0 where no word of the query stands in it."""
        known = [self._ids[word] for word in words(query) if word in self._ids]
        if not known:
            return np.zeros(self._size)
        scores: NDArray[np.float64] = self._index.get_scores_from_ids(known)
        return scores

    def rank(self, query: str, k: int) -> tuple[int, ...]:
        """The positions of the `k` best texts (all, if there are fewer), best first, ties by position."""
        # bm25s's own selection returns ties in any order and refuses a k above the number of texts.
        order = np.argsort(-np.round(self.scores(query), SAME_SCORE), kind="stable")
        return tuple(int(position) for position in order[:k])


@lru_cache(maxsize=4)
def index_texts(texts: tuple[str, ...]) -> Bm25Index:
    """The index over `texts`, built once for all arms of a run that search the same texts.

    It is not kept on disk: 5,000 passages of 200 words take a second to index, which is less than loading a model.
    """
    return Bm25Index(texts)


def words(text: str) -> list[str]:
    """The words of a document or a query, alike whatever their case and compatibility form."""
    return UnicodeWords().tokenize(unicodedata.normalize("NFKC", text).casefold())
