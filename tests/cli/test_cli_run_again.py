"""Running again computes only what changed, and nothing when nothing did."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import tiny_model
from click.testing import CliRunner
from tiny_model import write_tiny_suite

from harness.cli.main import main
from harness.earlier import inputs_digest
from harness.environment import numerics, source_digest
from harness.prepare import read_inputs
from harness.suite.load import load_suite

WITHOUT_TORCH = """
import sys
from harness.cli.main import main
from harness.environment import numerics, source_digest
try:
    main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
heavy = {"torch", "transformers", "peft", "trl", "lm_eval", "datasets"} & {name.split(".")[0] for name in sys.modules}
print("\\nHEAVY", *sorted(heavy), file=sys.stderr)
sys.exit(code)
"""
QUIZ = Path(__file__).parents[1] / "fixtures" / "mmlu"
TEMPLATE = "additional_chat_templates/default.jinja"  # which transformers takes before chat_template.jinja


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite with a cache of its own."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return write_tiny_suite(
        tmp_path / "suites" / "tiny",
        benchmarks=f"benchmarks:\n  quiz: {{task: mmlu, mmlu_dir: {QUIZ}, per_subject: 3, shots: 1}}",
        checks="checks:\n  - {kind: better_than}\n  - {kind: benchmark_drop, benchmark: quiz, blocking: false}",
    )


def run(suite: Path, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the run printed, and the counters in its manifest."""
    result = CliRunner().invoke(main, ["run", str(suite), "--json", *options])
    assert result.exit_code in {3, 4}, result.output + str(result.exception)
    found = json.loads(result.stdout.splitlines()[-1])
    return found, json.loads((Path(found["run"]) / "manifest.json").read_text())["counters"]


def test_nothing_is_computed_or_loaded_when_nothing_changed(suite: Path) -> None:
    first, _ = run(suite)
    command = [sys.executable, "-c", WITHOUT_TORCH, "run", str(suite), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    again = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, again["run"], again["decision"]) == (first["exit_code"], first["run"], first["decision"])
    assert "nothing changed since run" in done.stderr
    assert done.stderr.splitlines()[-1].split() == ["HEAVY"]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


