"""Overlap with a reference text: ROUGE-L, BLEU and chrF, for one answer and for a corpus.

Surface similarity, so weak evidence. The libraries are imported when they are first needed, since most suites
never do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.limits import ROUGE_WORDS
from harness.records import Score, ScoreResult, Unscored

# Scripts written without spaces between words: each character is a word.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff])"
)


class UnicodeWords:
    """Lower-cased runs of letters, marks and digits of any script.

    rouge_score's own tokenizer keeps only a-z and 0-9, so that identical Russian or Chinese texts score 0. On ASCII
    text the two agree.
    """

    def tokenize(self, text: str) -> list[str]:
        """The words of `text`; in scripts written without spaces, its characters."""
        spaced = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text.lower())
        return _UNSPACED.sub(r" \1 ", spaced).split()


def rouge_l(text: str, target: str) -> ScoreResult:
    """ROUGE-L F1, 0 to 1 (Lin 2004; equal to the library rouge_score's without stemming on ASCII text).

    Unscored when either side has more than 20,000 words, or the target has none.
    """
    given, wanted = (UnicodeWords().tokenize(content) for content in (text, target))
    for name, words in (("answer", given), ("target", wanted)):
        if len(words) > ROUGE_WORDS:
            return Unscored(f"the {name} has {len(words):,} words, and ROUGE-L stops at {ROUGE_WORDS:,}")
    if not wanted:
        return Unscored("the target has no words")
    if not (common := _common_words(given, wanted)):
        return Score(0.0)
    precision, recall = common / len(given), common / len(wanted)
    return Score(2 * precision * recall / (precision + recall))


def _common_words(left: Sequence[str], right: Sequence[str]) -> int:
    """The length of the longest common subsequence, a whole row of its table at once (Hyyrö 2004).

    The usual way takes ten seconds for two texts of 4,000 words, this one as many milliseconds.
    """
    places: dict[str, int] = {}  # word -> a bit at each of its places in `left`
    for place, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << place
    every = row = (1 << len(left)) - 1  # a bit is off where the length grows
    for word in right:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & every
    return len(left) - row.bit_count()


def bleu(text: str, target: str) -> Score:
    """Sentence BLEU with effective order, 0 to 1 (Papineni et al. 2002; library: sacrebleu, tokenizer 13a).

    13a splits no script that is written without spaces; chrF suits those better.
    """
    return _sentence_score(_sentence_bleu(), text, target)


def chrf(text: str, target: str) -> Score:
    """Sentence chrF2, 0 to 1 (Popović 2015; library: sacrebleu)."""
    return _sentence_score(_corpus_metric("chrf"), text, target)


def corpus_statistics(
    scorer: str, texts: Sequence[str], targets: Sequence[str]
) -> tuple[NDArray[np.int64], Callable[[NDArray[np.int64]], NDArray[np.float64]]]:
    """What a corpus score is made of, so that resampling sentences needs no second look at their text.

    Args:
        scorer: "bleu" or "chrf".
        texts: the answers.
        targets: one reference for each answer, in the same order.

    Returns:
        The sufficient statistics, shape (sentences, k) with k = 10 for BLEU and 18 for chrF, and the function
        that turns their sums over any multisets of sentences, shape (..., k), into corpus scores from 0 to 1, (...).

    Raises:
        ValueError: for another scorer, no texts, or unequal numbers of texts and targets.
    """
    if len(texts) != len(targets):  # sacrebleu would cut the longer side without a word
        raise ValueError(f"{len(texts)} texts and {len(targets)} targets cannot be paired")
    if not texts:
        raise ValueError("no texts, so there is no corpus score")
    metric = _corpus_metric(scorer)
    statistics = np.array(metric._extract_corpus_statistics(texts, [targets]), dtype=np.int64)

    def compute(totals: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.apply_along_axis(
            lambda total: _unit(metric._compute_score_from_stats(total.tolist()).score), -1, totals
        )

    return statistics, compute


def _sentence_score(metric: Any, text: str, target: str) -> Score:
    return Score(_unit(metric.sentence_score(text, [target]).score))


def _unit(percent: float) -> float:
    """From 0..100 to 0..1; rounding puts a perfect score a hair above 100."""
    return min(float(percent) / 100, 1.0)


@cache
def _sentence_bleu() -> Any:
    from sacrebleu.metrics import BLEU

    return BLEU(effective_order=True, force=True)


@cache
def _corpus_metric(scorer: str) -> Any:
    from sacrebleu.metrics import BLEU, CHRF

    if scorer not in ("bleu", "chrf"):
        raise ValueError(f"{scorer!r} has no corpus score; bleu and chrf have")
    return BLEU(force=True) if scorer == "bleu" else CHRF()
