"""`harness parity` on a judged run of a tiny model: what is served in its place is found out and named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from model_server import ModelServer
from safetensors.numpy import load_file, save_file
from tiny_model import TEMPLATE, write_tiny_suite

from harness.cli.main import main

SYSTEMS = (
    "systems:\n"
    "  candidate: {kind: adapter, role: candidate, system: plain.txt}\n"
    "  bare: {kind: prompt, role: baseline, system: plain.txt}\n"
    "  rival: {kind: adapter, role: baseline, system: plain.txt, train: {learning_rate: 2e-2, rank: 2}}"
)
TRAIN = "train: {learning_rate: 1e-2, epochs: 3, rank: 4, alpha: 8}"
DECODING = "decoding: {max_new_tokens: 6}"


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def harness(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("project")
    (project / "baselines").mkdir()
    return write_tiny_suite(project / "suites" / "tiny", test_rows=24, systems=SYSTEMS, train=TRAIN, decoding=DECODING)


@pytest.fixture(scope="module")
def run(suite: Path) -> Path:
    """A judged run with another adapter among its arms."""
    result = harness("run", suite, "--json")
    assert result.exit_code in {0, 3, 4}, result.output
    return Path(json.loads(result.stdout.splitlines()[-1])["run"])


@pytest.fixture(scope="module")
def everything(suite: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """A server of the candidate, the base model, the run's other adapter, and one that nobody knows."""
    unknown = tmp_path_factory.mktemp("unknown")
    (unknown / "adapter_config.json").write_bytes((run / "adapter" / "adapter_config.json").read_bytes())
    weights = load_file(run / "adapter" / "adapter_model.safetensors")
    draws = np.random.default_rng(5)
    noise = {name: draws.normal(0, 0.2, tensor.shape).astype(np.float32) for name, tensor in weights.items()}
    save_file(noise, unknown / "adapter_model.safetensors")
    served = {"candidate": run / "adapter", "base": None, "rival": run / "trained" / "rival", "unknown": unknown}
    with ModelServer(suite / "model", served).running() as server:
        yield server


@pytest.fixture
def server(everything: ModelServer) -> Iterator[ModelServer]:
    """The server as it was before a test changed it."""
    before = (everything.dtype, everything.template, everything.tells, everything.loads_adapters, everything.broken)
    everything.calls.clear()
    yield everything
    (everything.dtype, everything.template, everything.tells, everything.loads_adapters, everything.broken) = before


def parity(run: Path, server: ModelServer, model: str, *more: object) -> tuple[int, dict[str, Any]]:
    """The exit code, and what was found."""
    result = harness("parity", run, "--endpoint", server.url, "--model", model, "--prompts", 16, "--json", *more)
    assert result.exit_code in {0, 1, 3, 4}, result.output + repr(result.exception)
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["exit_code"] == result.exit_code
    return result.exit_code, found["finding"]


def test_the_candidate_is_found_to_be_served_as_judged(run: Path, server: ModelServer) -> None:
    code, found = parity(run, server, "candidate")
    assert (code, found["status"], found["equal"] + found["near_ties"]) == (0, "pass", 16)
    assert found["compared"] >= 12 and found["largest"] < 1e-4 and not found["per_token"]
    report = json.loads((run.parent / f"{run.name}.parity.json").read_text())
    assert report["finding"]["status"] == "pass" and len(report["answers"]) == 16
    assert harness("gate", run).exit_code in {0, 3, 4}, "a report beside the run is no foreign evidence"


def test_every_token_agrees_when_the_model_is_loaded_again(run: Path, server: ModelServer) -> None:
    code, found = parity(run, server, "candidate", "--recompute")
    assert (code, found["per_token"]) == (0, True)
    assert found["largest"] < 1e-4


def test_the_base_model_is_named_when_the_adapter_is_not_applied(run: Path, server: ModelServer) -> None:
    code, found = parity(run, server, "base")
    assert (code, found["difference"]) == (3, "base model") and "bare" in found["reason"]


def test_another_adapter_is_named_when_it_is_an_arm_of_the_run(run: Path, server: ModelServer) -> None:
    code, found = parity(run, server, "rival")
    assert (code, found["difference"]) == (3, "other adapter") and "rival" in found["reason"]


