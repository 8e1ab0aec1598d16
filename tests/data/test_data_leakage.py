"""Held-out rows are found among the trained ones in every disguise, and nothing is found where nothing is."""

from __future__ import annotations

import json
import os
import random
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_suite import example, prompts

from harness.data.folding import fold
from harness.data.leakage import find_leaks
from harness.data.near_duplicates import (
    CANDIDATES_AMONG,
    PER_SEGMENT,
    POSTINGS,
    SEGMENTS,
    find_candidates,
    jaccard,
    pieces,
)
from harness.data.repeats import find_repeats
from harness.data.templates import without_templates
from harness.records import Example, Message

QUESTION = "Could you tell me when the grey armchair that I ordered last week will be delivered to my flat?"
LOOK_ALIKES = str.maketrans("aeopcxyiAEOPCHTBM", "аеорсхуіАЕОРСНТВМ")
GREEK = str.maketrans("aoeiAEHMNY", "αοειΑΕΗΜΝΥ")

DISGUISES = {
    "case": QUESTION.upper(),
    "spaces": "  " + QUESTION.replace(" ", " \n\t "),
    "punctuation": "«" + QUESTION.replace(" ", ", ").rstrip("?") + "»!!",
    "zero width": "\u200b".join(QUESTION),
    "soft hyphens": QUESTION.replace("e", "e\u00ad"),
    "variation selectors": QUESTION.replace("e", "e\ufe0f"),
    "Cyrillic letters": QUESTION.translate(LOOK_ALIKES),
    "Greek letters": QUESTION.translate(GREEK),
    "full width": "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in QUESTION),
    "mathematical letters": "".join(chr(ord(c) - ord("a") + 0x1D41A) if "a" <= c <= "z" else c for c in QUESTION),
    "decomposed": unicodedata.normalize("NFD", QUESTION),
}
EMBEDDED = {
    "in a longer prompt": example(f"Hello team, I have been waiting for days. {QUESTION} Thank you so much, Ana"),
    "in an answer": example("Write a question of a customer.", f"Here is one. {QUESTION} I hope that it helps."),
    "disguised in a longer prompt": example(f"HELLO TEAM -- {QUESTION.upper().replace(' ', '  ')} -- BYE"),
}
NEAR = {
    "a typing error": QUESTION.replace("ordered", "orderd"),
    "a word more": QUESTION.replace("tell me", "please tell me"),
    "a word less": QUESTION.replace(" last week", " last"),
    "another word": QUESTION.replace("flat", "house"),
    "two other words": QUESTION.replace("flat", "house").replace("grey", "brown"),
    "exchanged words": QUESTION.replace("grey armchair", "armchair grey"),
}


def kinds(held_out: list[Example], seen: list[Example]) -> list[str]:
    return [leak.kind for leak in find_leaks(held_out, seen)]


def other_rows(count: int = 300) -> list[Example]:
    return [example(text) for text in prompts(count, 5)]


# --- the disguises ---------------------------------------------------------------------------------------------------


def test_the_same_prompt_is_an_exact_leak_whatever_its_answer() -> None:
    (leak,) = find_leaks([example(QUESTION, "a", source="test.jsonl:1")], [*other_rows(), example(QUESTION, "b")])
    assert (leak.kind, leak.is_sure, leak.similarity) == ("exact", True, 1.0)
    assert (leak.row.source, leak.twin.target) == ("test.jsonl:1", "b")


@pytest.mark.parametrize("disguised", DISGUISES.values(), ids=DISGUISES)
def test_a_disguised_prompt_is_found_in_both_directions(disguised: str) -> None:
    plain, hidden = example(QUESTION), example(disguised)
    for held_out, seen in ((plain, hidden), (hidden, plain)):
        (leak,) = find_leaks([held_out], [*other_rows(), seen])
        assert leak.is_sure and leak.kind in {"exact", "normalised"}


@pytest.mark.parametrize("row", EMBEDDED.values(), ids=EMBEDDED)
def test_a_prompt_within_a_longer_row_is_found(row: Example) -> None:
    (leak,) = find_leaks([example(QUESTION, "no")], [*other_rows(), row])
    assert (leak.kind, leak.is_sure, leak.twin) == ("contained", True, row)


