"""Adapters made elsewhere in a whole run: a broken baseline is not easy to beat, and what is judged stays the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from adapter_files import CONFIG, WEIGHTS, lora_config, random_tensors, safetensors, write_file
from click.testing import CliRunner, Result
from tiny_model import write_tiny_suite

from harness.cli.main import main
from harness.clock import utc_now
from harness.errors import BrokenRunError, InvalidInputError
from harness.prepare import read_inputs
from harness.produce import produce
from harness.progress import SilentProgress
from harness.store.project import project_folders
from harness.suite.load import load_suite
from harness.trust.digests import digest_file
from harness.trust.expected_tensors import read_base

ARMS = (
    "systems:\n"
    "  candidate: {kind: adapter, role: candidate, system: plain.txt, from: candidate}\n"
    "  bare: {kind: prompt, role: baseline, system: plain.txt}\n"
    "  theirs: {kind: adapter, role: baseline, system: plain.txt, from: theirs}"
)


def harness(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def write_given(suite: Path, name: str, *, scale: float, **config: object) -> Path:
    """An adapter of the tiny model with random factors of this size."""
    folder = suite / name
    folder.mkdir(exist_ok=True)
    modules = read_base(suite / "model").modules
    shapes: dict[str, tuple[int, ...]] = {}
    for module, (outputs, inputs) in modules.items():
        if module.endswith("q_proj"):
            place = f"base_model.model.{module}"
            shapes |= {f"{place}.lora_A.weight": (2, inputs), f"{place}.lora_B.weight": (outputs, 2)}
    tensors: Mapping[str, np.ndarray] = {key: value * scale for key, value in random_tensors(shapes).items()}
    (folder / CONFIG).write_text(json.dumps(lora_config(target_modules=["q_proj"], **config)))
    write_file(folder / WEIGHTS, *safetensors(tensors))
    return folder


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "baselines").mkdir()
    folder = write_tiny_suite(tmp_path / "suites" / "tiny", systems=ARMS, checks="checks:\n  - {kind: better_than}")
    write_given(folder, "candidate", scale=1.0)
    write_given(folder, "theirs", scale=0.7)
    return folder


@pytest.mark.parametrize(
    ("scale", "says"), [(1e19, "logits of theirs are not finite"), (0.0, "baseline theirs has no effect")]
)
def test_a_baseline_that_is_broken_beyond_its_files_is_refused(scale: float, says: str, suite: Path) -> None:
    write_given(suite, "theirs", scale=scale, lora_alpha=1024)
    result = harness("run", suite)
    assert result.exit_code == 2, result.output
    assert says in result.output and str(suite / "theirs") in result.output
    assert not list(suite.parents[1].glob("reports/tiny/*/manifest.json")), "nothing was judged"


@pytest.mark.parametrize("more", [(), ("--fresh",)])
def test_a_candidate_whose_logits_are_not_finite_is_refused_before_it_answers(
    more: tuple[str, ...], suite: Path
) -> None:
    write_given(suite, "candidate", scale=1e19, lora_alpha=1024)
    result = harness("run", suite, *more)
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit), result.output
    said = " ".join(result.output.split())
    assert f"error: {suite / 'candidate'}: the logits of candidate are not finite" in said
    assert "answer test" not in said and not list(suite.parents[1].glob("reports/tiny/*/manifest.json"))


def test_a_baseline_with_the_candidates_own_files_is_refused(suite: Path) -> None:
    for name in (CONFIG, WEIGHTS):
        (suite / "theirs" / name).write_bytes((suite / "candidate" / name).read_bytes())
    result = harness("run", suite)
    assert result.exit_code == 2, result.output
    said = " ".join(result.output.split())
    assert f"systems.theirs: {suite / 'theirs'} is the candidate itself, byte for byte" in said
    assert not list(suite.parents[1].glob("reports/tiny/*/manifest.json")), "nothing was judged"


def test_a_general_row_that_does_not_fit_the_context_ends_the_run_and_is_named(suite: Path) -> None:
    rows = [{"prompt": f"say {i} again" if i != 7 else "x" * 2048, "completion": str(i)} for i in range(100)]
    (suite / "general.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (suite / "suite.yaml").read_text()
    (suite / "suite.yaml").write_text(f"{text}  - {{kind: kl_divergence, prompts: general.jsonl, limit: 5.0}}\n")
    result = harness("run", suite)
    said = " ".join(result.output.split())
    assert (result.exit_code, "general.jsonl:8: the prompt has" in said) == (2, True), result.output
    assert "the model takes 2,048: shorten the prompt, or leave the row out" in said


def test_a_run_holds_only_the_files_that_were_admitted(suite: Path) -> None:
    (suite / "candidate" / "tokenizer.json").write_text("{}")
    (suite / "candidate" / "adapter_model.bin").write_bytes(b"\x80")
    result = harness("run", suite, "--json")
    assert result.exit_code in {3, 4}, result.output
    folder = Path(json.loads(result.stdout.splitlines()[-1])["run"])
    assert {path.name: digest_file(path) for path in (folder / "adapter").iterdir()} == {
        name: digest_file(suite / "candidate" / name) for name in (CONFIG, WEIGHTS)
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    assert any("theirs says that its base model is small" in warning for warning in manifest["warnings"])
    again = harness("run", suite)
    assert "nothing changed since run" in again.output


class Meddler(SilentProgress):
    """Another process, which writes to a file while a stage of the run goes on."""

    def __init__(self, project: Path, pattern: str, stage: str) -> None:
        self.project, self.pattern, self.stage = project, pattern, stage

    def start(self, stage: str, total: int) -> None:
        if stage.startswith(self.stage):
            self.meddle()

    def say(self, line: str) -> None:
        if line.startswith(self.stage):
            self.meddle()

    def meddle(self) -> None:
        (path,) = self.project.glob(self.pattern)
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")


@pytest.mark.parametrize(
    ("pattern", "stage", "error", "says"),
    [
        (f"suites/tiny/theirs/{WEIGHTS}", "run ", BrokenRunError, f"theirs/{WEIGHTS}: changed since the run read it"),
        (f"suites/tiny/candidate/{WEIGHTS}", "run ", InvalidInputError, f"candidate/{WEIGHTS}: changed since it was"),
        (f"reports/tiny/*/adapter/{WEIGHTS}", "answer", BrokenRunError, "adapter: changed while it was judged"),
        ("suites/tiny/model/tokenizer_config.json", "answer", BrokenRunError, "model: changed while it was judged"),
    ],
)
def test_what_changes_while_a_run_goes_on_is_not_judged(
    pattern: str, stage: str, error: type[Exception], says: str, suite: Path
) -> None:
    project = suite.parents[1]
    inputs = read_inputs(load_suite(suite), registry=project / "baselines")
    progress = Meddler(project, pattern, stage)
    with pytest.raises(error, match=says):
        produce(inputs, folders=project_folders(suite), clock=utc_now, progress=progress, command="")
    assert not list(project.glob("reports/tiny/*/manifest.json"))


def test_a_baseline_that_changes_while_it_is_judged_changes_nothing(suite: Path) -> None:
    project = suite.parents[1]
    weights = project / "suites" / "tiny" / "theirs" / WEIGHTS
    before, found = weights.read_bytes(), []
    for progress in (SilentProgress(), Meddler(project, f"suites/tiny/theirs/{WEIGHTS}", "answer test with candidate")):
        inputs = read_inputs(load_suite(suite), registry=project / "baselines")
        made = produce(inputs, folders=project_folders(suite), clock=utc_now, progress=progress, command="", fresh=True)
        assert isinstance(made, Path)
        rows = map(json.loads, (made / "predictions.jsonl").read_text().splitlines())
        found.append([(row["system"], row["example_id"], row["text"]) for row in rows])
    assert weights.read_bytes() != before, "it was changed"
    assert found[0] == found[1]
