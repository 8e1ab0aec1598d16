from __future__ import annotations

import dataclasses
import itertools
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from hostile_texts import PAYLOADS
from playwright.sync_api import Page, expect
from record_factory import complete, make_record, poisoned, priced

from harness.findings import RunRecord
from harness.records import Message, Prediction
from harness.report.page import Answer, ExampleRow
from harness.report.view_examples import example_set

Open = Callable[..., Page]


def shown_ids(page: Page) -> list[str]:
    return page.locator(".item-id").all_inner_texts()


def expect_ids(page: Page, wanted: list[str]) -> None:
    """The status says how many there are, and the list starts with them."""
    total = page.inner_text("#shown").split(" of ")[1]
    assert page.inner_text("#shown") == f"{len(wanted):,} of {total}"
    assert shown_ids(page) == wanted[: len(shown_ids(page))]


def choose(page: Page, view: str) -> None:
    page.click(f'[data-show="{view}"]')


def choose_option(page: Page, name: str, label: str) -> None:
    page.select_option(f'select[name="{name}"]', label=label)


def near_ties(record: RunRecord, *ids: str) -> RunRecord:
    predictions = tuple(
        dataclasses.replace(item, near_tie=True)
        if (item.example_id, item.system) in {(id, "previous") for id in ids}
        else item
        for item in record.predictions
    )
    return dataclasses.replace(record, predictions=predictions)


def answering(record: RunRecord, system: str, *texts: str, target: str | None) -> RunRecord:
    """The record in which this system answered the first test example with these texts."""
    first, *others = record.examples["test"]
    examples = {**record.examples, "test": (dataclasses.replace(first, target=target), *others)}
    predictions: list[Prediction] = []
    for item in record.predictions:
        if (item.system, item.example_id) == (system, first.id):
            predictions += [dataclasses.replace(item, text=text, sample=at) for at, text in enumerate(texts)]
        else:
            predictions.append(item)
    return dataclasses.replace(record, examples=examples, predictions=tuple(predictions))


def rows_where(record: RunRecord, baseline: str, test: Callable[[Answer, Answer], bool]) -> list[str]:
    examples = example_set(record)
    place = examples.systems.index(baseline)

    def holds(row: ExampleRow) -> bool:
        ours, theirs = row.answers[0], row.answers[place]
        return ours is not None and theirs is not None and test(ours, theirs)

    return [row.id for row in examples.rows if row.dataset == "test" and holds(row)]


def is_wrong(answer: Answer) -> bool:
    return answer.failed or answer.right is False


VIEWS: dict[str, Callable[[Answer, Answer], bool]] = {
    "all": lambda ours, theirs: True,
    "worse": lambda ours, theirs: theirs.outcome == "worse",
    "better": lambda ours, theirs: theirs.outcome == "better",
    "flipped": lambda ours, theirs: theirs.outcome in ("better", "worse"),
    "wrong": lambda ours, theirs: is_wrong(ours),
    "both": lambda ours, theirs: is_wrong(ours) and is_wrong(theirs),
    "errors": lambda ours, theirs: bool(ours.problem or theirs.problem),
    "ties": lambda ours, theirs: any(sample.near_tie for sample in (*ours.samples, *theirs.samples)),
}


@pytest.mark.parametrize("baseline", ["previous", "prompt-only"])
def test_each_filter_counts_and_shows_its_examples(open_report: Open, baseline: str) -> None:
    record = near_ties(make_record("hold", errors=2), "ticket-0007", "ticket-0090")
    page = open_report(record, f"#set=test&vs={baseline}&sort=file")
    for view, test in VIEWS.items():
        wanted = rows_where(record, baseline, test)
        assert page.inner_text(f'[data-show="{view}"] span') == str(len(wanted))
        choose(page, view)
        expect_ids(page, wanted)