@pytest.mark.parametrize("text", NEAR.values(), ids=NEAR)
def test_a_near_copy_with_the_same_answer_is_a_possible_leak(text: str) -> None:
    (leak,) = find_leaks([example(QUESTION)], [*other_rows(), example(text)])
    assert (leak.kind, leak.is_sure) == ("near copy", False)
    one, other = pieces(fold(QUESTION)), pieces(fold(text))
    assert leak.similarity == jaccard(one, other) >= 0.5


def test_scripts_without_spaces_are_searched_character_by_character() -> None:
    asked = "请问我上周在网上订购的灰色扶手椅什么时候能够送到我家里来"
    held_out = [example(asked)]
    assert kinds(held_out, [*other_rows(), example(f"您好我想了解一下{asked}非常感谢您的帮助")]) == ["contained"]
    assert kinds(held_out, [*other_rows(), example(asked.replace("灰色", "棕色"))]) == ["near copy"]
    assert kinds(held_out, [*other_rows(), example("请问我上个月付过的账单为什么又收到了一次催款的通知")]) == []


def test_the_surest_reason_is_given_when_there_are_several() -> None:
    seen = [example(NEAR["a word less"]), example(QUESTION.upper()), example(QUESTION)]
    assert kinds([example(QUESTION)], seen) == ["exact"]
    assert kinds([example(QUESTION)], seen[:2]) == ["normalised"]
    assert kinds([example(QUESTION)], [seen[0], EMBEDDED["in an answer"]]) == ["contained"]


def test_a_system_message_hides_no_leak() -> None:
    assert kinds([example(QUESTION, system="Be kind.")], [example(QUESTION, system="Be short.")]) == ["exact"]


def test_raw_text_that_holds_a_prompt_is_a_leak() -> None:
    text = Example(id="t", messages=(), target=f"A letter to the shop.\n{QUESTION}\nYours, Ana", source="text.txt:1")
    assert kinds([example(QUESTION, "no")], [*other_rows(), text]) == ["contained"]


def test_leaks_come_in_the_order_of_the_held_out_rows() -> None:
    held_out = [example(text) for text in prompts(40, 9)]
    seen = [example(row.messages[0].content.upper()) for row in reversed(held_out)]
    assert [leak.row for leak in find_leaks(held_out, seen)] == held_out


def test_nothing_leaks_when_one_side_is_empty() -> None:
    assert find_leaks([], other_rows()) == find_leaks(other_rows(), []) == ()


# --- what is no leak -------------------------------------------------------------------------------------------------


def test_nothing_is_found_in_a_clean_set() -> None:
    held_out = [example(text) for text in prompts(300, 6)]
    assert find_leaks(held_out, other_rows(2000)) == ()


SIBLINGS = {
    "another number": ("Rate this novel 3 stars out of 6 right now", "Rate this novel 5 stars out of 6 right now"),
    "another letter": ("Is vitamin b good for my old dog at home", "Is vitamin c good for my old dog at home"),
}


@pytest.mark.parametrize(("left", "right"), SIBLINGS.values(), ids=SIBLINGS)
def test_short_prompts_about_different_things_are_no_copies(left: str, right: str) -> None:
    assert kinds([example(left)], [*other_rows(), example(right)]) == []


def test_like_prompts_with_other_answers_are_no_copies() -> None:
    near = NEAR["another word"]
    assert kinds([example(QUESTION, "delivery")], [*other_rows(), example(near, "returns")]) == []
    lead = example("What is the melting point of lead in degrees?", "The melting point of lead is about that low.")
    zinc = example("What is the melting point of zinc in degrees?", "The melting point of zinc is about that low.")
    assert kinds([lead], [zinc]) == []


def test_another_question_about_the_same_text_is_no_copy() -> None:
    passage = " ".join(prompts(8, 7))
    asked = example(
        f"{passage} Which of the seven rulers did the writer above all want to see removed from power?", "A"
    )
    other = example(f"{passage} From whom had farmers to borrow before their first harvest could be brought home?", "A")
    assert kinds([asked], [other]) == []


def test_without_answers_only_a_copy_but_for_few_letters_is_one() -> None:
    unlabelled = example(QUESTION, None)
    assert kinds([unlabelled], [*other_rows(), example(NEAR["a typing error"])]) == ["near copy"]
    assert kinds([unlabelled], [*other_rows(), example(NEAR["two other words"])]) == []


