"""The page on two runs: what differs between them, their checks, the paired differences and the changed answers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import lxml.html
import pytest
from axe_playwright_python.sync_playwright import Axe
from click.testing import CliRunner, Result
from evidence_factory import SUITE, Fixture
from hostile_texts import PAYLOADS
from playwright.sync_api import Browser
from record_factory import _poison
from stored_verdict import own_part

from harness.cli.main import main
from harness.comparison import CompareSettings, compare_files, describe_runs
from harness.gate.comparing import compare_scores
from harness.records import Prediction, RunManifest
from harness.report.compare_html import POLICY, render_compare_page
from harness.report.compare_page import ComparePage
from harness.report.view_compare import SHOWN_CHANGES, RunComparison, build_compare_page
from harness.store.facts import read_record
from harness.store.runs import MANIFEST, finish_run
from harness.suite.schema import Statistics

SCORED = SUITE.replace("checks:", "scorers: [bleu, rouge_l]\nchecks:")


def harness(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def compare(*arguments: str | Path) -> Result:
    return harness("compare", *arguments)


def judged(folder: Path, **changes: Any) -> Path:
    sizes = {"n_test": 60, "n_probe": 20, "questions": 40}
    run = Fixture(**{**sizes, **changes}).write(folder)
    assert harness("gate", run).exit_code in (0, 3, 4)
    return run


def time_out(rows: list[Prediction]) -> list[Prediction]:
    return [
        replace(row, text="", stop="error", error="timed out")
        if (row.example_id, row.system) == ("test-5", "candidate")
        else row
        for row in rows
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The second run is right on test-0, test-3 ... as well, wrong on test-7, and timed out on test-5."""
    folder = tmp_path_factory.mktemp("compare")
    first = judged(folder / "first", suite_text=SCORED, candidate_right=lambda i: i % 3 != 0)
    second = judged(
        folder / "second",
        suite_text=SCORED.replace("seed: 3", "seed: 4").replace("  - {kind: healthy_training}\n", ""),
        candidate_right=lambda i: i != 7,
        edit_predictions=time_out,
    )
    manifest = read_record(RunManifest, second / MANIFEST)
    digests = {**manifest.digests, "adapter:candidate": "d" * 64}
    finish_run(second, replace(manifest, seed=4, digests=digests, versions={"python": "3.12"}))
    assert harness("gate", second).exit_code in (0, 3, 4)
    return first, second


@pytest.fixture(scope="module")
def found(runs: tuple[Path, Path]) -> RunComparison:
    return describe_runs(compare_files(*runs, CompareSettings(statistics=Statistics())))


@pytest.fixture(scope="module")
def page(found: RunComparison) -> ComparePage:
    return build_compare_page(found)


# The model


def test_what_differs_between_the_runs_is_named_and_what_is_equal_is_listed(page: ComparePage) -> None:
    differing = {row.label: (row.baseline, row.candidate) for row in page.differing}
    assert differing.pop("digest of suite")
    assert differing == {
        "seed": ("3", "4"),
        "version of python": ("3.11", "3.12"),
        "digest of adapter:candidate": ("c" * 64, "d" * 64),
    }
    assert {"digest of test.jsonl", "digest of base", "harness", "system bare"} <= set(page.equal)
    assert [(line.kind, line.text) for line in page.suite_diff if line.kind in ("added", "removed")] == [
        ("removed", "-seed: 3"),
        ("added", "+seed: 4"),
        ("removed", "-  - {kind: healthy_training}"),
    ]


def test_both_runs_are_identified(page: ComparePage, runs: tuple[Path, Path]) -> None:
    assert page.names == ("first", "second")
    rows = {row.label: (row.baseline, row.candidate) for row in page.runs}
    sentences = tuple(own_part(run)["sentence"] for run in runs)
    assert rows["Why"] == sentences
    assert rows["Command"] == ("harness run fixture",) * 2


def test_checks_stand_side_by_side_and_one_that_a_run_lacks_is_a_gap(page: ComparePage) -> None:
    pairs = {pair.name: pair for pair in page.checks}
    gain = pairs["better_than/exact_match/bare"]
    assert gain.baseline is not None and gain.candidate is not None
    assert (gain.baseline.measured, gain.candidate.measured) == ("+16.7 points", "+46.7 points")
    assert pairs["healthy_training"].baseline is not None and pairs["healthy_training"].candidate is None