def test_another_baseline_brings_its_answers_and_its_changes(open_report: Open) -> None:
    record = make_record("hold")
    page = open_report(record, "#set=test&vs=previous&show=worse")
    choose_option(page, "vs", "few-shot")
    expect_ids(page, rows_where(record, "few-shot", VIEWS["worse"]))
    assert page.locator("#detail .box-title bdi").all_inner_texts() == ["Candidate", "few-shot"]
    assert "worse than few-shot" in page.inner_text(".detail-head")


def test_a_failed_answer_says_why(open_report: Open) -> None:
    page = open_report(make_record(errors=2), "#show=errors")
    assert shown_ids(page) == ["ticket-0001", "ticket-0002"]
    assert "no answer: timed out after 30 s" in page.inner_text("#detail")


def test_search_and_tag_narrow_the_list(open_report: Open) -> None:
    record = make_record()
    page = open_report(record, "#set=test&sort=file")
    page.fill('input[name="q"]', "GARDEN furniture")
    hits = [row.id for row in record.examples["test"] if "garden furniture" in row.messages[0].content]
    expect_ids(page, hits)
    choose_option(page, "tag", "shifted")
    expect_ids(page, [row.id for row in record.examples["test"] if row.id in hits and "shifted" in row.tags])
    page.fill('input[name="q"]', "nothing has this text")
    assert page.inner_text("#shown") == "0 of 120 examples"
    assert "No example matches" in page.inner_text("#detail")


def test_search_reads_the_answers_that_are_shown_and_no_others(open_report: Open) -> None:
    record = make_record("hold")
    page = open_report(record, "#set=test&vs=previous&sort=file&q=The%20customer%20is%20unhappy")
    assert page.inner_text("#shown") == "0 of 120 examples"
    choose_option(page, "vs", "prompt-only")
    expect_ids(page, rows_where(record, "prompt-only", lambda _, theirs: "unhappy" in theirs.text))


def test_the_worst_come_first_unless_the_order_of_the_file_is_chosen(open_report: Open) -> None:
    record = make_record("hold")
    page = open_report(record)
    worse = rows_where(record, "previous", VIEWS["worse"])
    assert shown_ids(page)[: len(worse)] == worse[: len(shown_ids(page))]
    page.evaluate("document.getElementById('list').scrollTop = 1e6")
    best = rows_where(record, "previous", VIEWS["better"])[-1]
    expect(page.locator('.item[aria-posinset="120"] .item-id')).to_have_text(best)
    choose_option(page, "sort", "as in the file")
    expect_ids(page, [row.id for row in record.examples["test"]])


def test_a_data_set_without_baseline_or_reference_shows_the_candidate_alone(open_report: Open) -> None:
    page = open_report(make_record("hold"), "#vs=few-shot")
    choose_option(page, "set", "probe")
    choose(page, "wrong")
    assert page.inner_text("#shown") == "9 of 200 examples"
    assert not page.locator('select[name="vs"]').is_visible()
    visible = page.locator("#show button:visible").evaluate_all("nodes => nodes.map(node => node.dataset.show)")
    assert visible == ["all", "wrong", "errors", "ties"]
    assert page.locator("#detail .box-title").all_inner_texts() == ["Candidate ✕ wrong"]
    choose_option(page, "set", "test")
    assert page.locator('select[name="vs"] option:checked').inner_text() == "few-shot"


def test_state_lives_in_the_address_and_survives_a_reload(open_report: Open) -> None:
    record = make_record("hold")
    page = open_report(record)
    choose(page, "worse")
    choose_option(page, "vs", "few-shot")
    choose_option(page, "sort", "as in the file")
    choose_option(page, "marks", "baseline")
    page.locator(".item").nth(2).click()
    chosen = rows_where(record, "few-shot", VIEWS["worse"])[2]
    page.wait_for_url(f"**#set=test&vs=few-shot&show=worse&sort=file&marks=baseline&id={chosen}")
    page.reload()
    page.wait_for_selector(".item")
    assert page.inner_text("#detail h3") == chosen
    assert page.get_attribute('[data-show="worse"]', "aria-pressed") == "true"
    assert page.locator('select[name="marks"] option:checked').inner_text() == "baseline"