CHANGES = {
    "a test row": lambda suite: edit(suite / "test.jsonl", "item 1003", "item 1993"),
    "a training row": lambda suite: edit(suite / "train.jsonl", "item 3", "item 993"),
    "a prompt": lambda suite: edit(suite / "plain.txt", "Which", "What"),
    "the suite": lambda suite: edit(suite / "suite.yaml", "epochs: 2", "epochs: 1"),
    "the model": lambda suite: edit(suite / "model" / "config.json", '"rms_norm_eps": 1e-06', '"rms_norm_eps": 2e-06'),
    "a template in a folder of the model": lambda suite: edit(suite / "model" / TEMPLATE, "{% for", "Hi{% for"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_anything_makes_a_new_run(name: str, suite: Path) -> None:
    (suite / "model" / TEMPLATE).parent.mkdir()
    (suite / "model" / TEMPLATE).write_text(tiny_model.TEMPLATE)
    first, _ = run(suite)
    CHANGES[name](suite)
    second, counters = run(suite)
    assert second["run"] != first["run"]
    digests = [json.loads((Path(each["run"]) / "manifest.json").read_text())["digests"] for each in (first, second)]
    assert (digests[0]["base"] != digests[1]["base"]) == ("model" in name)
    # The training is made again where it depends on what changed.
    assert (counters["trained_tokens"] > 0) == (name != "a test row")
    assert counters["decoded_rows"] > 0


def test_baselines_are_read_back_when_only_the_candidate_changed(suite: Path) -> None:
    first, cold = run(suite)
    second, warm = run(suite, "--set=train.learning_rate=5e-3")
    # The bare prompt and few-shot answers, and the base model's benchmark.
    assert warm["stored_answers"] == 24 and warm["stored_scores"] > 0
    assert cold["stored_answers"] == cold["stored_scores"] == 0
    assert warm["generated_tokens"] < cold["generated_tokens"]

    def answers(found: dict[str, Any], system: str) -> list[str]:
        rows = map(json.loads, (Path(found["run"]) / "predictions.jsonl").read_text().splitlines())
        return [row["text"] for row in rows if row["system"] == system]

    for system in ("bare", "few-shot"):
        assert answers(first, system) == answers(second, system)
    assert answers(first, "candidate") != answers(second, "candidate")


def test_everything_is_computed_anew_when_asked(suite: Path) -> None:
    first, cold = run(suite)
    second, fresh = run(suite, "--fresh")
    assert second["run"] != first["run"]
    assert fresh == cold


def test_a_run_that_was_damaged_since_is_made_anew(suite: Path) -> None:
    first, _ = run(suite)
    edit(Path(first["run"]) / "predictions.jsonl", '"text": "', '"text": "x')
    second, _ = run(suite)
    assert second["run"] != first["run"]


@pytest.mark.parametrize(("days", "anew"), [(29, False), (31, True)])
def test_a_run_whose_evidence_is_older_than_a_verdict_may_get_is_made_anew(days: int, anew: bool, suite: Path) -> None:
    first, _ = run(suite)
    path = Path(first["run"]) / "manifest.json"
    manifest = json.loads(path.read_text())
    finished = datetime.fromisoformat(manifest["finished"]) - timedelta(days=days)
    path.write_text(json.dumps(manifest | {"finished": finished.isoformat()}))
    second, _ = run(suite)
    assert (second["run"] != first["run"]) == anew


def test_a_store_that_is_damaged_stops_the_run_and_says_what_to_do(suite: Path, tmp_path: Path) -> None:
    run(suite)
    store = tmp_path / "cache" / "answers.sqlite"
    store.write_bytes(b"not a database, and longer than a header of one, since that is what is looked at first" * 9)
    result = CliRunner().invoke(main, ["run", str(suite), "--set=train.learning_rate=5e-3"])
    assert result.exit_code == 1
    assert str(store) in result.output and "delete the file" in result.output


def test_other_code_of_the_harness_makes_a_new_run(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = run(suite)
    monkeypatch.setattr("harness.earlier.source_digest", lambda: "other code")
    second, counters = run(suite)
    assert second["run"] != first["run"]
    assert counters["trained_tokens"] == 0, "the code of trainings is the same"


def test_other_code_that_renders_templates_trains_anew(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(suite)
    monkeypatch.setattr("harness.earlier.source_digest", lambda: "other code")
    monkeypatch.setattr(
        "harness.candidates.source_digest",
        lambda package: "other code" if package == "confined" else source_digest(package),
    )
    _, counters = run(suite)
    assert counters["trained_tokens"] > 0


def test_the_engines_code_is_part_of_what_its_numbers_depend_on() -> None:
    assert numerics()["engine"] == source_digest("engine") != source_digest()


@pytest.mark.parametrize(
    "variable", ["NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "ONEDNN_DEFAULT_FPMATH_MODE"]
)
def test_a_switch_of_precision_and_the_template_library_are_part_of_what_the_numbers_depend_on(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = numerics()
    monkeypatch.setenv(variable, "1")
    assert {name for name, value in numerics().items() if before[name] != value} == {variable}
    assert before["jinja2"] == version("jinja2")


@pytest.mark.parametrize("setting", ["engine={kind: vllm}", "train.quantize=4bit", "seed=2"])
def test_a_suites_own_engine_and_quantisation_are_part_of_its_inputs(
    setting: str, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _, value = setting.partition("=")
    inputs = read_inputs(load_suite(suite, {key: value}), registry=suite.parent)

    def digest() -> str:
        return inputs_digest(inputs, ground="", numerics={})

    before = digest()
    monkeypatch.setattr("harness.earlier.installed_version", lambda library: f"another {library}")
    other = digest()
    assert (other != before) == (key != "seed")
    monkeypatch.setenv("VLLM_ATTENTION_BACKEND", "OTHER")
    assert (digest() != other) == (key == "engine")
