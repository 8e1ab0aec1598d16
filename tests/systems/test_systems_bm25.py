"""The ranking is BM25 by an independent implementation, whole, and the same wherever it runs."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.systems.bm25 import SAME_SCORE, Bm25Index, index_texts

WORDS = st.sampled_from(["a", "b", "c", "d", "e", "the", "naïve", "слово", "12"])
TEXTS = st.lists(WORDS, max_size=12).map(" ".join)


def lucene(texts: list[str], query: str, k1: float = 1.5, b: float = 0.75) -> list[float]:
    """Kamphuis et al. 2020, table 1, "Lucene (accurate)", word by word."""
    documents = [text.split() for text in texts]
    mean_length = sum(len(document) for document in documents) / len(documents)
    scores = []
    for document in documents:
        counts, score = Counter(document), 0.0
        for word in query.split():
            if counts[word]:
                having = sum(word in other for other in documents)
                rarity = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
                score += rarity * counts[word] / (counts[word] + k1 * (1 - b + b * len(document) / mean_length))
        scores.append(score)
    return scores


@settings(deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=12), query=st.one_of(TEXTS, st.just("unknown a a the")))
def test_scores_and_order_are_those_of_lucene_when_documents_are_random(texts: list[str], query: str) -> None:
    expected = lucene(texts, query)
    index = Bm25Index(texts)
    np.testing.assert_allclose(index.scores(query), expected, rtol=1e-12, atol=0)
    order = sorted(range(len(texts)), key=lambda position: (-round(expected[position], SAME_SCORE), position))
    for k in (1, 3, len(texts), len(texts) + 5):
        assert index.rank(query, k) == tuple(order[:k])


def test_ties_keep_the_order_of_the_documents_when_there_are_many() -> None:
    texts = ["other words here", "same text"] * 300
    assert Bm25Index(texts).rank("text", 600) == (*range(1, 600, 2), *range(0, 600, 2))


def test_equal_scores_are_ties_when_their_parts_are_added_in_another_order() -> None:
    texts = ["w6 w3 w5 w3", "w5 w0 w1 w7", "w5 w0 w1", "w3 w5 w6", "w3 w7 w0"]
    index, query = Bm25Index(texts), "w0 w1 w2 w3 w4 w5 w6 w7"
    scores = index.scores(query)
    assert scores[2] != scores[3]  # in the last bit only: each has one word of each of three rarities
    assert scores[2] == pytest.approx(scores[3], rel=1e-15)
    order = index.rank(query, 5)
    assert order.index(2) < order.index(3)


@pytest.mark.parametrize("query", ["", " \n", "?!", "nothing known"])
def test_the_order_is_that_of_the_documents_when_no_word_is_shared(query: str) -> None:
    assert Bm25Index(["b", "", "a"]).rank(query, 2) == (0, 1)


@pytest.mark.parametrize(("texts", "order"), [([], ()), ([""], (0,)), (["", "...", " "], (0, 1, 2))])
@pytest.mark.filterwarnings("error")
def test_every_document_is_ranked_when_none_has_a_word(texts: list[str], order: tuple[int, ...]) -> None:
    assert Bm25Index(texts).rank("a question", 5) == order


@pytest.mark.filterwarnings("error")
def test_documents_without_words_come_last_when_others_match() -> None:
    assert Bm25Index(["", "--", "a b", "a"]).rank("a", 4) == (3, 2, 0, 1)


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("STRASSE", "die Straße am See"),
        ("ｒｅｆｕｎｄ", "a refund, please"),
        ("cafe\u0301", "the café on the corner"),
        ("возврат", "Мне нужен ВОЗВРАТ денег"),
        ("हिन्दी", "मुझे हिन्दी आती है"),
        ("退款", "我想要退款，谢谢"),
        ("คืนเงิน", "ฉันต้องการคืนเงิน"),
        ("the", "the"),  # no word is too common to count
        ("returns", "Returns."),
    ],
)
def test_a_document_is_found_when_its_script_or_form_differs(query: str, document: str) -> None:
    texts = ["ein anderer Text", "something else", "другой текст", "हद दन", "其他文字", document]
    assert Bm25Index(texts).rank(query, 1) == (5,)


def test_one_index_serves_all_when_the_texts_are_equal() -> None:
    assert index_texts(("one text", "another")) is index_texts(("one " + "text", "another"))
    assert index_texts(("one text",)) is not index_texts(("another",))


def test_nothing_is_printed_when_an_index_is_built_and_searched(capfd: pytest.CaptureFixture[str]) -> None:
    Bm25Index(["a b c"] * 50).rank("a", 3)
    assert capfd.readouterr() == ("", "")


def test_scores_are_equal_to_the_bit_when_python_hashes_otherwise() -> None:
    script = (
        "from harness.systems.bm25 import Bm25Index\n"
        "texts = [' '.join(f'w{(i * j) % 17}' for j in range(9)) for i in range(40)]\n"
        "print([score.hex() for score in Bm25Index(texts).scores('w1 w2 w3 w5 w8 w13').tolist()])"
    )
    first, second = (
        subprocess.run(
            [sys.executable, "-c", script], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        for seed in ("1", "2")
    )
    assert first.stdout == second.stdout
    assert first.stdout.count(b"0x") == 40
