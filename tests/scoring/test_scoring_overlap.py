"""ROUGE-L, BLEU and chrF against their libraries, and their corpus scores from sufficient statistics."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer
from sacrebleu.metrics import BLEU, CHRF

from harness.limits import ROUGE_WORDS
from harness.records import Score, Unscored
from harness.scoring.overlap import UnicodeWords, bleu, chrf, corpus_statistics, rouge_l

TEXTS = [
    "the dog bit the man",
    "It wasn't surprising.",
    "",
    "the the the the",
    "The man had just bitten him .",
    "Producția de zahăr primă va fi exprimată în ceea ce privește zahărul alb;",
    "一只狗咬了那个人。",
]
TARGETS = [
    "The dog bit the man.",
    "It was not surprising.",
    "Nobody was there.",
    "the cat is on the mat",
    "The man had just bitten him.",
    "producţia de zahăr brut se exprimă în zahăr alb;",
    "那只狗咬了一个人。",
]
SACREBLEU: dict[str, Any] = {"bleu": BLEU(force=True), "chrf": CHRF()}
ascii_text = st.text(st.characters(max_codepoint=127), max_size=60)
_words = st.lists(st.sampled_from(["the", "cat", "sat", "on", "mat", "."]), max_size=12).map(" ".join)


@given(ascii_text)
@example("don't_stop U.S.A. 3.14\x1f\x00")
def test_words_are_those_of_rouge_score_when_the_text_is_ascii(text: str) -> None:
    assert UnicodeWords().tokenize(text) == DefaultTokenizer().tokenize(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Привет, мир!", ["привет", "мир"]),
        ("Café-crème", ["café", "crème"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("سلام دنیا", ["سلام", "دنیا"]),
        ("我有2只猫。", ["我", "有", "2", "只", "猫"]),
        ("カタカナ", ["カ", "タ", "カ", "ナ"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("snake_case", ["snake", "case"]),
        ("👍 !!!", []),
    ],
)
def test_words_survive_when_the_script_is_not_latin(text: str, words: list[str]) -> None:
    assert UnicodeWords().tokenize(text) == words


@given(_words, _words.filter(lambda text: any(map(str.isalnum, text))))
def test_rouge_l_is_that_of_rouge_score_when_the_text_is_english(text: str, target: str) -> None:
    expected = RougeScorer(["rougeL"]).score(target, text)["rougeL"].fmeasure
    assert rouge_l(text, target) == Score(expected)


@pytest.mark.parametrize("text", ["Привет, мир", "一只狗咬了那个人", "नमस्ते दुनिया", "the cat"])
def test_rouge_l_is_one_when_answer_and_target_are_the_same(text: str) -> None:
    assert rouge_l(text, text) == Score(1.0)


@pytest.mark.parametrize(
    ("text", "target", "value"),
    [
        ("testing one", "testing one two", 0.8),
        ("testing two", "testing one two", 0.8),
        ("", "testing one two", 0),
        ("!!!", "testing", 0),
        ("我爱狗", "我爱猫", 2 / 3),
        ("два слова", "два других слова", 0.8),
    ],
)
def test_rouge_l_follows_the_longest_common_subsequence_when_words_differ(text: str, target: str, value: float) -> None:
    result = rouge_l(text, target)
    assert isinstance(result, Score)
    assert result.value == pytest.approx(value, abs=1e-12)


def test_rouge_l_is_that_of_rouge_score_when_the_texts_are_long() -> None:
    drawn = random.Random(0)
    text, target = (" ".join(drawn.choices("abcdefgh", k=length)) for length in (700, 500))
    assert rouge_l(text, target) == Score(RougeScorer(["rougeL"]).score(target, text)["rougeL"].fmeasure)


def test_rouge_l_is_unscored_when_a_side_is_too_long() -> None:
    long = "word " * (ROUGE_WORDS + 1)
    assert rouge_l(long, "word") == Unscored("the answer has 20,001 words, and ROUGE-L stops at 20,000")
    assert rouge_l("word", long) == Unscored("the target has 20,001 words, and ROUGE-L stops at 20,000")
    assert isinstance(rouge_l("word " * ROUGE_WORDS, "word"), Score)


@pytest.mark.parametrize("target", ["", "  ", "!!!", "👍"])
def test_rouge_l_is_unscored_when_the_target_has_no_words(target: str) -> None:
    assert rouge_l(target, target) == Unscored("the target has no words")


@pytest.mark.parametrize(("text", "target"), list(zip(TEXTS, TARGETS, strict=True)))
def test_sentence_scores_are_those_of_sacrebleu_when_taken_one_by_one(text: str, target: str) -> None:
    expected = BLEU(effective_order=True).sentence_score(text, [target]).score / 100
    assert bleu(text, target).value == pytest.approx(expected, abs=1e-12)
    assert chrf(text, target).value == pytest.approx(CHRF().sentence_score(text, [target]).score / 100, abs=1e-12)


@given(_words.filter(bool))
def test_sentence_scores_are_exactly_one_when_answer_and_target_are_the_same(text: str) -> None:
    assert bleu(text, text) == Score(1.0)
    assert chrf(text, text).value == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("scorer", "width"), [("bleu", 10), ("chrf", 18)])
def test_corpus_score_is_that_of_sacrebleu_when_statistics_are_summed(scorer: str, width: int) -> None:
    statistics, compute = corpus_statistics(scorer, TEXTS, TARGETS)
    assert statistics.shape == (len(TEXTS), width)
    expected = SACREBLEU[scorer].corpus_score(TEXTS, [TARGETS]).score / 100
    assert compute(statistics.sum(axis=0)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scorer", ["bleu", "chrf"])
def test_corpus_score_is_that_of_the_resample_when_statistics_are_resampled(scorer: str) -> None:
    statistics, compute = corpus_statistics(scorer, TEXTS, TARGETS)
    generator = np.random.default_rng(7)
    for _ in range(20):
        rows = generator.integers(len(TEXTS), size=len(TEXTS))
        texts, targets = [TEXTS[row] for row in rows], [TARGETS[row] for row in rows]
        expected = SACREBLEU[scorer].corpus_score(texts, [targets]).score / 100
        assert compute(statistics[rows].sum(axis=0)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scorer", ["bleu", "chrf"])
def test_corpus_scores_are_those_of_each_sum_when_there_are_several(scorer: str) -> None:
    statistics, compute = corpus_statistics(scorer, TEXTS, TARGETS)
    totals = np.array([statistics.sum(axis=0), statistics[:3].sum(axis=0)])
    assert compute(totals).tolist() == [float(compute(total)) for total in totals]


@given(st.sampled_from(["bleu", "chrf"]), st.lists(st.tuples(_words, _words), min_size=1, max_size=6))
def test_corpus_score_is_that_of_sacrebleu_when_the_corpus_is_any(scorer: str, pairs: list[tuple[str, str]]) -> None:
    texts, targets = [text for text, _ in pairs], [target for _, target in pairs]
    statistics, compute = corpus_statistics(scorer, texts, targets)
    expected = SACREBLEU[scorer].corpus_score(texts, [targets]).score / 100
    assert compute(statistics.sum(axis=0)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("scorer", "texts", "targets", "message"),
    [
        ("bleu", ["a b", "c d"], ["a b"], "2 texts and 1 targets"),
        ("chrf", ["a"], ["a", "b"], "1 texts and 2 targets"),
        ("bleu", [], [], "no texts"),
        ("rouge_l", ["a"], ["a"], "'rouge_l' has no corpus score"),
    ],
)
def test_corpus_statistics_refuse_when_texts_and_targets_do_not_pair(
    scorer: str, texts: list[str], targets: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        corpus_statistics(scorer, texts, targets)


_DATA = os.environ.get("HARNESS_TEST_DATA")


@pytest.fixture
def reference_values() -> Any:
    if not _DATA:
        pytest.skip("HARNESS_TEST_DATA names no folder of reference data")
    return json.loads((Path(_DATA) / "metric_reference_values.json").read_text("utf-8"))


def test_rouge_l_gives_the_published_values_when_nothing_is_stemmed(reference_values: Any) -> None:
    cases = [c for c in reference_values["rouge"] if c["type"] == "rougeL" and not c["use_stemmer"]]
    assert len(cases) >= 5
    for case in cases:
        result = rouge_l(case["prediction"], case["reference"])
        assert isinstance(result, Score)
        assert result.value == pytest.approx(case["expected"]["fmeasure"], abs=case["tol"])


def test_bleu_gives_the_published_values_when_the_settings_are_ours(reference_values: Any) -> None:
    ours = {"smooth_method": "exp", "tokenize": "13a", "effective_order": True, "lowercase": False}
    cases = [c for c in reference_values["bleu_sentence"] if ours.items() <= c.items()]
    assert cases
    for case in cases:
        assert bleu(case["hyp"], case["ref"]).value == pytest.approx(case["score"] / 100, abs=case["tol"] / 100)


def test_chrf_gives_the_published_values_when_no_setting_matters(reference_values: Any) -> None:
    cases = [c for c in reference_values["chrf_corpus"] if c["score"] in (0.0, 100.0)]
    assert len(cases) == 2  # nothing shared, and everything
    for case in cases:
        statistics, compute = corpus_statistics("chrf", case["hyps"], case["refs"][0])
        assert compute(statistics.sum(axis=0)) == pytest.approx(case["score"] / 100, abs=1e-9)
