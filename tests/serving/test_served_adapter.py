"""An endpoint arm whose server loads an adapter for its answers: before the first, and not after the last."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from plain_suite import SUITE, write_plain_suite

sys.path.insert(0, str(Path(__file__).parents[1] / "systems"))
from faulty_server import Behaviour, FaultyServer, Request, answers, closes, hangs, response

from harness.errors import InvalidInputError
from harness.prepare import read_inputs
from harness.records import Example, Message, Prediction
from harness.suite.load import load_suite, parse_suite
from harness.suite.schema import Decoding
from harness.suite.systems import EndpointSystem
from harness.systems.endpoint import AdapterToLoad, RemoteSystem, remote_system
from harness.systems.http_chat import ChatFault, ChatServer
from harness.systems.prompt_only import prompt_builder
from harness.systems.server import loaded_adapter

EXAMPLES = tuple(Example(id=f"e{i}", messages=(Message(role="user", content=f"question {i}"),)) for i in range(5))
PROMOTED = Path(__file__).parents[2] / "baselines" / "ticket-triage" / "brief" / "adapter"
LORA = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}


def vllm(*refused: str, held: tuple[str, ...] = ("base",)) -> FaultyServer:
    """A server like vLLM's that refuses what is asked at some of its addresses, and runs these models."""

    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        path = request.line.split(" ")[1].removeprefix("/v1/")
        if path in refused:
            connection.sendall(response('{"error": {}}', "400 Bad Request"))
        elif path == "models":
            connection.sendall(response(json.dumps({"data": [{"id": name} for name in held]})))
        elif path == "chat/completions":
            answers(connection, request, server)
        else:
            connection.sendall(response("Success: LoRA adapter", kind="text/plain"))

    return FaultyServer(behave)


def remote(server: FaultyServer, folder: Path) -> RemoteSystem:
    spec = EndpointSystem.model_validate(
        {
            "kind": "endpoint",
            "base_url": server.base_url,
            "model": "base",
            "retries": 0,
            "served_adapter": {"name": "mine", "path": "adapter"},
        }
    )
    build, digest = prompt_builder(None)
    return remote_system(
        "hosted",
        spec,
        decoding=Decoding(),
        build_prompt=build,
        prompt_digest=digest,
        seed=1,
        adapter=AdapterToLoad(folder=folder, digest="d" * 64),
    )


def paths(server: FaultyServer) -> list[str]:
    return [request.line.split(" ")[1].removeprefix("/v1/") for request in server.requests]


def answered(server: FaultyServer, folder: Path) -> tuple[list[Prediction], RemoteSystem]:
    with server:
        system = remote(server, folder)
        return list(system.answer(EXAMPLES, "test")), system


def test_the_adapter_is_loaded_asked_for_and_unloaded(tmp_path: Path) -> None:
    server = vllm()
    found, system = answered(server, tmp_path)
    assert [row.error for row in found] == [None] * 5
    assert paths(server) == ["models", "load_lora_adapter", *["chat/completions"] * 5, "unload_lora_adapter"]
    assert server.requests[1].body == {"lora_name": "mine", "lora_path": str(tmp_path.resolve())}
    assert {request.body["model"] for request in server.requests[2:7]} == {"mine"}
    assert server.requests[7].body == {"lora_name": "mine"}
    assert "|model:mine|adapter:dddddddddddd|" in system.signature() and system.note() == ""


def test_the_adapter_is_unloaded_when_every_answer_fails(tmp_path: Path) -> None:
    server = vllm("chat/completions")
    found, _ = answered(server, tmp_path)
    assert all("HTTP 400" in str(row.error) for row in found)
    assert paths(server)[-1] == "unload_lora_adapter"