def test_every_scorer_has_its_paired_difference_and_a_corpus_metric_says_why_not(
    page: ComparePage, found: RunComparison
) -> None:
    assert [row.scorer for row in page.comparisons] == ["exact_match", "schema_valid", "field_f1", "rouge_l"]
    assert page.left_out == ("bleu is a corpus metric, to which the scores of single answers do not add up",)
    for comparison in found.comparisons:
        ours, theirs = (run.scores[comparison.scorer] for run in (found.candidate, found.baseline))
        expected = compare_scores(ours, theirs, statistics=Statistics(), seed=0)
        assert (comparison.delta, comparison.p_value) == (expected.delta, expected.p_value)
    assert (page.comparisons[0].wins, page.comparisons[0].losses) == ("20", "2")


def test_regressions_and_fixes_have_both_answers(page: ComparePage) -> None:
    worse, better = page.changes
    assert (worse.count, better.count, worse.more) == ("2 examples", "20 examples", "")
    assert [row.id for row in worse.shown] == ["test-5", "test-7"]
    assert [row.id for row in better.shown[:3]] == ["test-0", "test-3", "test-6"]
    failed, wrong = (row.candidate for row in worse.shown)
    assert (failed.text, failed.score, failed.problem) == ("", "–", "no answer: timed out")
    assert (wrong.text, wrong.score, wrong.right) == ('{"label":"a"}', "0", False)
    assert (worse.shown[1].baseline.text, worse.shown[1].reference) == ('{"label":"b"}', '{"label":"b"}')


def test_a_long_list_is_cut_and_says_so(tmp_path: Path) -> None:
    first = judged(tmp_path / "first", n_test=130, candidate_right=lambda i: False)
    second = judged(tmp_path / "second", n_test=130, candidate_right=lambda i: True)
    found = describe_runs(compare_files(first, second, CompareSettings(statistics=Statistics())))
    _, better = build_compare_page(found).changes
    assert (better.count, len(better.shown)) == ("130 examples", SHOWN_CHANGES)
    assert better.more.startswith("and 80 more")
    assert len(render_compare_page(build_compare_page(found))) < 300_000


# The rendering


