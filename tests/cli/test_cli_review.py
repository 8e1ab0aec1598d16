"""`harness review`: a blinded page out, ratings back, and the paired result with its exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from evidence_factory import SUITE, Fixture
from test_cli_imports import HEAVY, modules_after

from harness.cli.main import main
from harness.records import Prediction, RunManifest
from harness.stats.agreement import ordinal_agreement
from harness.stats.paired import compare_bounded
from harness.stats.paired_proportions import mcnemar_exact
from harness.store.facts import read_record
from harness.store.runs import MANIFEST, finish_run

Item = dict[str, Any]
Choose = Callable[[int, Item], str | None]  # place on the page and item -> choice, None to leave it unrated


def review(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["review", *map(str, arguments)])


def facts(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 test examples: the candidate's answer alone is right on 100 of them, the baseline's alone on 20."""
    return Fixture(n_probe=5, questions=8).write(tmp_path_factory.mktemp("review") / "run")


@pytest.fixture
def page(run: Path, tmp_path: Path) -> Path:
    return export(run, tmp_path / "page.html")


def export(run: Path, path: Path, *options: str) -> Path:
    result = review("export", run, "--output", path, *options)
    assert result.exit_code == 0, result.output
    return path


def shown(page: Path) -> dict[str, Any]:
    """What the page holds, each item by name."""
    found = re.search(r'id="review-data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    names = ("id", "messages", "reference", "a", "b")
    return {**data, "items": [dict(zip(names, row, strict=True)) for row in data["items"]]}


def by_reference(_place: int, item: Item) -> str:
    """A rater who prefers the right answer: the candidate's 100 times and the baseline's 20 times."""
    return "a" if item["a"] == item["reference"] else "b"


def against_reference(_place: int, item: Item) -> str:
    return "b" if item["a"] == item["reference"] else "a"


def always(choice: str) -> Choose:
    return lambda _place, _item: choice


def first(count: int, choose: Choose) -> Choose:
    return lambda place, item: choose(place, item) if place < count else None


def rate(page: Path, rater: str, choose: Choose, **changes: Any) -> Path:
    """A ratings file as the page's script writes it, one rating a line, with `changes` to its keys."""
    data = shown(page)
    choices = {item["id"]: choose(place, item) for place, item in enumerate(data["items"])}
    ratings = {key: choice for key, choice in choices.items() if choice is not None}
    head = {"ratings_version": 1, **{name: data[name] for name in ("export", "seed", "examples")}}
    path = page.with_name(f"{page.stem}-{rater.strip()}.json")
    path.write_text(json.dumps({**head, "rater": rater, "ratings": ratings, **changes}, indent=2))
    return path


def rebind(folder: Path, **changes: object) -> None:
    """Let the manifest bind the evidence as it is now."""
    finish_run(folder, replace(read_record(RunManifest, folder / MANIFEST), **changes))  # type: ignore[arg-type]


# The page


def test_the_page_tells_neither_names_nor_what_the_sides_follow_from(run: Path, page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    manifest = json.loads((run / MANIFEST).read_text())
    assert not [name for name in ("candidate", "bare", *manifest["evidence"].values()) if name in html]
    assert "test-0" not in json.dumps([item["id"] for item in shown(page)["items"]])


def test_each_item_has_both_answers_once_and_identical_ones_are_left_out(run: Path, page: Path) -> None:
    items = shown(page)["items"]
    rows = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    texts = {(row["example_id"], row["system"]): row["text"] for row in rows if row["dataset"] == "test"}
    unlike = {f"test-{i}" for i in range(200) if texts[f"test-{i}", "candidate"] != texts[f"test-{i}", "bare"]}
    asked = [item["messages"][0][1].removeprefix("ask ") for item in items]
    assert sorted(asked) == sorted(unlike) and len(unlike) == 120
    assert asked != sorted(asked, key=lambda name: int(name.removeprefix("test-"))), "the items are shuffled"
    for name, item in zip(asked, items, strict=True):
        assert sorted((item["a"], item["b"])) == sorted((texts[name, "candidate"], texts[name, "bare"]))
    left = sum(item["a"] == texts[name, "candidate"] for name, item in zip(asked, items, strict=True))
    assert 35 < left < 85


def test_the_seed_draws_examples_order_and_sides_and_the_same_one_gives_the_same_bytes(run: Path, page: Path) -> None:
    again, other = (export(run, page.with_name(f"{seed}.html"), "--seed", seed) for seed in ("0", "1"))
    assert again.read_bytes() == page.read_bytes()
    assert shown(other)["export"] != shown(page)["export"]
    orders = [[item["messages"][0][1] for item in shown(path)["items"]] for path in (page, other)]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])
    sides = [{item["messages"][0][1]: item["a"] for item in shown(path)["items"]} for path in (page, other)]
    assert 35 < sum(sides[0][key] != sides[1][key] for key in sides[0]) < 85
    few = facts(review("export", run, "--examples", "50", "--output", page.with_name("few.html"), "--json"))
    assert few["examples"] == 50 and few["items"] + few["identical"] == 50 and 0 < few["items"] < 50