def test_the_adapter_is_unloaded_when_no_more_answers_are_wanted(tmp_path: Path) -> None:
    with vllm() as server:
        asked = remote(server, tmp_path).answer(EXAMPLES, "test")
        next(asked)
        asked.close()  # type: ignore[attr-defined]
    assert paths(server)[-1] == "unload_lora_adapter"


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (lambda: vllm("load_lora_adapter"), "the adapter was not loaded: HTTP 400"),
        (lambda: vllm("models"), "HTTP 400"),
        (lambda: vllm(held=("base", "mine")), "has a model 'mine' already"),
    ],
)
def test_every_answer_is_missing_when_the_adapter_is_not_loaded(
    server: Callable[[], FaultyServer], said: str, tmp_path: Path
) -> None:
    """Never an answer of whatever else the server would give under that name."""
    made = server()
    found, _ = answered(made, tmp_path)
    assert [row.example_id for row in found] == [example.id for example in EXAMPLES]
    assert all(said in str(row.error) and row.text == "" for row in found)
    assert "chat/completions" not in paths(made) and "unload_lora_adapter" not in paths(made)


def test_what_could_not_be_unloaded_is_said_and_the_answers_stand(tmp_path: Path) -> None:
    found, system = answered(vllm("unload_lora_adapter"), tmp_path)
    assert [row.error for row in found] == [None] * 5
    assert "the adapter 'mine' was not unloaded: HTTP 400" in system.note()


def unsure(loading: Behaviour, *, unloads: bool) -> FaultyServer:
    """A server that does not say whether it loaded the adapter."""

    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        if "unload_lora_adapter" in request.line:
            connection.sendall(response("", "200 OK" if unloads else "400 Bad Request"))
        elif "load_lora_adapter" in request.line:
            loading(connection, request, server)
        else:
            connection.sendall(response('{"data": []}'))

    return FaultyServer(behave)


def load(server: FaultyServer, folder: Path, remark: Callable[[str], None]) -> None:
    with loaded_adapter(ChatServer(base_url=server.base_url, timeout_seconds=5), "mine", folder, remark):
        raise AssertionError("never loaded")


def test_an_adapter_is_said_to_be_perhaps_loaded_when_it_could_be_neither_loaded_nor_unloaded(tmp_path: Path) -> None:
    said: list[str] = []
    with unsure(closes, unloads=True) as server, pytest.raises(ChatFault, match="the adapter was not loaded: the conn"):
        load(server, tmp_path, said.append)
    with unsure(closes, unloads=False) as server, pytest.raises(ChatFault) as caught:
        load(server, tmp_path, said.append)
    assert "the adapter 'mine' may still be loaded: HTTP 400" in str(caught.value)
    assert "was not loaded" not in str(caught.value) and "the connection was closed" in str(caught.value)


@pytest.mark.parametrize("unloads", [True, False])
def test_the_adapter_is_unloaded_when_its_loading_is_interrupted(unloads: bool, tmp_path: Path) -> None:
    def interrupts(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        hangs(connection, request, server)

    said: list[str] = []
    # A shell lets what it starts in the background ignore the signal, and these tests may be that.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with unsure(interrupts, unloads=unloads) as server, pytest.raises(KeyboardInterrupt):
            load(server, tmp_path, said.append)
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert paths(server) == ["models", "load_lora_adapter", "unload_lora_adapter"]
    assert [line.split(": ")[0] for line in said] == ([] if unloads else ["the adapter 'mine' may still be loaded"])


# --- declared in a suite ---------------------------------------------------------------------------------------------

HOSTED = (
    "  hosted: {kind: endpoint, base_url: 'http://127.0.0.1:9/v1', model: base, "
    "served_adapter: {name: mine, path: adapter}}\n"
)
WITH_ARM = SUITE.replace("checks:\n", f"{HOSTED}checks:\n")
CHECK = (
    "  - kind: served_as_judged\n    endpoint: {base_url: 'http://127.0.0.1:9/v1', model: base}\n"
    "    served_adapter: {name: mine}\n"
)


def write(project: Path, text: str, **config: object) -> Path:
    folder = write_plain_suite(project, text=text)
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps({**LORA, **config}))
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def refusal(project: Path, text: str, **config: object) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read_inputs(load_suite(write(project, text, **config)), registry=project / "baselines")
    return str(caught.value)


