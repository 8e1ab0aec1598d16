"""What must hold for every server that a suite names: one plain address, no key in sight, adapters it can serve."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harness.suite.checks import ServedAsJudged
from harness.suite.schema import Suite
from harness.suite.source import Path
from harness.suite.systems import Connection, EndpointSystem, LoadedCandidate
from harness.suite.training import Train

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?:/[A-Za-z0-9._~/-]*)?"
)
_ON_THIS_MACHINE = {"localhost", "127.0.0.1", "[::1]"}
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
SERVED_METHODS = ("lora", "rslora")  # of `train.method`; nothing else is switched on and off by a server


def connection_faults(spec: Connection) -> Iterator[tuple[str, str]]:
    """What is wrong with one connection, after its key; no message repeats a value, which may be a key by mistake."""
    if spec.key_env is not None and not _VARIABLE.fullmatch(spec.key_env):
        yield "key_env", "must be the name of an environment variable, in capitals, and not the key itself"
    url = _URL.fullmatch(spec.base_url)
    if url is None or not 0 < int(url["port"] or 1) <= 65535:
        message = "must be an address such as https://host/v1, without user name, password, query or fragment"
        yield "base_url", message
    elif spec.key_env is not None and url["scheme"] == "http" and url["host"] not in _ON_THIS_MACHINE:
        yield "base_url", "must be https, since the key would travel readable for all; or take out key_env"


def connection_problems(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Whether each endpoint is one address whose prices are in a currency."""
    places: list[tuple[Path, Any]] = [(("systems", name), spec) for name, spec in suite.systems.items()]
    places += [(("judges", name), judge) for name, judge in suite.judges.items()]
    places += [(("checks", index, "endpoint"), check.endpoint) for index, check in _served(suite)]
    for here, spec in places:
        if not isinstance(spec, Connection):
            continue
        for key, message in connection_faults(spec):
            yield (*here, key), message
        if (spec.price_input is None) != (spec.price_output is None):
            yield here, "a cost needs both prices, `price_input` and `price_output`"
        elif spec.price_input is not None and suite.prices is None:
            message = "is in no currency; add `prices`, with a `currency` and what a `machine_hour` costs, to the suite"
            yield (*here, "price_input"), message


def served_problems(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Whether what a server is to load can be served, and what it answers compared."""
    for name, spec in suite.systems.items():
        if isinstance(spec, EndpointSystem) and spec.served_adapter is not None:
            yield from _names_the_model(("systems", name), spec, spec.served_adapter)
    checks = list(_served(suite))
    candidate = next((name for name, spec in suite.systems.items() if spec.role == "candidate"), "")
    train = suite.trainings.get(candidate)
    for index, check in checks:
        here: Path = ("checks", index)
        if sum(other.name == check.name for _, other in checks) > 1 and check.name is None:
            yield here, "several `served_as_judged` are told apart by their `name`; give each one"
        if suite.decoding.temperature > 0:
            yield here, "greedy answers are compared, and the suite's are drawn at a temperature"
        if train is not None and train.objective == "classification":
            yield here, "a classifier's answers are labels of its own head, which no chat server has"
        if check.served_adapter is not None:
            yield from _names_the_model((*here, "endpoint"), check.endpoint, check.served_adapter)
            if train is not None and (reason := _unservable(train, check.served_adapter.max_lora_rank)):
                yield (*here, "served_adapter"), f"{reason}; change `train`, or take this out"


def unshareable_arm(suite: Suite) -> str:
    """Why the servers of a suite cannot be asked by several shards at once; "" when they can."""
    for name, spec in suite.systems.items():
        if isinstance(spec, EndpointSystem) and spec.served_adapter is not None:
            return (
                f"systems.{name}.served_adapter: a server loads an adapter under its name once, so the shards would "
                "shut each other out; run the suite whole, or start the server with the adapter and take this out"
            )
    return ""


def _served(suite: Suite) -> Iterator[tuple[int, ServedAsJudged]]:
    return ((index, check) for index, check in enumerate(suite.checks) if isinstance(check, ServedAsJudged))


def _names_the_model(here: Path, spec: Connection, loaded: LoadedCandidate) -> Iterator[tuple[Path, str]]:
    if loaded.name == spec.model:
        yield (*here, "model"), "is the base model's name on the server, so the adapter needs another one"


def _unservable(train: Train, max_lora_rank: int) -> str:
    """Why a server could not load what this training makes; "" when it can."""
    if train.method not in SERVED_METHODS:
        return f"`method: {train.method}` makes nothing that a server loads as a LoRA adapter"
    if train.rank > max_lora_rank:
        return f"`rank: {train.rank}` is more than the server's `max_lora_rank` of {max_lora_rank}"
    return ""
