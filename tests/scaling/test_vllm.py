"""Parity against vLLM with the demo's adapter loaded while it runs: opt-in, since vLLM is no dependency of ours.

HARNESS_VLLM names the Python of an environment with vLLM, whose dependencies are of other versions than ours. A build
for CPUs does; it needs torchvision, torchcodec and torchaudio out of its environment.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
from demo_run import MODEL_NAME, ROOT, harness, judge_demo_adapter

from harness.deploying import Server, place_adapter
from harness.engine.local_models import find_local
from harness.environment import cache_folder
from harness.trust.digests import digest_bytes
from harness.trust.verify import verify_adapter

PYTHON = os.environ.get("HARNESS_VLLM")
START_SECONDS = 600.0  # 40 to 70 on a quiet CPU
PATIENCE = 120.0  # of a first request, which compiles

pytestmark = pytest.mark.skipif(PYTHON is None, reason="HARNESS_VLLM names no Python of an environment with vLLM")


@contextmanager
def vllm(folder: Path, *options: str, **variables: str) -> Iterator[str]:
    """The base URL of a server of the demo model, which is killed at the end; `folder` is where it runs."""
    model = find_local(MODEL_NAME, suite_folder=ROOT, cache=cache_folder())
    assert model is not None
    # Called as the adapter calls its base model: the resolver takes no other.
    (folder / MODEL_NAME).symlink_to(model)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert PYTHON is not None
    command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", MODEL_NAME, "--enable-lora"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", "2048", "--enforce-eager"]
    command += ["--gpu-memory-utilization", "0.3", *options]  # of the CPU's memory, which a worker takes at its start
    environment = os.environ | {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "HF_HUB_OFFLINE": "1"} | variables
    log = folder / "vllm.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its workers too, which outlive it
        process.wait()


def _wait(root: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{root}/health", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(1)
    raise RuntimeError(f"vLLM did not start: {log.read_text(errors='replace')[-3000:]}")


def tell(url: str, what: str, content: dict[str, str]) -> None:
    request = urllib.request.Request(
        f"{url}/{what}", data=json.dumps(content).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.status == 200


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judge_demo_adapter(tmp_path_factory.mktemp("project"), rows=40)  # enough to ship


@pytest.fixture(scope="module")
def exact(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in float32."""
    with vllm(tmp_path_factory.mktemp("float32"), "--dtype", "float32") as url:
        yield url


@pytest.mark.parametrize("more", [(), ("--recompute",)])
def test_the_adapter_that_vllm_loads_is_served_as_judged(more: tuple[str, ...], run: Path, exact: str) -> None:
    code, report = harness("parity", run, "--endpoint", exact, "--model", "judged", "--served-adapter", *more)
    found = report["finding"]
    assert (code, found["equal"] + found["near_ties"], found["other_prompts"]) == (0, found["asked"], 0), found
    assert found["largest"] <= 1e-3


def test_the_base_model_is_named_when_no_adapter_is_asked_for(run: Path, exact: str) -> None:
    code, report = harness("parity", run, "--endpoint", exact, "--model", MODEL_NAME)
    assert (code, report["finding"]["difference"]) == (3, "base model")


def test_a_wrong_adapter_is_detected(run: Path, exact: str, tmp_path: Path) -> None:
    weights = load_file(run / "adapter" / "adapter_model.safetensors")
    draws = np.random.default_rng(3)
    wrong = {name: draws.permuted(tensor.ravel()).reshape(tensor.shape) for name, tensor in weights.items()}
    (tmp_path / "adapter_config.json").write_bytes((run / "adapter" / "adapter_config.json").read_bytes())
    save_file(wrong, tmp_path / "adapter_model.safetensors")
    tell(exact, "load_lora_adapter", {"lora_name": "wrong", "lora_path": str(tmp_path)})
    try:
        code, report = harness("parity", run, "--endpoint", exact, "--model", "wrong")
    finally:
        tell(exact, "unload_lora_adapter", {"lora_name": "wrong"})
    assert code == 3 and report["finding"]["difference"] in {"other weights", "base model"}


def test_a_bfloat16_server_is_detected(run: Path, tmp_path: Path) -> None:
    with vllm(tmp_path, "--dtype", "bfloat16") as url:
        code, report = harness("parity", run, "--endpoint", url, "--model", "judged", "--served-adapter")
    assert (code, report["finding"]["difference"]) == (3, "other precision")


def test_a_wrong_template_is_detected(run: Path, tmp_path: Path) -> None:
    template = tmp_path / "other.jinja"
    template.write_text("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: ")
    with vllm(tmp_path, "--dtype", "float32", "--chat-template", str(template)) as url:
        code, report = harness("parity", run, "--endpoint", url, "--model", "judged", "--served-adapter")
    assert (code, report["finding"]["difference"]) == (3, "other prompt")


def test_what_the_guard_places_is_served_by_name(run: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    place_adapter(
        run / "adapter",
        served,
        "triage",
        verdict=run / "verdict.json",
        verify=lambda adapter, verdict: verify_adapter(
            adapter, verdict, now=datetime.now(UTC), suite_digest=digest_bytes((run / "suite.yaml").read_bytes())
        ),
        server=Server(max_lora_rank=16, base_model=MODEL_NAME),
        clock=lambda: datetime.now(UTC),
    )
    resolver = {"VLLM_PLUGINS": "lora_filesystem_resolver", "VLLM_LORA_RESOLVER_CACHE_DIR": str(served)}
    with vllm(tmp_path, "--dtype", "float32", **resolver) as url:
        code, report = harness("parity", run, "--endpoint", url, "--model", "triage")
    assert code == 0, report["finding"]
