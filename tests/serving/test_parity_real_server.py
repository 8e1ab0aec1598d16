"""Parity against a server that is none of ours: llama.cpp with the demo model in 4 bits and the demo's adapter.

The judged stack computes in float32 on the very weights that the GGUF holds in 4 bits (Q4_1), while llama.cpp rounds
activations to 8 bits as it goes: as different as a quantised copy is from what was judged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_run import MODEL_NAME, ROOT, harness, judge_demo_adapter
from gguf_adapter import write_gguf_adapter

sys.path.insert(0, str(Path(__file__).parents[1] / "systems"))
from real_server import needs_real_server, real_server

from harness.engine.local_models import find_local
from harness.environment import cache_folder

pytestmark = needs_real_server
ASKED = 8
# Nats per token. On 32 rows: 0.010 on average and 0.22 at most, and 4 answers left at gaps of less than twice this.
QUANTISED = 0.5


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judge_demo_adapter(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def adapted(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the judged adapter."""
    model = find_local(MODEL_NAME, suite_folder=ROOT, cache=cache_folder())
    assert model is not None, "the run has fetched it"
    target = tmp_path_factory.mktemp("gguf") / "adapter.gguf"
    with real_server(write_gguf_adapter(run / "adapter", model, target)) as url:
        yield url


def test_a_quantised_server_with_the_adapter_passes_within_its_tolerance(run: Path, adapted: str) -> None:
    code, report = harness("parity", run, "--endpoint", adapted, "--tolerance", QUANTISED, "--prompts", ASKED)
    found = report["finding"]
    assert (code, found["status"], found["other_prompts"]) == (0, "pass", 0), found
    assert found["equal"] >= ASKED / 2 and found["mean"] < 0.05
    assert report["model"].endswith(".gguf"), "the server's only model is taken without being named"


def test_it_is_named_as_other_precision_when_float32_is_asked_for(run: Path, adapted: str) -> None:
    code, report = harness("parity", run, "--endpoint", adapted, "--prompts", ASKED)
    assert (code, report["finding"]["difference"]) == (3, "other precision")


def test_the_base_model_is_named_when_the_server_has_no_adapter(run: Path) -> None:
    with real_server() as url:
        code, report = harness("parity", run, "--endpoint", url, "--tolerance", QUANTISED, "--prompts", 4)
    assert (code, report["finding"]["difference"]) == (3, "base model"), report["finding"]
