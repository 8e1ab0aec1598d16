"""The composite action's steps, run with bash in a scratch repository as a runner would run them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from action_bench import ACTION, CODES, ROOT, Bench
from ruamel.yaml import YAML
from workflow_runner import Finished

ANNOTATIONS = {
    "ship": [],
    "hold": [r"::error file=suites/fixture/suite\.yaml,line=11,title=valid_output failed::.*30 of 60.*"],
    "undecided": [
        r"::warning file=suites/fixture/suite\.yaml,line=10,title=better_than/exact_match/bare undecided::"
        r".*; to settle it: .*"
    ],
    "error": ["::error title=lora-harness::no verdict: harness run ended with exit code 2; the log says why"],
}
HEADINGS = {
    "ship": "### ✓ Ship: fixture",
    "hold": "### ✕ Hold: fixture",
    "undecided": "### ? Undecided: fixture",
    "error": "### ✕ No verdict: nothing is said about the model",
}
BOT = {"login": "github-actions[bot]"}
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="the stand-in for gh runs its --jq with jq")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Bench, Finished]]:
    """The action, run to each of its ends, without a comment."""
    benches = {name: Bench(tmp_path_factory.mktemp(name), name) for name in CODES}
    return {name: (bench, bench.run(comment="false")) for name, bench in benches.items()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("end", CODES)
def test_the_exit_code_is_that_of_the_verdict(end: str, ended: Mapping[str, tuple[Bench, Finished]]) -> None:
    assert ended[end][1].exit_code == CODES[end], ended[end][1].log


@pytest.mark.parametrize("end", CODES)
def test_the_outputs_say_what_was_decided_and_where_the_report_is(
    end: str, ended: Mapping[str, tuple[Bench, Finished]]
) -> None:
    bench, done = ended[end]
    run = bench.repository / "reports" / "fixture" / "run-1"
    judged = end != "error"
    assert done.outputs == {
        "verdict": end if judged else "",
        "report-path": str(run / "report.html") if judged else "",
        "run-id": "run-1" if judged else "",
        "exit-code": str(CODES[end]),
    }
    assert not judged or Path(done.outputs["report-path"]).is_file()


@pytest.mark.parametrize("end", CODES)
def test_the_annotations_stand_at_the_lines_of_the_checks(
    end: str, ended: Mapping[str, tuple[Bench, Finished]]
) -> None:
    found = ended[end][1].annotations
    assert len(found) == len(ANNOTATIONS[end]), ended[end][1].log
    for line, pattern in zip(found, ANNOTATIONS[end], strict=True):
        assert re.fullmatch(pattern, line), line


@pytest.mark.parametrize("end", CODES)
def test_the_summary_is_the_verdict(end: str, ended: Mapping[str, tuple[Bench, Finished]]) -> None:
    summary = ended[end][1].summary
    assert summary.startswith(HEADINGS[end]) if end != "error" else summary == ""


@pytest.mark.parametrize("end", CODES)
def test_the_report_is_uploaded_when_there_is_one(end: str, ended: Mapping[str, tuple[Bench, Finished]]) -> None:
    done = ended[end][1]
    uploads = [given for used, given in done.used.items() if used.startswith("actions/upload-artifact@")]
    if end == "error":
        assert uploads == []
        return
    (upload,) = uploads
    assert upload["name"] == "lora-harness-run-1"
    found = [path.name for line in upload["path"].splitlines() for path in Path("/").glob(line.removeprefix("/"))]
    assert sorted(found) == [
        "comparison.csv", "junit.xml", "metrics.json", "report.html", "summary.md", "verdict.json",
    ]  # fmt: skip


def test_an_error_is_told_in_the_log(ended: Mapping[str, tuple[Bench, Finished]]) -> None:
    assert "suites/fixture/suite.yaml:1:" in ended["error"][1].log


@needs_jq
@pytest.mark.parametrize("end", CODES)
def test_the_first_comment_is_made(end: str, ended: Mapping[str, tuple[Bench, Finished]], bench: Bench) -> None:
    done = bench.run(replayed=ended[end][1].steps["run"])
    assert done.exit_code == CODES[end]
    search, write = bench.calls()
    assert search["arguments"][:3] == ["api", "--paginate", "repos/owner/project/issues/7/comments?per_page=100"]
    assert write["arguments"][:4] == ["api", "--method", "POST", "repos/owner/project/issues/7/comments"]
    lines = write["body"].splitlines()
    assert lines[:2] == ["<!-- lora-harness: suites/fixture -->", HEADINGS[end]]
    assert lines[-1] == "[Log and report](https://github.com/owner/project/actions/runs/42)"
    assert len(write["body"]) < 65_536
    assert "exit code 2" in write["body"] or end != "error"


@needs_jq
def test_the_same_comment_is_updated_after_that(ended: Mapping[str, tuple[Bench, Finished]], bench: Bench) -> None:
    marker = "<!-- lora-harness: suites/fixture -->"
    bench.comments = [
        {"id": 1, "user": {"login": "someone"}, "body": f"{marker}\n### ✓ Ship: written by hand"},
        {"id": 2, "user": BOT, "body": "<!-- lora-harness: suites/other -->\n### ✓ Ship: other"},
        {"id": 3, "user": BOT, "body": f"quoted: {marker}"},
        {"id": 4, "user": BOT, "body": f"{marker}\n### ✓ Ship: fixture"},
        {"id": 5, "user": BOT, "body": f"{marker}\n### ✓ Ship: fixture"},
    ]
    bench.run(replayed=ended["hold"][1].steps["run"])
    write = bench.calls()[-1]
    assert write["arguments"][:4] == ["api", "--method", "PATCH", "repos/owner/project/issues/comments/4"]
    assert HEADINGS["hold"] in write["body"]


def test_a_comment_that_is_refused_is_a_warning_and_leaves_the_verdict(
    ended: Mapping[str, tuple[Bench, Finished]], bench: Bench
) -> None:
    (bench.folder / "refused").touch()
    done = bench.run(replayed=ended["ship"][1].steps["run"])
    assert done.exit_code == 0
    (warning,) = done.annotations
    assert warning.startswith("::warning title=lora-harness::no comment;") and "pull-requests: write" in warning


def test_a_pull_request_from_a_fork_gets_a_notice_instead(
    ended: Mapping[str, tuple[Bench, Finished]], bench: Bench
) -> None:
    fork = {"pull_request": {"number": 7, "head": {"repo": {"full_name": "stranger/project"}}}}
    bench.job = replace(bench.job, event=fork)
    done = bench.run(replayed=ended["hold"][1].steps["run"])
    assert done.exit_code == 3 and bench.calls() == []
    assert [line.split("::")[1] for line in done.annotations] == ["notice title=lora-harness"]


def test_there_is_no_comment_without_a_pull_request(ended: Mapping[str, tuple[Bench, Finished]], bench: Bench) -> None:
    bench.job = replace(bench.job, event_name="push", event={})
    assert bench.run(replayed=ended["hold"][1].steps["run"]).exit_code == 3
    assert bench.calls() == []


@pytest.mark.parametrize(
    ("fail_on", "codes"),
    [
        ("hold,undecided", {"ship": 0, "hold": 3, "undecided": 4, "error": 2}),
        ("hold", {"ship": 0, "hold": 3, "undecided": 0, "error": 2}),
        ("never", {"ship": 0, "hold": 0, "undecided": 0, "error": 2}),
    ],
)
def test_only_the_verdicts_that_were_asked_for_fail_the_step(
    fail_on: str, codes: Mapping[str, int], ended: Mapping[str, tuple[Bench, Finished]], bench: Bench
) -> None:
    for end, code in codes.items():
        bench.job = replace(bench.job, temporary=bench.folder / end)
        done = bench.run(replayed=ended[end][1].steps["run"], comment="false", fail_on=fail_on)
        assert done.exit_code == code, end


@pytest.mark.parametrize(
    "wrong", [{"fail_on": "undecided"}, {"comment": "yes"}, {"baseline": "previous"}, {"baseline": "=folder"}]
)
def test_an_input_without_a_meaning_fails_before_anything_is_spent(wrong: Mapping[str, str], bench: Bench) -> None:
    done = bench.run(**{"comment": "false", **wrong})
    assert done.exit_code == 2
    assert done.annotations[0].startswith("::error title=lora-harness::")
    assert not (bench.folder / "harness").exists() and not (bench.folder / "python").exists()


def test_inputs_reach_the_command_as_they_are(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "error")
    text = '$(touch "$HOME/owned") `id` "x" \'y\' ${{ z'
    done = bench.run(suite=text, adapter=f"folder {text}", baseline="previous=../served = now", comment="false")
    assert done.exit_code == 2
    assert bench.arguments("harness") == [
        "run", "--adapter", f"folder {text}", "--set", "systems.previous.from=../served = now", "--", text,
    ]  # fmt: skip
    assert not (tmp_path / "owned").exists()


def test_the_action_installs_the_harness_it_came_with(ended: Mapping[str, tuple[Bench, Finished]]) -> None:
    bench, done = ended["ship"]
    assert bench.arguments("python") == ["-m", "pip", "install", "--quiet", str(ROOT)]
    assert done.used["actions/setup-python@v6"] == {"python-version": "3.11"}
    assert bench.arguments("harness") == ["run", "--", "suites/fixture"]


def test_no_expression_is_pasted_into_a_script() -> None:
    steps = YAML(typ="safe").load(ACTION)["runs"]["steps"]
    assert [step["name"] for step in steps if "${{" in step.get("run", "")] == []