def test_a_link_in_the_page_opens_its_example_when_ids_are_unusual(open_report: Open) -> None:
    page = open_report(poisoned(make_record("hold", rows=12, probes=2), "+&=é/#%? %26 <b>"))
    link = page.locator(".worst a:visible").first
    wanted = link.inner_text()
    link.click()
    expect(page.locator("#detail h3")).to_have_text(wanted)
    expect(page.locator("#detail")).to_be_focused()


def test_a_link_to_an_example_wins_over_filters_that_hide_it(open_report: Open) -> None:
    record = make_record("hold")
    right = rows_where(record, "previous", VIEWS["better"])[0]
    page = open_report(record, f"#set=test&vs=previous&show=worse&id={right}")
    assert page.inner_text("#detail h3") == right
    assert page.get_attribute('[data-show="all"]', "aria-pressed") == "true"
    assert page.locator('.item[aria-selected="true"] .item-id').inner_text() == right


def test_a_link_to_an_example_that_is_not_there_says_so(open_report: Open) -> None:
    page = open_report(make_record(rows=8, probes=2), "#set=test&id=gone")
    assert page.inner_text("#detail") == "This report has no example “gone” in test."
    page.keyboard.press("j")
    assert page.inner_text("#detail h3") == shown_ids(page)[0]


def test_a_copied_link_opens_the_example_without_the_filters(open_report: Open) -> None:
    record = make_record("hold")
    page = open_report(record, "#show=worse&q=parcel", permissions=["clipboard-read", "clipboard-write"])
    chosen = page.inner_text("#detail h3")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.endswith(f"#set=test&vs=previous&id={chosen}")
    assert open_report(record, "#" + link.split("#")[1]).inner_text("#detail h3") == chosen


