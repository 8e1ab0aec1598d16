"""Every arm and every way to train has a suite of one screen here; each runs to its verdict on a tiny model."""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from peft import LoraConfig, get_peft_model
from tiny_model import load_tiny, make_tiny_model

from harness.cli.main import main

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "systems"))
from faulty_server import FaultyServer, sends_completion  # noqa: E402

SUITES = sorted(path.stem for path in HERE.glob("*.yaml"))
SCREEN = 30  # lines
RED = '{"colour": "red"}'


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def run(folder: Path, name: str, *more: str) -> tuple[dict[str, Any], Path]:
    """Run a suite in a copy of this folder with a tiny model beside it; its outcome, and the run's folder."""
    suites = folder / "suites"
    shutil.copytree(HERE, suites, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    make_tiny_model(suites / "model", hidden=64)
    make_tiny_model(suites / "other-model", seed=1)
    write_adapter(folder, suites / "elsewhere")
    result = CliRunner().invoke(main, ["run", str(suites / f"{name}.yaml"), "--json", *more])
    assert result.exit_code in {0, 3, 4}, result.output + str(result.exception)
    found = json.loads(result.stdout.splitlines()[-1])
    return found, Path(found["run"])


def write_adapter(folder: Path, target: Path) -> None:
    """An adapter as plain PEFT writes it, among what other tools leave beside one."""
    base = load_tiny(folder / "elsewhere-base", hidden=64)
    torch.manual_seed(4)
    model = get_peft_model(base.model, LoraConfig(task_type="CAUSAL_LM", r=8, target_modules=["q_proj", "v_proj"]))
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(target)
    (target / "training_args.bin").write_bytes(b"a pickle that nobody reads")
    (target / "checkpoint-10").mkdir()


def answers(folder: Path, dataset: str = "test") -> dict[str, list[dict[str, Any]]]:
    by_system: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in map(json.loads, (folder / "predictions.jsonl").read_text().splitlines()):
        if row["dataset"] == dataset:
            by_system[row["system"]].append(row)
    return by_system


def names(found: dict[str, Any]) -> list[str]:
    return [check["name"] for check in found["checks"]]


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text()))


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_fits_on_one_screen(name: str) -> None:
    lines = (HERE / f"{name}.yaml").read_text().splitlines()
    assert len(lines) <= SCREEN and max(map(len, lines)) <= 120
    assert lines[0].startswith("# ") and f"suite: {name}" in lines


