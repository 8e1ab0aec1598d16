"""The judged stack once more: what a run's model and adapter answer greedily, with each token's log-probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.environment import quiet_libraries
from harness.errors import EvidenceRefusedError
from harness.gate.served_as_judged import JudgedAnswer
from harness.records import Message
from harness.sealing import adapter_files
from harness.store.runs import ADAPTER, StoredRun
from harness.suite.schema import Suite
from harness.trust.digests import digest_model_folder

if TYPE_CHECKING:
    from harness.engine.session import ModelSession


def answer_again(
    run: StoredRun, suite: Suite, asked: Mapping[str, Sequence[Message]], model: Path
) -> tuple[dict[str, JudgedAnswer], dict[str, JudgedAnswer]]:
    """What the candidate answers to each conversation, and what the base model does, by example id.

    Raises:
        EvidenceRefusedError: the model in the folder is not the one that was judged.
    """
    if digest_model_folder(model) != run.manifest.digests["base"]:
        raise EvidenceRefusedError(f"{model}: not the base model that was judged; its files have another digest")
    quiet_libraries()
    from harness.engine.loading import load
    from harness.engine.meter import Meter
    from harness.engine.seeding import fix_threads
    from harness.engine.session import ModelSession

    fix_threads()
    session = ModelSession(load(model.name, model), Meter())
    session.attach(suite.candidate, run.folder / ADAPTER, adapter_files(run))
    return _answers(session, suite, asked, suite.candidate), _answers(session, suite, asked, None)


def _answers(
    session: ModelSession, suite: Suite, asked: Mapping[str, Sequence[Message]], adapter: str | None
) -> dict[str, JudgedAnswer]:
    from harness.engine.generate import GenerationSettings

    decoding = suite.decoding
    settings = GenerationSettings(
        max_new_tokens=decoding.max_new_tokens, batch_size=decoding.batch_size, stop=tuple(decoding.stop)
    )
    encoded = session.encode(list(asked.values()))
    overlong = session.without_room(encoded, adapter=adapter, answer=decoding.max_new_tokens)
    keys = [key for place, key in enumerate(asked) if place not in overlong]
    prompts = [ids for place, ids in enumerate(encoded) if place not in overlong]
    found = {}
    for answer in session.generate(prompts, settings, adapter=adapter):
        prompt, tokens = prompts[answer.index], answer.written
        logprobs = session.token_logprobs(prompt, tokens, adapter=adapter)
        found[keys[answer.index]] = JudgedAnswer(
            text=answer.text,
            prompt_tokens=len(prompt),
            near_tie=answer.near_tie,
            logprob=sum(logprobs),
            length=len(logprobs),
            logprobs=tuple(logprobs),
        )
    return found