def test_an_arm_with_a_served_adapter_is_taken(tmp_path: Path) -> None:
    loaded = load_suite(write(tmp_path, WITH_ARM))
    inputs = read_inputs(loaded, registry=tmp_path / "baselines")
    assert inputs.served_adapters == {"hosted": loaded.folder / "adapter"}


@pytest.mark.parametrize(
    ("config", "named"),
    [({"use_dora": True}, "`use_dora`"), ({"r": 32}, "`max_lora_rank` 16"), ({"bias": "all"}, "`bias`")],
)
def test_an_arm_is_refused_before_anything_when_its_adapter_cannot_be_served(
    config: dict[str, object], named: str, tmp_path: Path
) -> None:
    assert named in refusal(tmp_path, WITH_ARM, **config)


def test_a_candidate_made_elsewhere_is_refused_when_the_check_would_let_a_server_load_it(tmp_path: Path) -> None:
    made_elsewhere = SUITE.replace("role: candidate, ", "role: candidate, from: adapter, ")
    text = made_elsewhere.replace("train: {learning_rate: 2e-4}\n", "") + CHECK
    folder = write_plain_suite(tmp_path, text=text.replace("name: mine", "name: mine, max_lora_rank: 3"))
    shutil.copytree(PROMOTED, folder / "adapter")
    with pytest.raises(InvalidInputError, match="`r` is 4, and the server's `max_lora_rank` 3"):
        read_inputs(load_suite(folder), registry=tmp_path / "baselines")


def test_the_folder_of_an_arm_must_be_there(tmp_path: Path) -> None:
    folder = write_plain_suite(tmp_path, text=WITH_ARM)
    with pytest.raises(InvalidInputError, match=r"systems\.hosted\.served_adapter\.path: no such folder"):
        load_suite(folder)


def problems(text: str) -> str:
    with pytest.raises(InvalidInputError) as caught:
        parse_suite(text, Path("suite.yaml"), {}, files=False)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (WITH_ARM.replace("name: mine", "name: base"), "systems.hosted.model: is the base model's name on the server"),
        ((SUITE + CHECK).replace("name: mine", "name: base"), "checks.2.endpoint.model: is the base model's name"),
        ((SUITE + CHECK).replace("http://127.0.0.1:9", "http://a b"), "checks.2.endpoint.base_url: must be an address"),
        ((SUITE + CHECK).replace("model: base", "model: base, key_env: secret"), "checks.2.endpoint.key_env: must be"),
        (
            (SUITE + CHECK).replace("2e-4", "2e-4, method: dora"),
            "checks.2.served_adapter: `method: dora` makes nothing",
        ),
        ((SUITE + CHECK).replace("2e-4", "2e-4, rank: 64"), "checks.2.served_adapter: `rank: 64` is more than"),
        (
            (SUITE + CHECK).replace("checks:\n", "decoding: {temperature: 0.5}\nchecks:\n"),
            "checks.2: greedy answers are compared",
        ),
        (SUITE + CHECK + CHECK, "checks.2: several `served_as_judged` are told apart by their `name`"),
        (
            (SUITE + CHECK).replace("2e-4", "2e-4, objective: classification"),
            "checks.2: a classifier's answers are labels",
        ),
        ((SUITE + CHECK).replace("mine}", "mine}\n    tolerance: 0"), "checks.2.tolerance"),
    ],
)
def test_a_suite_is_refused_when_its_server_could_not_do_what_it_says(text: str, named: str) -> None:
    assert "suite.yaml:" in problems(text) and named in problems(text)


def test_two_named_checks_may_ask_two_servers() -> None:
    named = [CHECK.replace("served_as_judged\n", f"served_as_judged\n    name: {name}\n") for name in ("one", "two")]
    text = SUITE + "".join(named)
    assert len(parse_suite(text, Path("suite.yaml"), {}, files=False).suite.checks) == 4