def test_the_page_is_named_by_its_id_when_no_output_is_given(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = facts(review("export", run, "--json"))
    assert found["page"] == f"review-{found['export'][:12]}.html" and Path(found["page"]).is_file()
    assert {key: found[key] for key in ("json_version", "baseline", "seed", "examples", "identical", "missing")} == {
        "json_version": 1, "baseline": "bare", "seed": 0, "examples": 200, "identical": 80, "missing": 0,
    }  # fmt: skip


def test_a_page_in_the_run_folder_is_refused_and_the_evidence_stays_as_it_was(run: Path, page: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    refused = review("export", run, "--output", run / "page.html")
    assert refused.exit_code == 2 and "the files of a run folder are evidence" in refused.output
    assert review("import", run, rate(page, "Ann", by_reference)).exit_code == 0
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_nothing_is_exported_when_all_answers_are_identical(tmp_path: Path) -> None:
    same = Fixture(n_test=30, n_probe=5, questions=8, baseline_right=lambda i: i % 10 != 0).write(tmp_path / "run")
    result = review("export", same, "--output", tmp_path / "page.html")
    assert result.exit_code == 2
    assert "nothing to rate against bare: of 30 examples 30 have identical answers" in result.output
    assert not (tmp_path / "page.html").exists()


def test_the_baseline_has_to_be_chosen_when_there_are_several(tmp_path: Path) -> None:
    suite = SUITE.replace("benchmarks:", "  wordy: {kind: prompt, role: baseline}\nbenchmarks:")

    def with_wordy(rows: list[Prediction]) -> list[Prediction]:
        return [*rows, *(replace(row, system="wordy", text=row.text + " ") for row in rows if row.system == "bare")]

    folder = Fixture(
        suite_text=suite, n_test=20, n_probe=5, questions=8, edit_predictions=with_wordy, candidate_right=lambda i: True
    ).write(tmp_path / "run")
    rebind(folder, planned={"candidate/test": 20, "bare/test": 20, "wordy/test": 20, "candidate/probe": 5})
    unnamed = review("export", folder, "--output", tmp_path / "page.html")
    assert unnamed.exit_code == 2 and "name one with --baseline; there are: bare, wordy" in unnamed.output
    unknown = review("export", folder, "--baseline", "candidate", "--output", tmp_path / "page.html")
    assert unknown.exit_code == 2 and "'candidate' is no baseline of this run" in unknown.output
    wordy = export(folder, tmp_path / "wordy.html", "--baseline", "wordy")
    assert len(shown(wordy)["items"]) == 20, "none of the 20 answers is letter for letter the same"
    found = facts(review("import", folder, rate(wordy, "Ann", by_reference), "--json"))
    assert (found["baseline"], found["wins"], found["losses"]) == ("wordy", 20, 0)


# The decision


@pytest.mark.parametrize(
    ("choose", "options", "code", "words"),
    [
        (by_reference, [], 0, "ship: better: +40.0 points on preference against bare"),
        (against_reference, [], 3, "hold: worse: -40.0 points on preference against bare"),
        (always("tie"), [], 4, "undecided: no difference shown: +0.0 points"),
        (lambda place, item: "a", [], 4, "undecided: no difference shown: "),
        (by_reference, ["--min-gain", "20%"], 0, "ship: better by more than 20 points: +40.0 points"),
        (by_reference, ["--min-gain", "0.4"], 4, "undecided: no gain of more than 40 points shown: "),
        (by_reference, ["--min-gain", "0.6"], 3, "hold: less than 60 points better: "),
    ],
)
def test_the_exit_code_is_the_decision(
    choose: Choose, options: list[str], code: int, words: str, run: Path, page: Path
) -> None:
    result = review("import", run, rate(page, "Ann", choose), *options)
    assert result.exit_code == code, result.output
    assert result.stdout.startswith(words)
    lines = result.stdout.splitlines()
    assert "rated of 120 items: Ann 120; 80 identical answers are ties" in lines
    assert "one rater: agreement unknown" in lines
    assert lines[-1].endswith(f"; review {shown(page)['export'][:12]}, seed 0")


def test_one_raters_choices_are_tested_exactly_and_every_number_is_printed(run: Path, page: Path) -> None:
    file = rate(page, "Ann", by_reference)
    found = facts(review("import", run, file, "--json"))
    assert found["p_value"] == mcnemar_exact(100, 20) and found["p_reverse"] == mcnemar_exact(20, 100)
    assert found["low"] < found["delta"] == 0.4 < found["high"]
    same = ("json_version", "decision", "exit_code", "export", "candidate", "baseline", "seed", "examples", "items")
    assert [found[name] for name in same] == [1, "ship", 0, shown(page)["export"], "candidate", "bare", 0, 200, 120]
    more = ("identical", "missing", "unrated", "partly_rated", "alpha", "min_gain", "wins", "losses", "imputed")
    assert [found[name] for name in more] == [80, 0, 0, 0, 0.05, 0.0, 100, 20, 0]
    assert found["raters"] == [{"name": "Ann", "file": str(file), "rated": 120}]
    assert found["agreement"] is None and found["resampling_seed"] == 3


def test_several_raters_give_the_mean_preference_and_their_agreement(run: Path, page: Path) -> None:
    files = [
        rate(page, "Ann", by_reference),
        rate(page, "Ben", lambda place, item: "tie" if place % 3 == 0 else by_reference(place, item)),
        rate(page, "Eve", first(60, always("a"))),
    ]
    result = review("import", run, *files, "--json")
    found = facts(result)
    units, values = [], [0.0] * 80
    for place, item in enumerate(shown(page)["items"]):
        right = 1 if is_candidate_right(item) else -1
        eve = [right if item["a"] == item["reference"] else -right] if place < 60 else []
        units.append([right, 0 if place % 3 == 0 else right, *eve])
        values.append(sum(units[-1]) / len(units[-1]))
    agreement = ordinal_agreement(units)
    assert found["delta"] == pytest.approx(sum(values) / 200)
    shares = [[(1 + sign * value) / 2 for value in values] for sign in (1, -1)]
    test = compare_bounded(*shares, alpha=0.05, min_gain=0.0, seed=3)
    assert (found["p_value"], found["low"], found["high"]) == pytest.approx(
        (test.p_value, test.delta.low, test.delta.high)
    )
    assert found["agreement"] == {
        "metric": "ordinal",
        "krippendorff_alpha": agreement.alpha,
        "agreeing_pairs": agreement.agreeing,
        "pairs": 240,
        "items": 120,
    }
    assert (found["partly_rated"], found["unrated"]) == (60, 0)
    text = review("import", run, *files).stdout
    assert "rated of 120 items: Ann 120, Ben 120, Eve 60; 60 rated by some of them only; 80 identical" in text
    assert f"agreement: {agreement.agreeing} of 240 pairs of ratings are equal (" in text
    assert f"Krippendorff's alpha (ordinal) {agreement.alpha:.2f}, on 120 shared items" in text


def is_candidate_right(item: Item) -> bool:
    """By the fixture: the candidate is wrong on every tenth example only, the baseline on every odd one."""
    return int(item["messages"][0][1].removeprefix("ask test-")) % 10 != 0


def test_agreement_is_unknown_when_no_item_is_shared_and_alpha_when_nothing_varies(run: Path, page: Path) -> None:
    def last_half(place: int, item: Item) -> str | None:
        return None if place < 60 else by_reference(place, item)

    apart = review("import", run, rate(page, "Ann", first(60, by_reference)), rate(page, "Ben", last_half))
    assert apart.exit_code == 0, apart.output
    assert "no item was rated by two: agreement unknown" in apart.stdout
    assert "120 rated by some of them only" in apart.stdout
    alike = review("import", run, *(rate(page, name, always("tie")) for name in ("Ann", "Ben")))
    assert "120 of 120 pairs of ratings are equal (100.0%), Krippendorff's alpha (ordinal) undefined" in alike.stdout


def test_items_that_nobody_rated_count_against_the_candidate(run: Path, page: Path) -> None:
    half = review("import", run, rate(page, "Ann", first(60, by_reference)))
    assert half.exit_code == 4
    assert "60 of 200 pairs lack a score, over 1.0%" in half.stdout
    assert "to settle it: rate the 60 of 120 items that nobody has rated" in half.stdout
    assert "60 rated by nobody" in half.stdout
    almost = review("import", run, rate(page, "Ann", first(118, by_reference)), "--json")
    assert almost.exit_code == 0
    found = facts(almost)
    assert (found["unrated"], found["imputed"], found["wins"] + found["losses"]) == (2, 2, 120)
    assert "2 missing scores were counted against the candidate" in found["reason"]
    assert found["losses"] >= 20


@pytest.mark.parametrize(("failed", "code"), [(2, 0), (3, 4)])
def test_examples_without_an_answer_are_not_asked_and_count_against_the_candidate(
    failed: int, code: int, tmp_path: Path
) -> None:
    def fail(rows: list[Prediction]) -> list[Prediction]:
        lost = {("candidate", "test-1"), ("bare", "test-3"), *[("bare", "test-5")][: failed - 2]}
        return [
            replace(row, text="", stop="error", error="timed out") if (row.system, row.example_id) in lost else row
            for row in rows
        ]

    folder = Fixture(n_probe=5, questions=8, edit_predictions=fail).write(tmp_path / "run")
    page = export(folder, tmp_path / "page.html")
    asked = {item["messages"][0][1] for item in shown(page)["items"]}
    assert not asked & {"ask test-1", "ask test-3"} and len(asked) == 120 - failed
    result = review("import", folder, rate(page, "Ann", by_reference), "--json")
    found = facts(result)
    assert result.exit_code == code, result.output
    assert (found["missing"], found["imputed"]) == (failed, failed)
    assert (found["wins"], found["losses"]) == (100 - failed, 20 + failed)


def test_examples_of_one_cluster_are_not_independent(tmp_path: Path) -> None:
    folder = Fixture(n_probe=5, questions=8).write(tmp_path / "run")
    rows = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
    for row in rows:
        row["cluster"] = f"c{int(row['id'].split('-')[1]) // 100}"
    (folder / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rebind(folder)
    page = export(folder, tmp_path / "page.html")
    result = review("import", folder, rate(page, "Ann", by_reference))
    assert result.exit_code == 4, "two clusters show nothing, however many examples they have"
    assert "over 2 clusters" in result.stdout


# What is refused


def damaged(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("damage", "code", "message"),
    [
        (lambda text, key: text[:-1], 2, ":129:1: not valid JSON: "),
        (lambda text, key: "[]", 2, ":1: Input should be"),
        (lambda text, key: "", 2, "not valid JSON"),
        (lambda text, key: damaged(text, '"rater": "Ann"', '"rater": "  "'), 2, ":6: rater: "),
        (lambda text, key: damaged(text, '"rater": "Ann"', '"rater": 3'), 2, ":6: rater: "),
        (lambda text, key: damaged(text, '"rater": "Ann",', ""), 2, ": rater: Field required"),
        (lambda text, key: damaged(text, '"rater"', '"name"'), 2, ":6: name: Extra inputs are not permitted"),
        (lambda text, key: damaged(text, '"ratings_version": 1', '"ratings_version": 2'), 2, ":2: ratings_version: "),
        (lambda text, key: damaged(text, '"seed": 0', '"seed": "0"'), 2, ":4: seed: "),
        (lambda text, key: damaged(text, f'"{key}": "a"', f'"{key}": "c"'), 2, ":9: ratings.{key}: Input should be"),
        (lambda text, key: damaged(text, key, "f" * 32), 2, ":9: ratings." + "f" * 32 + ": there is no such item"),
        (lambda text, key: damaged(text, "{", '{"ratings_version": 1,'), 2, "the key 'ratings_version' is given twice"),
        (
            lambda text, key: damaged(text, f'"{key}"', f'"{key}": "b",\n"{key}"'),
            2,
            ":10:1: not valid JSON: the key '",
        ),
        (lambda text, key: damaged(text, '"seed": 0', '"seed": 1'), 5, ":3: these ratings are of no page that run run"),
        (lambda text, key: damaged(text, '"examples": 200', '"examples": 9'), 5, ":3: these ratings are of no page"),
    ],
)
def test_a_file_that_the_page_did_not_export_is_refused_with_its_place(
    damage: Callable[[str, str], str], code: int, message: str, run: Path, page: Path
) -> None:
    file = rate(page, "Ann", always("a"))
    key = shown(page)["items"][1]["id"]
    file.write_text(damage(file.read_text(), key))
    result = review("import", run, file)
    assert result.exit_code == code, result.output
    assert f"error: {file}" in result.output and message.replace("{key}", key) in result.output


def test_a_file_without_ratings_or_that_is_not_there_is_refused(run: Path, page: Path) -> None:
    empty = review("import", run, rate(page, "Ann", always("a"), ratings={}))
    assert empty.exit_code == 2 and ":7: ratings: Dictionary should have at least 1 item" in empty.output
    assert review("import", run, page.with_name("none.json")).exit_code == 2
    assert review("import", run).exit_code == 2
    (page.parent / "latin.json").write_bytes(b'{"rater": "\xe9"}')
    assert "latin.json: not UTF-8 at byte 12" in review("import", run, page.parent / "latin.json").output


@pytest.mark.parametrize("names", [("Ann", "Ann "), ("Ann", "ann")])
def test_two_files_of_one_rater_are_refused(names: Sequence[str], run: Path, page: Path, tmp_path: Path) -> None:
    files = []
    for number, name in enumerate(names):
        files.append(rate(page, name, always("a")).rename(tmp_path / f"{number}.json"))
    result = review("import", run, *files)
    assert result.exit_code == 2
    assert f"{files[1]}:6: '{names[1].strip()}' has rated in {files[0]} already" in result.output
    assert review("import", run, files[0], files[0]).exit_code == 2


def test_ratings_of_another_page_or_run_are_refused(run: Path, page: Path, tmp_path: Path) -> None:
    ann, other = rate(page, "Ann", always("a")), export(run, tmp_path / "other.html", "--seed", "1")
    mixed = review("import", run, ann, rate(other, "Ben", always("a")))
    assert mixed.exit_code == 5 and "of another page than those of" in mixed.output
    second = Fixture(n_probe=5, questions=8, candidate_right=lambda i: i % 9 != 0).write(tmp_path / "second")
    foreign = review("import", second, ann)
    assert foreign.exit_code == 5 and "are of no page that run second exports" in foreign.output


def test_ratings_are_refused_when_the_evidence_changed_after_the_export(tmp_path: Path) -> None:
    folder = Fixture(n_test=20, n_probe=5, questions=8).write(tmp_path / "run")
    ann = rate(export(folder, tmp_path / "page.html"), "Ann", by_reference)
    with (folder / "predictions.jsonl").open("a") as stream:
        stream.write("\n")
    assert review("import", folder, ann).exit_code == 5
    rebind(folder)
    assert "of no page that run run exports" in review("import", folder, ann).output


@pytest.mark.parametrize("gain", ["nan", "-0.1", "5", "much", "inf"])
def test_a_gain_that_means_nothing_is_refused(gain: str, run: Path, page: Path) -> None:
    result = review("import", run, rate(page, "Ann", always("a")), "--min-gain", gain)
    assert result.exit_code == 2 and "is no share from 0 to 1" in result.output


def test_a_hostile_name_reaches_the_terminal_as_harmless_text(run: Path, page: Path) -> None:
    file = rate(page, "Ann", always("a"))
    file.write_text(file.read_text().replace('"Ann"', json.dumps("\x1b[2J\nAnn")))
    result = review("import", run, file)
    assert "\x1b" not in result.output and "␛[2J Ann 120" in result.stdout


def test_reviewing_imports_no_model_libraries(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert not modules_after("review", "export", str(run), "--output", str(page)) & HEAVY
    assert not modules_after("review", "import", str(run), str(rate(page, "Ann", always("a")))) & HEAVY
    assert not modules_after("review", "export", "--help") & (HEAVY | {"numpy", "scipy", "pydantic", "jinja2"})
