"""From what the suite declares to a system that answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from harness.engine.session import ModelSession
from harness.errors import InvalidInputError
from harness.records import Example
from harness.suite.schema import AdapterSystem, Decoding, EndpointSystem, FewShotSystem, PromptSystem, SystemSpec
from harness.systems.endpoint import remote_system
from harness.systems.few_shot import few_shot_builder
from harness.systems.interface import System
from harness.systems.local_model import LocalSystem
from harness.systems.prompt_only import prompt_builder


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredients:
    """What the systems of one run share."""

    session: ModelSession
    decoding: Decoding
    train: Sequence[Example]
    seed: int
    base_digest: str


def build_system(
    name: str,
    spec: SystemSpec,
    *,
    system: str | None,
    adapter_digest: str | None,
    shared: Ingredients,
    role: str | None = None,
) -> System:
    """One system; an adapter must be attached to the session under `name` before it answers.

    `system` is the text of its system message, `adapter_digest` that of its adapter's files, `role` its role where
    it is not the declared one.

    Raises:
        InvalidInputError: a declaration that this data or this environment cannot serve.
    """
    adapter = None
    match spec:
        case PromptSystem():
            build, digest = prompt_builder(system)
        case FewShotSystem():
            try:
                build, digest = few_shot_builder(system, shared.train, shots=spec.shots, seed=shared.seed)
            except ValueError as error:
                raise InvalidInputError(f"systems.{name}: {error}") from None
        case AdapterSystem():
            build, digest = prompt_builder(system)
            adapter = name
        case EndpointSystem():
            build, digest = prompt_builder(system)
            return remote_system(
                name, spec, decoding=shared.decoding, build_prompt=build, prompt_digest=digest, seed=shared.seed
            )
        case _:
            assert_never(spec)
    return LocalSystem(
        name=name,
        kind=spec.kind,
        role=role or spec.role,
        session=shared.session,
        decoding=shared.decoding,
        build_prompt=build,
        prompt_digest=digest,
        base_digest=shared.base_digest,
        seed=shared.seed,
        adapter=adapter,
        adapter_digest=adapter_digest,
    )