@pytest.mark.parametrize("more", [(), ("--recompute",)])
def test_other_weights_are_named_when_an_unknown_adapter_is_served(
    more: tuple[str, ...], run: Path, server: ModelServer
) -> None:
    code, found = parity(run, server, "unknown", *more)
    assert (code, found["difference"]) == (3, "other weights")


@pytest.mark.parametrize("more", [(), ("--recompute",)])
def test_other_precision_is_named_when_the_server_computes_in_bfloat16(
    more: tuple[str, ...], run: Path, server: ModelServer
) -> None:
    server.dtype = torch.bfloat16
    code, found = parity(run, server, "candidate", *more)
    assert (code, found["difference"]) == (3, "other precision")
    assert found["largest"] > 1e-3


def test_a_bfloat16_server_passes_when_the_tolerance_is_stated_for_it(run: Path, server: ModelServer) -> None:
    server.dtype = torch.bfloat16
    _, strict = parity(run, server, "candidate", "--recompute")
    assert strict["differing"] > 0
    for more in ((), ("--recompute",)):
        code, found = parity(run, server, "candidate", "--tolerance", 1.5 * strict["largest"], *more)
        assert (code, found["near_ties"], found["equal"]) == (0, strict["differing"], strict["equal"])


LONGER = TEMPLATE.replace("<|im_start|>assistant", "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>assistant")
SAME_LENGTH = TEMPLATE.replace("assistant\n{% endif", "Assistant\n{% endif")


@pytest.mark.parametrize("tells", ["logprobs usage", "logprobs usage apply-template", "logprobs tokenize"])
def test_another_prompt_is_named_when_the_server_has_another_template(
    tells: str, run: Path, server: ModelServer
) -> None:
    server.template, server.tells = LONGER, frozenset(tells.split())
    code, found = parity(run, server, "candidate")
    assert (code, found["difference"], found["other_prompts"]) == (3, "other prompt", 16)


@pytest.mark.parametrize("tells", ["logprobs usage apply-template", "logprobs usage tokenize"])
def test_a_template_of_the_same_length_is_seen_where_the_server_shows_its_prompts(
    tells: str, run: Path, server: ModelServer
) -> None:
    server.template, server.tells = SAME_LENGTH, frozenset(tells.split())
    code, found = parity(run, server, "candidate")
    assert (code, found["difference"]) == (3, "other prompt")


def test_a_template_of_the_same_length_is_no_pass_where_the_server_hides_its_prompts(
    run: Path, server: ModelServer
) -> None:
    server.template, server.tells = SAME_LENGTH, frozenset({"logprobs", "usage"})
    code, found = parity(run, server, "candidate")
    assert code == 3 and found["difference"] in {"other precision", "other weights"}


def test_it_is_undecided_when_the_server_gives_no_log_probabilities(run: Path, server: ModelServer) -> None:
    server.tells -= {"logprobs"}
    code, found = parity(run, server, "candidate")
    assert (code, found["compared"]) == (4, 0) and "no log-probabilities" in found["reason"]


def test_nothing_is_said_when_the_server_fails(run: Path, server: ModelServer) -> None:
    server.broken = True
    code, found = parity(run, server, "candidate")
    assert (code, found["errors"], found["status"]) == (1, 16, "undecided")


def test_an_earlier_report_is_gone_when_the_server_could_not_be_asked(
    run: Path, server: ModelServer, tmp_path: Path
) -> None:
    for more in ((), ("--output", tmp_path / "report.json")):
        assert parity(run, server, "candidate", *more)[0] == 0
        report = more[1] if more else run.parent / f"{run.name}.parity.json"
        assert json.loads(Path(report).read_text())["finding"]["status"] == "pass"
        broken = harness("parity", run, "--endpoint", "http://127.0.0.1:9/v1", *more)
        assert broken.exit_code == 1 and not Path(report).exists(), broken.output


def test_the_adapter_is_loaded_before_and_unloaded_after(run: Path, server: ModelServer) -> None:
    server.loads_adapters = True
    code, found = parity(run, server, "fresh", "--served-adapter")
    assert (code, found["status"]) == (0, "pass")
    assert server.calls[1] == "/v1/load_lora_adapter" and server.calls[-1] == "/v1/unload_lora_adapter"
    assert "fresh" not in server.served