class Elements(HTMLParser):
    """The elements of a document with their attributes, and where it leads."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcset")]


def elements(html: str) -> Elements:
    parser = Elements()
    parser.feed(html)
    parser.close()
    return parser


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> RunComparison:
    """Two runs whose suites differ far from the end, where a hostile text is added."""
    folder = tmp_path_factory.mktemp("small")
    first = judged(folder / "first", n_test=20, candidate_right=lambda i: i % 3 != 0, edit_predictions=time_out)
    second = judged(folder / "second", n_test=20, suite_text=SUITE.replace("seed: 3", "seed: 4"))
    return describe_runs(compare_files(first, second, CompareSettings(statistics=Statistics())))


@pytest.fixture(scope="module")
def hostile(small: RunComparison) -> Any:
    @cache
    def render(payload: str) -> str:
        return render_compare_page(build_compare_page(_poison(small, RunComparison, payload)))

    return render


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_element_attribute_or_link_appears_when_every_text_is_hostile(payload: str, hostile: Any) -> None:
    html = hostile(payload)
    assert elements(html).found == elements(hostile("harmless")).found
    assert all(link.startswith("#") for link in elements(html).links)


def test_the_page_runs_and_loads_nothing(page: ComparePage) -> None:
    html = render_compare_page(page)
    tags = {tag for tag, _ in elements(html).found}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "audio", "video", "base", "form"}
    assert not {name for _, names in elements(html).found for name in names if name.startswith("on") or name == "style"}
    assert "http://" not in html and "https://" not in html and "url(" not in html and "@import" not in html
    root = lxml.html.document_fromstring(html.encode())
    assert root.xpath('//meta[@http-equiv="Content-Security-Policy"]/@content') == [POLICY]
    assert "script-src" not in POLICY and POLICY.startswith("default-src 'none'")


def test_every_part_of_the_model_is_on_the_page(page: ComparePage) -> None:
    html = render_compare_page(page)
    root = lxml.html.document_fromstring(html.encode())
    assert root.xpath("string(//h1)") == page.word
    assert root.xpath('string(//p[@class="sentence"])') == page.sentence
    assert root.xpath('//section[@id="scores"]//tbody/tr/th/text()') == [row.scorer for row in page.comparisons]
    assert root.xpath('//section[@id="checks"]//tbody/tr/th/bdi/text()') == [pair.name for pair in page.checks]
    articles = root.xpath("//article")
    assert len(articles) == sum(len(part.shown) for part in page.changes)
    assert len(articles[0].xpath('.//div[starts-with(@class, "answer")]')) == 4, "a frame, and three texts in it"
    labels = root.xpath('//section[@id="runs"]//tbody/tr/th/bdi/text()')
    assert labels == [row.label for row in (*page.runs, *page.differing)]
    assert root.xpath('//pre[@class="diff"]/span/text()') == [line.text for line in page.suite_diff]


def test_the_same_runs_give_the_same_bytes(found: RunComparison, page: ComparePage) -> None:
    assert render_compare_page(build_compare_page(found)) == render_compare_page(page)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_a_browser_shows_it_without_a_complaint_and_axe_finds_nothing(
    browser: Browser, page: ComparePage, tmp_path: Path, scheme: Any, width: int
) -> None:
    path = tmp_path / "page.html"
    path.write_text(render_compare_page(page), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 720}, color_scheme=scheme, offline=True)
    shown, messages = context.new_page(), []
    shown.on("console", lambda message: messages.append(message.text))
    shown.goto(path.as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") == width, "it never scrolls sideways"
    assert [item["id"] for item in Axe().run(shown).response["violations"]] == []
    assert messages == []
    context.close()


# The command


def test_the_page_is_written_beside_the_decision(runs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "pages" / "page.html"
    plain, with_page = compare(*runs), compare(*runs, "--html", out)
    assert (with_page.exit_code, with_page.stdout) == (plain.exit_code, f"{plain.stdout}page: {out}\n")
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(compare(*runs, "--html", out, "--json").stdout)["page"] == str(out)


def test_the_page_of_one_run_with_itself_says_that_nothing_differs(runs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert compare(runs[0], runs[0], "--html", out).exit_code == 4
    text = out.read_text(encoding="utf-8")
    assert "The text of the suite is the same." in text and "Nothing: digests, seed" in text


def test_a_page_of_score_files_or_of_an_early_stop_is_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    out, scores = tmp_path / "page.html", tmp_path / "scores.jsonl"
    scores.write_text("\n".join(json.dumps({"id": f"test-{i}", "score": 1}) for i in range(60)))
    files = compare(scores, scores, "--html", out)
    assert (files.exit_code, "the page shows two runs" in files.output) == (2, True)
    early = compare(*runs, "--mode", "anytime", "--html", out)
    assert (early.exit_code, "mode anytime may stop early" in early.output) == (2, True)
    assert not out.exists()


def test_the_scorer_is_the_one_that_both_suites_ask_for_gains_by(runs: tuple[Path, Path], tmp_path: Path) -> None:
    assert json.loads(compare(*runs, "--json").stdout)["scorer"] == "exact_match"
    more = SCORED.replace("checks:", "checks:\n  - {kind: better_than, scorer: rouge_l}")
    other = judged(tmp_path / "other", suite_text=more)
    several = compare(runs[0], other)
    assert (several.exit_code, "name the one to compare" in several.output) == (2, True)


def test_runs_that_asked_or_scored_otherwise_are_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    first = runs[0]
    asked = shutil.copytree(first, tmp_path / "asked")
    examples = (asked / "examples.jsonl").read_text().replace("ask test-9", "ask test-99", 1)
    (asked / "examples.jsonl").write_text(examples)
    finish_run(asked, read_record(RunManifest, asked / MANIFEST))
    harness("gate", asked)
    result = compare(first, asked)
    assert (result.exit_code, "1 of 60 examples have another question or reference" in result.output) == (2, True)

    def declared(name: str, texts: str) -> Path:
        suite = SUITE.replace("checks:", f"scorers: [{{name: has, kind: contains, texts: [{texts}]}}]\nchecks:")
        return judged(tmp_path / name, suite_text=suite)

    one, two = declared("one", "a"), declared("two", "b")
    unlike = compare(one, two, "--scorer", "has")
    assert (unlike.exit_code, "has is declared otherwise in the two suites" in unlike.output) == (2, True)
    found = describe_runs(compare_files(one, two, CompareSettings(statistics=Statistics())))
    assert found.left_out == ("has is declared otherwise in the two suites",)


def test_scores_by_another_schema_are_not_compared(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = shutil.copytree(runs[0], tmp_path / "other")
    (other / "schema.json").write_text('{"type": "object"}')
    finish_run(other, read_record(RunManifest, other / MANIFEST))
    harness("gate", other)
    result = compare(runs[0], other, "--scorer", "schema_valid")
    assert (result.exit_code, "judges by the JSON Schema, which is another" in result.output) == (2, True)
    assert compare(runs[0], other, "--scorer", "exact_match").exit_code == 4