METHODS = {
    "lora": "lora", "rslora": "rslora", "dora": "dora", "qlora-4bit": "lora", "qlora-8bit": "lora",
    "prefix-tuning": "prefix_tuning", "prompt-tuning": "prompt_tuning", "full": "full", "dpo": "lora dpo",
    "continued-pretraining": "lora continued_pretraining", "classification": "lora classification",
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_a_candidate_of_each_method_is_trained_and_judged(name: str, tmp_path: Path) -> None:
    found, folder = run(tmp_path, name)
    history = json.loads((folder / "training.json").read_text())
    assert history["method"] == METHODS[name] and history["trained_tokens"] > 0
    losses = [point["validation_loss"] for point in history["points"] if point["validation_loss"] is not None]
    assert min(losses[1:]) < losses[0], "it learns"
    given = answers(folder)
    assert len(given["candidate"]) == len(given["bare"]) == 12
    assert [row["text"] for row in given["candidate"]] != [row["text"] for row in given["bare"]]
    assert {path.suffix for path in (folder / "adapter").iterdir()} == {".json", ".safetensors"}
    status = {check["name"]: check["status"] for check in found["checks"]}
    assert status["adapter_is_live"] == status["healthy_training"] == "pass"


def test_a_classifier_answers_with_classes_only(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "classification")
    assert {row["text"] for row in answers(folder)["candidate"]} <= {RED, '{"colour": "blue"}'}
    assert {row["output_tokens"] for row in answers(folder)["candidate"]} == {0}


def test_other_methods_are_baselines_of_the_same_gate(tmp_path: Path) -> None:
    found, folder = run(tmp_path, "lora-against-full")
    compared = {name.rpartition("/")[2] for name in names(found) if name.startswith("better_than/")}
    assert compared == {"bare", "full", "soft-prompt"}
    assert {path.name for path in (folder / "trained" / "full").iterdir()} == {"config.json", "model.safetensors"}
    histories = [json.loads(path.read_text()) for path in (folder / "histories").glob("*.json")]
    assert {history["method"] for history in histories} == {"full", "prompt_tuning"}
    assert len({tuple(row["text"] for row in rows) for rows in answers(folder).values()}) == 4
    assert manifest(folder)["counters"]["model_loads"] == 1


def test_a_recipe_is_judged_over_its_seeds(tmp_path: Path) -> None:
    found, folder = run(tmp_path, "three-seeds")
    assert set(answers(folder)) == {"candidate", "bare", "candidate@seed2", "candidate@seed3"}
    assert any("over 3 trainings" in check["reason"] for check in found["checks"])


def test_an_adapter_from_elsewhere_is_judged_without_training(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "adapter-from-elsewhere")
    assert manifest(folder)["counters"]["trained_tokens"] == 0
    assert sorted(p.name for p in (folder / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    given = answers(folder)
    assert [row["text"] for row in given["candidate"]] != [row["text"] for row in given["bare"]]


def test_a_suite_that_trains_judges_an_adapter_that_is_given_instead(tmp_path: Path) -> None:
    write_adapter(tmp_path, tmp_path / "given")
    _, folder = run(tmp_path, "lora", "--adapter", str(tmp_path / "given"))
    assert manifest(folder)["counters"]["trained_tokens"] == 0
    given = (tmp_path / "given" / "adapter_model.safetensors").read_bytes()
    assert (folder / "adapter" / "adapter_model.safetensors").read_bytes() == given


def test_shots_come_from_the_training_rows_and_the_nearest_from_those_that_are_near(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "few-shot")
    given = answers(folder)
    assert {len(given[name]) for name in ("drawn", "nearest")} == {12}
    assert [row["text"] for row in given["drawn"]] != [row["text"] for row in given["nearest"]]
    tokens = {name: {row["prompt_tokens"] for row in given[name]} for name in given}
    assert min(tokens["nearest"]) > max(tokens["bare"])


def test_what_is_found_stands_before_the_question(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "retrieval")
    given = answers(folder)
    tokens = {name: min(row["prompt_tokens"] for row in rows) for name, rows in given.items()}
    assert tokens["documents"] > tokens["bare"] and tokens["rows"] > tokens["bare"]
    assert "documents" in manifest(folder)["digests"], "the documents are part of what was judged"


def test_a_grammar_makes_every_answer_valid_and_is_shown_beside_the_arm_without(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "constrained")
    colours = [{"colour": "red"}, {"colour": "blue"}]
    for arm in ("schema", "pattern", "grammar"):
        for dataset in ("test", "probe"):
            rows = answers(folder, dataset)[arm]
            assert len(rows) == 12 and all(json.loads(row["text"]) in colours for row in rows)
            assert {row["stop"] for row in rows} == {"end"}
    assert not any(row["text"].startswith("{") for row in answers(folder, "probe")["bare"]), "without a grammar"
    table = (folder / "summary.md").read_text().partition("| Arm |")[2].partition("\n\n")[0]
    arms = [line.split("|")[1].strip() for line in table.splitlines() if line.count("|") > 5]
    assert arms[-4:] == ["bare", "schema", "pattern", "grammar"]


def test_an_arm_with_a_model_of_its_own_answers_with_that_model(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "own-model")
    given, systems = answers(folder), manifest(folder)["systems"]
    assert [row["text"] for row in given["other"]] != [row["text"] for row in given["bare"]]
    models = {system["name"]: system["signature"].split("|")[0] for system in systems}
    assert models["candidate"] == models["bare"] != models["other"]
    assert manifest(folder)["counters"]["model_loads"] == 2


def test_an_endpoint_is_compared_with_its_price(tmp_path: Path) -> None:
    with FaultyServer(sends_completion(RED)) as server:
        found, folder = run(tmp_path, "endpoint", "--set", f"systems.api.base_url={server.base_url}")
    assert [row["text"] for row in answers(folder)["api"]] == [RED] * 12
    assert "better_than/exact_match/api" in names(found)
    assert "EUR" in (folder / "summary.md").read_text()


def test_a_judge_prefers_one_answer_to_another(tmp_path: Path) -> None:
    with FaultyServer(sends_completion('{"better": "A"}')) as server:
        found, folder = run(tmp_path, "judge", "--set", f"judges.strict.base_url={server.base_url}")
    rows = [json.loads(line) for line in (folder / "preferences.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    check = next(check for check in found["checks"] if check["name"].startswith("preferred"))
    assert check["status"] != "pass", "whoever is shown first is preferred, so neither is"