def test_the_adapter_is_unloaded_when_no_answer_came(run: Path, server: ModelServer) -> None:
    server.loads_adapters = server.broken = True
    code, _ = parity(run, server, "fresh", "--served-adapter")
    assert code == 1 and server.calls[-1] == "/v1/unload_lora_adapter" and "fresh" not in server.served


def test_a_name_that_the_server_has_already_is_not_taken_for_the_candidate(run: Path, server: ModelServer) -> None:
    server.loads_adapters = True
    code, found = parity(run, server, "rival", "--served-adapter")
    assert code == 1 and "has a model 'rival' already" in found["reason"]
    assert "/v1/load_lora_adapter" not in server.calls and "rival" in server.served


def test_a_server_that_loads_nothing_is_said_to_need_it(run: Path, server: ModelServer) -> None:
    code, found = parity(run, server, "fresh", "--served-adapter")
    assert code == 1 and "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in found["reason"]


def test_the_rank_is_refused_before_anything_is_sent(run: Path, server: ModelServer) -> None:
    result = harness("parity", run, "--endpoint", server.url, "--served-adapter", "--max-lora-rank", 3)
    assert result.exit_code == 2 and "`r` is 4" in result.output and server.calls == []


def test_a_model_must_be_chosen_when_the_server_has_several(run: Path, server: ModelServer) -> None:
    result = harness("parity", run, "--endpoint", server.url)
    assert result.exit_code == 2 and "candidate, base, rival, unknown" in result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--endpoint", "ftp://a"], "--endpoint: must be an address"),
        (["--endpoint", "http://a.example/v1", "--key-env", "KEY"], "--endpoint: must be https"),
        (
            ["--endpoint", "http://127.0.0.1:9/v1", "--key-env", "NO_SUCH_KEY", "--model", "m"],
            "--key-env: the environment variable NO_SUCH_KEY is not set",
        ),
        (["--endpoint", "http://127.0.0.1:9/v1", "--key-env", "NO_SUCH_KEY"], "--key-env: the environment variable"),
        (["--endpoint", "http://127.0.0.1:9/v1", "--max-lora-rank", "16"], "--max-lora-rank: only with --served-"),
        (["--endpoint", "http://127.0.0.1:9/v1", "--model", "a b"], "--model"),
        (["--endpoint", "http://127.0.0.1:9/v1", "--model", "m", "--tolerance", "nan"], "--tolerance"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(options: list[str], said: str, run: Path) -> None:
    result = harness("parity", run, *options)
    assert result.exit_code == 2 and said in result.output, result.output


@pytest.mark.parametrize("name", ["manifest.json", "parity.json", "adapter/../parity.json"])
def test_a_report_is_not_written_into_the_run_folder(name: str, run: Path, server: ModelServer) -> None:
    """It would be foreign evidence there, or take the place of evidence."""
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = harness("parity", run, "--endpoint", server.url, "--model", "candidate", "--output", run / name)
    assert result.exit_code == 2 and "--output" in result.output and server.calls == [], result.output
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_server_that_is_not_there_breaks_and_says_nothing_of_the_model(run: Path) -> None:
    result = harness("parity", run, "--endpoint", "http://127.0.0.1:9/v1")
    assert result.exit_code == 1 and "--model" in result.output


def test_the_model_is_loaded_only_when_it_is_asked_for(run: Path, server: ModelServer) -> None:
    program = (
        "import sys\nfrom harness.cli.main import main\n"
        "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    command = [sys.executable, "-c", program, "parity", str(run), "--endpoint", server.url, "--model", "candidate"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "served as judged" in done.stdout


# --- in a suite ------------------------------------------------------------------------------------------------------

CHECKS = (
    "checks:\n  - {{kind: better_than}}\n"
    "  - kind: served_as_judged\n"
    "    endpoint: {{base_url: '{url}', model: tiny}}\n"
    "    served_adapter: {{name: {name}}}\n"
    "    examples: 16"
)


def suite_with(folder: Path, server: ModelServer) -> Path:
    """A suite whose check lets the server load its candidate."""
    (folder / "baselines").mkdir(parents=True)
    return write_tiny_suite(
        folder / "suites" / "tiny",
        test_rows=24,
        systems=SYSTEMS.rsplit("\n", 1)[0],
        train=TRAIN,
        decoding=DECODING,
        checks=CHECKS.format(url=server.url, name="fresh"),
    )


def served_check(result: Result) -> dict[str, Any]:
    """What a command that decides says of the check."""
    assert result.exit_code in {0, 3, 4}, result.output + repr(result.exception)
    found = json.loads(result.stdout.splitlines()[-1])
    (check,) = [check for check in found["checks"] if check["name"] == "served_as_judged"]
    return {**check, "run": Path(found["run"])}


def test_a_suite_asks_the_server_for_its_candidate(server: ModelServer, tmp_path: Path) -> None:
    server.loads_adapters = True
    check = served_check(harness("run", suite_with(tmp_path, server), "--json"))
    assert check["status"] == "pass", check
    run = check["run"]
    rows = [json.loads(line) for line in (run / "served.jsonl").read_text().splitlines()]
    assert len(rows) == 16 and all(row["prompt_as_judged"] is True for row in rows)
    assert "served.jsonl" in json.loads((run / "manifest.json").read_text())["evidence"]
    assert "fresh" not in server.served
    assert served_check(harness("gate", run, "--json"))["status"] == "pass"
    explained = harness("explain", run, "served_as_judged")
    assert explained.exit_code == 0 and "server must answer as the candidate did" in explained.output


def test_a_suite_holds_when_its_server_computes_otherwise(server: ModelServer, tmp_path: Path) -> None:
    server.loads_adapters, server.dtype = True, torch.bfloat16
    result = harness("run", suite_with(tmp_path, server), "--json")
    check = served_check(result)
    assert (result.exit_code, check["status"]) == (3, "fail") and "other precision" in check["reason"]


def test_a_suite_is_undecided_on_it_when_its_server_loads_nothing(server: ModelServer, tmp_path: Path) -> None:
    check = served_check(harness("run", suite_with(tmp_path, server), "--json"))
    assert check["status"] == "undecided" and "16 of 16 questions got no answer" in check["reason"]


class Swapping(ModelServer):
    """A server in whose sight the folder of an adapter changes once it is loaded."""

    def _respond(self, path: str, body: dict[str, Any]) -> bytes:
        answer = super()._respond(path, body)
        if path == "/v1/load_lora_adapter":
            (Path(body["lora_path"]) / "README.md").write_text("other")
        return answer


def test_a_run_breaks_when_the_adapter_that_a_server_loads_changed_since_it_was_read(run: Path, tmp_path: Path) -> None:
    (tmp_path / "baselines").mkdir()
    folder = tmp_path / "suites" / "tiny"
    with Swapping(
        run.parents[2] / "suites" / "tiny" / "model", {"base": None}, loads_adapters=True
    ).running() as server:
        hosted = (
            f"  hosted: {{kind: endpoint, base_url: '{server.url}', model: base, system: plain.txt, "
            "served_adapter: {name: mine, path: mine}}"
        )
        systems = f"{SYSTEMS.rsplit(chr(10), 1)[0]}\n{hosted}"
        suite = write_tiny_suite(folder, test_rows=12, systems=systems, train=TRAIN, decoding=DECODING)
        shutil.copytree(run / "adapter", suite / "mine")
        result = harness("run", suite)
    assert result.exit_code == 1 and "mine: changed while it was judged" in result.output, result.output
    assert "/v1/chat/completions" in server.calls


def test_the_server_is_asked_once_when_the_shards_of_a_run_are_merged(server: ModelServer, tmp_path: Path) -> None:
    server.loads_adapters = True
    suite = suite_with(tmp_path, server)
    for index in range(2):
        assert harness("run", suite, "--shard", f"{index}/2").exit_code == 0
    assert server.calls == []
    result = harness("merge", suite, tmp_path / "reports" / "tiny" / "shards", "--json")
    check = served_check(result)
    assert check["status"] == "pass", check
    assert server.calls.count("/v1/chat/completions") == 16 and "fresh" not in server.served