def test_a_short_prompt_within_another_is_no_leak_when_the_answers_differ() -> None:
    short, longer = "My top up was cancelled again", "It looks like my top up was cancelled again by someone"
    assert kinds([example(short, "a")], [example(longer, "b")]) == []
    (leak,) = find_leaks([example(short, "a")], [example(longer, "a")])
    assert (leak.kind, leak.is_sure) == ("contained", False)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("What is 5 - 3?", "What is 5 + 3?"),
        ("sqrt(2) * sqrt(3)", "sqrt(2), sqrt(3)"),
        ("when J << a", "when J >> a"),
        ("x = -5", "x = 5"),
    ],
)
def test_an_operator_is_no_punctuation(left: str, right: str) -> None:
    assert fold(left) != fold(right)
    assert fold(left) == fold(left.replace(" ", "  \u200b"))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("a check-in", "a check in"),
        ("**bold** and/or plain", "bold and or plain"),
        ("ΝΑΙ", "ναι"),
        ("КАК ДЕЛА", "как дела"),
        ("Straße", "STRASSE"),
    ],
)
def test_what_reads_the_same_folds_to_the_same(left: str, right: str) -> None:
    assert fold(left) == fold(right)


@pytest.mark.parametrize(("left", "right"), [("кот", "код"), ("είναι", "είμαι"), ("10 µg", "10 mg"), ("日本", "日木")])
def test_words_of_another_script_stay_different(left: str, right: str) -> None:
    assert fold(left) != fold(right)


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=60))
def test_folding_twice_changes_nothing(text: str) -> None:
    once = fold(text)
    assert once == " ".join(once.split()) or not once.strip()
    assert fold(once) == fold(fold(once))


# --- templates -------------------------------------------------------------------------------------------------------


def test_what_all_prompts_share_says_nothing_about_one() -> None:
    rows = prompts(60, 8, words=6)
    before, after = "classify the following ticket of our shop", "answer with one word and nothing else"
    keys = [fold(f"{before}: {text} {after}") for text in rows]
    assert without_templates(keys) == [fold(text) for text in rows]
    held_out = [example(f"{before}: {text} {after}") for text in prompts(20, 10, words=6)]
    assert find_leaks(held_out, [example(f"{before}: {text} {after}") for text in rows]) == ()


def test_a_prompt_that_is_all_template_stays_whole() -> None:
    assert without_templates(["say it"] * 30) == ["say it"] * 30


# --- repeats ---------------------------------------------------------------------------------------------------------


def repeats(*rows: Example, has_labels: bool = True) -> list[tuple[str, Example, Example]]:
    found = find_repeats([*other_rows(100), *rows], has_labels=has_labels)
    return [(repeat.kind, repeat.row, repeat.first) for repeat in found]


def test_the_same_prompt_is_a_duplicate_or_a_contradiction_by_its_answer() -> None:
    first, same, other = example(QUESTION, "a"), example(QUESTION.upper(), "A."), example(QUESTION, "b")
    assert repeats(first, same, other) == [("duplicate", same, first), ("contradiction", other, first)]


def test_prompts_under_different_system_messages_are_different() -> None:
    assert repeats(example(QUESTION, "a", system="One."), example(QUESTION, "b", system="Two.")) == []


def test_near_rows_repeat_or_contradict_each_other() -> None:
    first, near, more = example(QUESTION, "a"), example(NEAR["another word"], "a"), example(f"Hi! {QUESTION}", "b")
    assert repeats(first, near) == [("near duplicate", near, first)]
    assert repeats(first, more) == [("near contradiction", more, first)]
    assert repeats(first, more, has_labels=False) == []


def test_what_another_word_explains_is_no_contradiction() -> None:
    assert repeats(example(QUESTION, "a"), example(NEAR["another word"], "b")) == []


def test_preferences_contradict_each_other_when_they_are_swapped() -> None:
    def pair(chosen: str, rejected: str) -> Example:
        message = Message(role="user", content=QUESTION)
        return Example(id=chosen + rejected, messages=(message,), target=chosen, rejected=rejected)

    first, swapped, third = pair("good", "bad"), pair("bad", "good"), pair("good", "worse")
    assert repeats(first, swapped) == [("contradiction", swapped, first)]
    assert repeats(first, third) == []
    assert repeats(first, first) == [("duplicate", first, first)]