def test_keys_move_filter_and_read(open_report: Open) -> None:
    record = make_record("hold")
    page = open_report(record, "#sort=file")
    for key in "jjk":
        page.keyboard.press(key)
    assert page.inner_text("#detail h3") == "ticket-0002"
    assert page.get_attribute("#list", "aria-activedescendant") == "example-1"
    expect(page.locator("#list")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#list")).to_be_focused()
    page.keyboard.press("End")
    assert page.inner_text("#detail h3") == "ticket-0120"
    page.keyboard.press("f")
    page.keyboard.press("Home")
    expect_ids(page, rows_where(record, "previous", VIEWS["flipped"]))
    page.keyboard.press("f")
    assert page.inner_text("#shown") == "120 of 120 examples"


def test_buttons_keep_the_focus_when_they_bring_the_next_example(open_report: Open) -> None:
    page = open_report(make_record(), "#sort=file")
    page.get_by_role("button", name="Next").focus()
    for _ in range(3):
        page.keyboard.press("Enter")
    assert page.inner_text("#detail h3") == "ticket-0004"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert page.inner_text("#detail h3") == "ticket-0003"


def test_keys_are_text_in_the_search_field(open_report: Open) -> None:
    page = open_report(make_record())
    page.keyboard.press("/")
    page.keyboard.type("jfk/")
    assert page.input_value('input[name="q"]') == "jfk/"
    page.keyboard.press("Enter")
    expect(page.locator("#list")).to_be_focused()


def test_keys_can_be_switched_off(open_report: Open) -> None:
    page = open_report(make_record(), "#sort=file")
    page.uncheck("#shortcuts")
    page.keyboard.press("j")
    assert page.inner_text("#detail h3") == "ticket-0001"


def test_differences_are_marked_against_reference_or_baseline(open_report: Open) -> None:
    record = make_record("hold", rows=4, probes=1)
    for system, text in (("candidate", "red green blue"), ("previous", "red yellow blue")):
        record = answering(record, system, text, target="red green  black")
    page = open_report(record, "#set=test&vs=previous&id=ticket-0001")
    box = page.locator("#detail .answer")
    assert [box.nth(1).locator(tag).all_inner_texts() for tag in ("ins", "del")] == [["blue"], ["black"]]
    assert [box.nth(2).locator(tag).all_inner_texts() for tag in ("ins", "del")] == [["yellow blue"], ["green  black"]]
    choose_option(page, "marks", "baseline")
    assert [box.nth(1).locator(tag).all_inner_texts() for tag in ("ins", "del")] == [["green"], ["yellow"]]
    assert box.nth(2).locator("ins, del").count() == 0
    choose_option(page, "marks", "nothing")
    assert page.locator("#detail ins, #detail del").count() == 0


def test_word_differences_give_both_texts_back(open_report: Open) -> None:
    draw = random.Random(5)
    words = ["a", "b", "the", "naïve", "日本語", "🙂", ",", '"', "\u0301", "x1_y"]
    made = ["".join(draw.choice(words) + draw.choice(["", " "]) for _ in range(draw.randint(0, 40))) for _ in range(60)]
    texts = [*made, *(text for text in PAYLOADS if "\ud800" not in text), "", " ", "\n\n"]
    pairs = [(draw.choice(texts), draw.choice(texts)) for _ in range(400)]
    page = open_report(make_record(rows=4, probes=1))
    found = page.evaluate("pairs => pairs.map(([from, to]) => differences.words(from, to))", pairs)
    for (before, after), runs in zip(pairs, found, strict=True):
        assert "".join(text for kind, text in runs if kind != "-") == after
        assert "".join(text for kind, text in runs if kind != "+").split() == before.split()
        assert all(one[0] != other[0] for one, other in itertools.pairwise(runs))


def test_word_differences_are_the_fewest(open_report: Open) -> None:
    cases = [
        ("one two", "one two", [["=", "one two"]]),
        ("one  two", "one\ntwo", [["=", "one\ntwo"]]),
        ("one two three", "one three", [["=", "one "], ["-", "two "], ["=", "three"]]),
        ("a b c d", "a x y d", [["=", "a "], ["-", "b c"], ["+", "x y"], ["=", " d"]]),
        ("東京都", "東北都", [["=", "東"], ["-", "京"], ["+", "北"], ["=", "都"]]),
        ("", "new", [["+", "new"]]),
    ]
    page = open_report(make_record(rows=4, probes=1))
    for before, after, runs in cases:
        assert page.evaluate("([from, to]) => differences.words(from, to)", [before, after]) == runs


def test_long_texts_are_cut_and_not_compared_word_by_word(open_report: Open) -> None:
    record = answering(make_record("hold", rows=4, probes=1), "candidate", "word " * 100_000, target="word")
    box = open_report(record, "#set=test&id=ticket-0001").locator("#detail .answer").nth(1)
    assert box.locator("pre").evaluate("node => node.textContent.length") == 20_000
    box.get_by_role("button", name="Show all 500,000 characters").click()
    assert box.locator("pre").evaluate("node => node.textContent.length") == 500_000
    assert box.locator("ins").count() == 0


def test_texts_with_too_many_changes_are_shown_without_marks(open_report: Open) -> None:
    page = open_report(make_record(rows=4, probes=1))
    before, after = (" ".join(f"{letter}{place}" for place in range(2_000)) for letter in "ab")
    assert page.evaluate("([from, to]) => differences.words(from, to)", [before, after]) is None


def test_structured_answers_are_compared_field_by_field(open_report: Open) -> None:
    target = {"order": {"id": 7, "items": ["pen", "ink"]}, "a.b": None, "note": ""}
    answer = {"order": {"items": ["pen", "cap"], "id": 7.0}, "a": {"b": None}, "note": "<b>"}
    record = make_record("hold", rows=4, probes=1)
    record = answering(record, "candidate", f"```json\n{json.dumps(answer)}\n```", target=json.dumps(target))
    record = answering(record, "previous", "no idea", target=json.dumps(target))
    page = open_report(record, "#set=test&vs=previous&id=ticket-0001")
    rows = page.locator("#detail .fields tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert rows == [
        ["Field", "Reference", "Candidate", "previous"],
        ["order.id", "7", "✓ 7", "no JSON"],
        ["order.items[0]", '"pen"', '✓ "pen"', "no JSON"],
        ["order.items[1]", '"ink"', '✕ "cap"', "no JSON"],
        ['["a.b"]', "null", "✕ missing", "no JSON"],
        ["note", '""', '✕ "<b>"', "no JSON"],
        ["a.b", "missing", "✕ null", "no JSON"],
    ]


def test_structured_answers_are_compared_with_each_other_when_there_is_no_reference(open_report: Open) -> None:
    record = make_record("hold", rows=4, probes=1)
    record = answering(record, "candidate", '{"n": 1, "m": 2}', target=None)
    record = answering(record, "previous", '{"n": 1, "m": 3}', target=None)
    page = open_report(record, "#set=test&vs=previous&id=ticket-0001")
    assert page.locator("#detail .fields tr").all_inner_texts() == [
        "Field\tCandidate\tprevious",
        "n\t1\t= 1",
        "m\t2\t≠ 3",
    ]
    assert page.locator("#detail .answer").count() == 2
    assert page.locator("#detail .answer").nth(0).locator("ins").all_inner_texts() == ["2"]


def test_fields_are_not_compared_when_there_is_too_much_of_them(open_report: Open) -> None:
    page = open_report(make_record(rows=4, probes=1))
    deep, long = '{"a": ' * 5_000 + "1" + "}" * 5_000, "[" + "1" * 60_000 + "]"
    for text in (deep, long, json.dumps(list(range(1_000))), "{" * 30_000):
        assert page.evaluate("texts => differences.fields(texts)", [text, text]) is None


def test_several_answers_to_one_example_stand_together_with_how_often_each_came(open_report: Open) -> None:
    record = answering(make_record("hold", rows=4, probes=1), "candidate", "no", "yes", "yes", "maybe", target="yes")
    page = open_report(record, "#set=test&vs=previous&id=ticket-0001")
    box = page.locator("#detail .answer").nth(1)
    assert box.locator(".sample").all_inner_texts() == ["2 of 4 answers", "1 of 4 answers", "1 of 4 answers"]
    assert box.locator("pre").first.inner_text() == "yes"
    many = answering(make_record("hold", rows=4, probes=1), "candidate", *map(str, range(64)), target="yes")
    page = open_report(many, "#set=test&vs=previous&id=ticket-0001")
    assert page.locator("#detail .answer").nth(1).locator("pre").count() == 8
    page.get_by_role("button", name="Show 56 more").click()
    assert page.locator("#detail .answer").nth(1).locator("pre").count() == 64


def each_hostile(record: RunRecord, payloads: Sequence[str]) -> RunRecord:
    """The record with one payload in every text of each test example."""
    ids = {row.id: row.id + payload for row, payload in zip(record.examples["test"], payloads, strict=True)}
    tests = tuple(
        dataclasses.replace(
            row,
            id=ids[row.id],
            messages=(Message(role="user", content=payload),),
            target=f"reference {payload}",
            tags=(payload,),
        )
        for row, payload in zip(record.examples["test"], payloads, strict=True)
    )
    predictions = tuple(
        dataclasses.replace(row, example_id=ids[row.example_id], text=row.text + ids[row.example_id])
        for row in record.predictions
        if row.example_id in ids
    )
    scores = tuple(
        dataclasses.replace(row, example_id=ids[row.example_id]) for row in record.scores if row.example_id in ids
    )
    return dataclasses.replace(record, examples={"test": tests}, predictions=predictions, scores=scores)


def test_hostile_texts_are_shown_as_they_are_and_never_run(open_report: Open) -> None:
    record = each_hostile(make_record("hold", rows=len(PAYLOADS), probes=2), PAYLOADS)
    page = open_report(record, "#sort=file&marks=none")
    for row in example_set(record).rows:
        shown = page.locator("#detail pre").evaluate_all("nodes => nodes.map(node => node.textContent)")
        assert shown == [row.input, row.reference, *(row.answers[at].text for at in (0, 4))]  # type: ignore[union-attr]
        assert page.locator("#detail h3").evaluate("node => node.textContent") == row.id
        page.keyboard.press("j")
    choose_option(page, "marks", "reference")
    for _ in PAYLOADS:
        page.keyboard.press("k")
    assert page.evaluate("window.pwned") is None
    assert page.locator("#browser :is(script, iframe, img, svg, base, style, a, details)").count() == 0


def test_ten_thousand_examples_need_few_rows(open_report: Open) -> None:
    page = open_report(make_record("hold", rows=10_000, probes=10))
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    milliseconds = page.evaluate(
        """() => {
            const taken = [];
            const act = (action) => {
                const start = performance.now();
                action();
                document.getElementById("list").getBoundingClientRect();
                taken.push(Math.round(performance.now() - start));
            };
            const field = document.querySelector('input[name="q"]');
            for (const text of ["garden", "garden f"]) {
                act(() => { field.value = text; field.dispatchEvent(new Event("input", { bubbles: true })); });
            }
            for (const view of ["flipped", "all"]) act(() => document.querySelector(`[data-show="${view}"]`).click());
            return taken;
        }"""
    )
    print(f"10,000 examples: first paint {paint:.0f} ms; first search, next search, two filters {milliseconds} ms")
    page.fill('input[name="q"]', "")
    page.press("#list", "Home")
    assert page.locator(".item").count() < 200
    page.evaluate("document.getElementById('list').scrollTop = 40000")
    page.wait_for_selector('.item[aria-posinset="690"]')
    assert page.locator(".item").count() < 200
    # The selected row stays, however far away, so that a screen reader can follow the list to it.
    selected = page.get_attribute("#list", "aria-activedescendant")
    assert page.locator(f"#{selected}").get_attribute("aria-posinset") == "1"
    assert page.locator(f"#{selected}").get_attribute("aria-setsize") == "10000"
    page.press("#list", "End")
    assert page.locator('.item[aria-selected="true"]').get_attribute("aria-posinset") == "10000"
    expect(page.locator('.item[aria-selected="true"]')).to_be_in_viewport()


def test_the_largest_changes_are_there_without_script(open_report: Open) -> None:
    record = make_record("hold")
    page = open_report(record, java_script_enabled=False)
    assert not page.locator("#browser").is_visible()
    heads = page.locator("#examples-static details[open] .change-head > bdi").all_inner_texts()
    worse, better = (rows_where(record, "previous", VIEWS[view])[:3] for view in ("worse", "better"))
    assert heads == [*worse, *better]


def test_the_largest_changes_are_printed_in_place_of_the_browser(open_report: Open) -> None:
    page = open_report(make_record("hold"))
    assert not page.locator("#examples-static").is_visible()
    page.emulate_media(media="print")
    assert page.locator("#examples-static details[open] .change").first.is_visible()
    assert not page.locator("#browser").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_in_the_whole_report(open_report: Open, scheme: str, width: int) -> None:
    record = complete(priced(make_record("hold", errors=2, warnings=["something to know"])))
    page = open_report(record, "#set=test&vs=previous&show=worse", scheme=scheme, width=width)
    page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    assert violations(page) == []


def test_axe_finds_nothing_when_nothing_matches_or_answers_are_many(open_report: Open) -> None:
    record = answering(make_record("hold", rows=8, probes=2), "candidate", "a", "b", "b", target="a b")
    page = open_report(record, "#set=test&vs=previous&id=ticket-0001", scheme="dark")
    assert violations(page) == []
    page.fill('input[name="q"]', "nothing has this text")
    assert violations(page) == []


def violations(page: Page) -> list[Any]:
    found = Axe().run(page).response["violations"]
    return [(item["id"], [(node["target"], node["failureSummary"]) for node in item["nodes"]]) for item in found]
