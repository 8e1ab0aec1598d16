"""From what the suite declares to a system that answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from harness.engine.session import ModelSession
from harness.records import Example, Passage
from harness.suite.schema import Decoding
from harness.suite.systems import (
    AdapterSystem,
    ConstrainedSystem,
    EndpointSystem,
    FewShotSystem,
    PromptSystem,
    RetrievalSystem,
    SystemSpec,
)
from harness.systems.classifier import ClassifierSystem
from harness.systems.endpoint import AdapterToLoad, remote_system
from harness.systems.few_shot import few_shot_builder, nearest_shots_builder
from harness.systems.interface import System
from harness.systems.local_model import LocalSystem
from harness.systems.prompt_only import prompt_builder
from harness.systems.prompting import BuildPrompt
from harness.systems.retrieval import retrieval_builder, training_passages


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model in memory and the digest of its files."""

    session: ModelSession
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredients:
    """What the systems of one run are made of.

    Args:
        specs: the declarations, which a constrained arm refers to.
        prompts: system -> the text of its system message.
        base: the base model.
        own: prompt arm -> its own model, where it is not the base.
        passages: retrieval arm -> the passages of its documents, where it does not search the training rows.
        templates: retrieval arm -> the text of its template.
        grammars: constrained arm -> its grammar.
        adapters: adapter -> the digest of its files; it must be attached before it answers.
        served: endpoint arm -> the adapter that its server is to load.
    """

    specs: Mapping[str, SystemSpec]
    prompts: Mapping[str, str | None]
    base: LocalModel
    decoding: Decoding
    train: Sequence[Example]
    seed: int
    own: Mapping[str, LocalModel] = field(default_factory=dict)
    passages: Mapping[str, Sequence[Passage]] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)
    grammars: Mapping[str, str] = field(default_factory=dict)
    adapters: Mapping[str, str] = field(default_factory=dict)
    served: Mapping[str, AdapterToLoad] = field(default_factory=dict)


def build_system(name: str, made_of: Ingredients, *, replica_of: str | None = None) -> System:
    """One system, or a replica of one: the same declaration with the adapter that is attached under `name`.

    Raises:
        InvalidInputError: an endpoint whose key is not in the environment.
    """
    declared_as = replica_of or name
    spec = made_of.specs[declared_as]
    role = "replica" if replica_of else spec.role
    if isinstance(spec, ConstrainedSystem):
        over = _local_system(spec.over, spec.over, "baseline", made_of)
        return replace(over, name=name, kind=spec.kind, role=role, grammar=made_of.grammars[name])
    if isinstance(spec, EndpointSystem):
        build, digest = prompt_builder(made_of.prompts[declared_as])
        return remote_system(
            name,
            spec,
            decoding=made_of.decoding,
            build_prompt=build,
            prompt_digest=digest,
            seed=made_of.seed,
            adapter=made_of.served.get(name),
        )
    if made_of.base.session.labels(name):
        build, digest = prompt_builder(made_of.prompts[declared_as])
        return ClassifierSystem(
            name=name,
            kind=spec.kind,
            role=role,
            session=made_of.base.session,
            samples=made_of.decoding.samples,
            build_prompt=build,
            prompt_digest=digest,
            base_digest=made_of.base.digest,
            adapter_digest=made_of.adapters[name],
        )
    return _local_system(name, declared_as, role, made_of)


def _local_system(name: str, declared_as: str, role: str, made_of: Ingredients) -> LocalSystem:
    spec = made_of.specs[declared_as]
    build, digest = _prompting(declared_as, made_of)
    model = made_of.own.get(declared_as, made_of.base)
    return LocalSystem(
        name=name,
        kind=spec.kind,
        role=role,
        session=model.session,
        decoding=made_of.decoding,
        build_prompt=build,
        prompt_digest=digest,
        base_digest=model.digest,
        seed=made_of.seed,
        adapter=name if isinstance(spec, AdapterSystem) else None,
        adapter_digest=made_of.adapters.get(name),
    )


def _prompting(name: str, made_of: Ingredients) -> tuple[BuildPrompt, str]:
    """How an arm asks, and the digest of what it adds to an example."""
    spec, system, train = made_of.specs[name], made_of.prompts[name], made_of.train
    match spec:
        case PromptSystem() | AdapterSystem() | EndpointSystem():
            return prompt_builder(system)
        case FewShotSystem():
            if spec.selection == "nearest":
                return nearest_shots_builder(system, train, shots=spec.shots)
            return few_shot_builder(system, train, shots=spec.shots, seed=made_of.seed)
        case RetrievalSystem():
            passages = made_of.passages[name] if name in made_of.passages else training_passages(train)
            return retrieval_builder(system, passages, count=spec.passages, template=made_of.templates.get(name))
        case ConstrainedSystem():
            return _prompting(spec.over, made_of)
        case _:
            assert_never(spec)