# --- cost ------------------------------------------------------------------------------------------------------------


def templated(count: int) -> list[Example]:
    """Rows of three templates, each thousands of times, with a number and a thing in it."""
    drawn = random.Random(4)
    things = prompts(40, 3, words=4)
    forms = (
        "My {} has not arrived, order number {}, please tell me where it is now",
        "The {} that I ordered under number {} came broken and I want my money back",
        "Please send the {} of order {} to my office in the centre of the city",
    )
    return [
        example(drawn.choice(forms).format(drawn.choice(things), drawn.randrange(10**6)), drawn.choice("abc"))
        for _ in range(count)
    ]


def random_rows(count: int) -> list[Example]:
    return [example(text) for text in prompts(count, 11)]


@pytest.mark.parametrize("rows", [templated, random_rows])
def test_five_times_the_rows_cost_about_five_times_as_much(rows: Callable[[int], list[Example]]) -> None:
    costs = []
    for count in (600, 3000):
        work: Counter[str] = Counter()
        find_repeats(rows(count), has_labels=True, work=work)
        assert work["shared windows"] <= SEGMENTS * PER_SEGMENT * POSTINGS * count
        assert work["compared"] <= CANDIDATES_AMONG * count
        costs.append(work.total())
    assert costs[1] <= 7 * costs[0]


def test_a_leak_is_found_among_thousands_of_siblings() -> None:
    seen = templated(4000)
    held_out = [example(row.messages[0].content.replace("Please", "Kindly"), row.target) for row in seen[-200:]]
    changed = [row for row in held_out if "Kindly" in row.messages[0].content]
    assert len(find_leaks(changed, seen)) >= 0.97 * len(changed)


def test_candidates_are_the_same_each_time_and_need_no_seed() -> None:
    texts = [fold(row.messages[0].content) for row in templated(500)]
    runs = [list(find_candidates(texts[:50], texts[50:], work=Counter())) for _ in range(2)]
    assert runs[0] == runs[1] != []
    assert list(find_candidates(["", "ab"], ["", "abc"], work=Counter())) == []


# --- real data, opt-in -----------------------------------------------------------------------------------------------

REAL = Path(os.environ.get("HARNESS_TEST_DATA", "/nowhere"))
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="HARNESS_TEST_DATA names no folder")


def real_rows(name: str) -> list[Example]:
    rows = []
    for number, line in enumerate((REAL / name).read_text(encoding="utf-8").splitlines(), start=1):
        *asked, answer = json.loads(line)["messages"]
        messages = tuple(Message(**message) for message in asked)
        rows.append(Example(id=str(number), messages=messages, target=answer["content"], source=f"{name}:{number}"))
    return rows


@needs_real_data
@pytest.mark.parametrize(("name", "known", "most"), [("snips_intent", 11, 90), ("banking77", 6, 560)])
def test_the_known_overlaps_of_real_sets_are_found(name: str, known: int, most: int) -> None:
    test, train = real_rows(f"{name}.test.jsonl"), real_rows(f"{name}.train.jsonl")
    leaks = find_leaks(test, train)
    sure = [leak for leak in leaks if leak.is_sure]
    trained = {row.messages[-1].content.strip().casefold() for row in train}
    plain = [row for row in test if row.messages[-1].content.strip().casefold() in trained]
    assert {row.id for row in plain} <= {leak.row.id for leak in sure} and len(sure) >= known
    assert len(leaks) <= most


@needs_real_data
def test_the_known_repeats_inside_mmlu_are_found() -> None:
    import csv

    exact = 0
    for file in sorted((REAL / "mmlu" / "test").glob("*.csv")):
        with file.open(encoding="utf-8", newline="") as stream:
            rows = [example("\n".join(row[:5]), row[5]) for row in csv.reader(stream)]
        found = find_repeats(rows, has_labels=True)
        exact += sum(repeat.row.id == repeat.first.id for repeat in found if repeat.kind == "duplicate")
    assert exact == 27
