"""The promises of the README's security section that a run keeps, with a tiny model, by what anybody can look at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tiny_model import write_tiny_suite
from watching import CANARY, watched

from harness.cli.main import main
from harness.engine.generate import Generation, GenerationSettings
from harness.engine.session import ModelSession
from harness.limits import MODEL_JSON_BYTES

ARMS = (
    "systems:\n"
    "  candidate: {kind: adapter, role: candidate, system: plain.txt}\n"
    "  bare: {kind: prompt, role: baseline, system: plain.txt}\n"
    "  engineered: {kind: prompt, role: baseline, system: long.txt}\n"
    "  few-shot: {kind: few_shot, shots: 2}\n"
    "  found: {kind: retrieval, documents: handbook}\n"
    "  bound: {kind: constrained, over: bare, regex: 'red|blue'}\n"
    "  other: {kind: adapter, role: baseline, system: plain.txt, train: {rank: 2, epochs: 1, learning_rate: 1e-3}}"
)


def harness(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "project" / "baselines").mkdir(parents=True)
    folder = write_tiny_suite(tmp_path / "project" / "suites" / "tiny", systems=ARMS)
    (folder / "long.txt").write_text("Is it red or is it blue? One word.")
    (folder / "handbook").mkdir()
    (folder / "handbook" / "colours.txt").write_text("An item is red or blue.")
    return folder


# P5: the same template, decoding and bounds for all arms that run here


def test_arms_differ_in_what_they_are_and_in_nothing_else(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str | None, GenerationSettings]] = []
    generate = ModelSession.generate

    def noted(
        self: ModelSession,
        prompts: Sequence[Sequence[int]],
        settings: GenerationSettings,
        *,
        adapter: str | None,
        draws: Sequence[int] | None = None,
    ) -> Iterator[Generation]:
        asked.append((adapter, settings))
        return generate(self, prompts, settings, adapter=adapter, draws=draws)

    monkeypatch.setattr(ModelSession, "generate", noted)
    done = harness("run", suite, "--set", "decoding.stop=['.']", "--json")
    assert done.exit_code in {0, 3, 4}, done.output
    assert [adapter for adapter, _ in asked] == ["candidate", None, None, None, None, None, "other"]
    settings = [settings for _, settings in asked]
    assert len({(one.max_new_tokens, one.batch_size, one.stop, one.sampling) for one in settings}) == 1
    assert [one.grammar is not None for one in settings] == [False] * 5 + [True, False], "which is what `bound` is"
    run = Path(json.loads(done.stdout.splitlines()[-1])["run"])
    arms = [one["signature"].split("|") for one in json.loads((run / "manifest.json").read_text())["systems"]]
    own = ("adapter:", "prompt:", "grammar:")
    assert len({tuple(part for part in parts if not part.startswith(own)) for parts in arms}) == 1
    rows = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    examples = [
        tuple(row["example_id"] for row in rows if row["system"] == name) for name in {r["system"] for r in rows}
    ]
    assert len(examples) == 7 and len(set(examples)) == 1


# P17, P19: a base model is read within limits, and none of its code is run


@pytest.mark.parametrize("known", [True, False])
def test_no_code_of_a_base_model_is_run(known: bool, suite: Path, tmp_path: Path) -> None:
    model = suite / "model"
    (model / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Own: pass\n")
    for name, loaders in (
        ("config.json", ("AutoConfig", "AutoModelForCausalLM")),
        ("tokenizer_config.json", ("AutoTokenizer",)),
    ):
        whole = json.loads((model / name).read_text())
        whole["auto_map"] = {loader: ["own.Own", "own.Own"] if "Token" in loader else "own.Own" for loader in loaders}
        if not known and name == "config.json":
            whole["model_type"] = "own"
        (model / name).write_text(json.dumps(whole))
    done = harness("run", suite)
    assert done.exit_code in ({0, 3, 4} if known else {2}), done.output
    assert ("no code of a model is run" in " ".join(done.output.split())) is not known
    assert not (tmp_path / "ran").exists()


def test_a_file_of_a_base_model_over_its_limit_is_refused(suite: Path) -> None:
    config = suite / "model" / "generation_config.json"
    config.write_text("{}" + " " * MODEL_JSON_BYTES)
    done = harness("run", suite)
    said = " ".join(done.output.split())
    assert (done.exit_code, f"such a file may have {MODEL_JSON_BYTES:,}" in said) == (2, True), done.output


# P20, P21: nothing is asked for, written or told that was not declared


def test_no_command_with_a_model_asks_writes_or_tells_what_was_not_declared(suite: Path, tmp_path: Path) -> None:
    project = suite.parents[1]
    for place in (tmp_path, project, suite):
        (place / ".env").write_text(f"HF_TOKEN={CANARY}\n")
    before = set(tmp_path.rglob("*"))
    printed, changed = watched(
        [
            ["plan", str(suite), "--probe"],
            ["train", str(suite), "--out", str(tmp_path / "adapter")],
            ["run", str(suite), "--adapter", str(tmp_path / "adapter")],
        ],
        tmp_path,
    )
    declared = (
        *(project / name for name in ("reports", "baselines")),
        *(tmp_path / name for name in ("adapter", "cache", "watch", "temporary")),
        Path("/dev"),
    )
    # Weights are written by a library that Python does not hear of, and so their folder is looked through too.
    changed |= set(tmp_path.rglob("*")) - before
    assert {tmp_path / "adapter" / "adapter_model.safetensors"} <= changed
    assert any(path.name == "verdict.json" for path in changed), printed
    assert {path for path in changed if not any(path.is_relative_to(place) for place in declared)} == set()
    assert CANARY not in printed
    texts = {path: path.read_bytes() for path in project.rglob("*") if path.is_file() and path.name != ".env"}
    assert [path for path, content in texts.items() if CANARY.encode() in content] == []


def test_what_is_asked_of_the_network_is_noticed(tmp_path: Path) -> None:
    code = "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError: pass"
    _, changed = watched([], tmp_path, code=code)
    assert Path("/asked/socket.getaddrinfo") in changed
