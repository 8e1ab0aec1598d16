"""Ask the servers that should serve a candidate its own questions, where a check or `harness parity` wants to know."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.local_tokenizer import LocalTokenizer
from harness.engine.chat import encode_prompts, prompt_texts, template_digest, with_system
from harness.errors import InvalidInputError
from harness.gate.results import check_name
from harness.gate.served_as_judged import drawn_examples
from harness.progress import Progress
from harness.records import Example, Message, Prediction, ServedAnswer
from harness.suite.checks import ServedAsJudged
from harness.suite.load import LoadedSuite
from harness.suite.schema import Suite
from harness.suite.systems import Connection, LoadedCandidate
from harness.systems.http_chat import ChatFault
from harness.systems.requests import Retries, declared_server
from harness.systems.served import ServedCandidate, failed_answer
from harness.systems.server import Rendered, loaded_adapter

Render = Callable[[Sequence[Sequence[Message]]], list[Rendered]]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedStack:
    """What a server is to serve: the candidate's system message, its folder, and its base model's, if that is here."""

    system: str | None
    adapter: Path
    model: Path | None


def served_candidates(loaded: LoadedSuite) -> dict[str, ServedCandidate]:
    """The servers of the suite's `served_as_judged` checks, whose keys must be there before anything is spent.

    Raises:
        InvalidInputError: a key that is not in the environment.
    """
    return {
        check_name(check): served_candidate(check_name(check), check.endpoint, loaded.suite, loads=check.served_adapter)
        for check in loaded.suite.checks
        if isinstance(check, ServedAsJudged)
    }


def served_candidate(name: str, spec: Connection, suite: Suite, *, loads: LoadedCandidate | None) -> ServedCandidate:
    """One server, asked under the suite's decoding for the model that it loads, or for the one that it has."""
    return ServedCandidate(
        name=name,
        server=declared_server(f"checks.{name}.endpoint", spec),
        model=loads.name if loads is not None else spec.model,
        decoding=suite.decoding,
        seed=suite.seed,
        concurrency=spec.concurrency,
        retries=Retries(times=spec.retries),
    )


def judged_rendering(model: Path | None, *, template: str = "") -> Render | None:
    """How the model in a folder is given conversations; None where there is no folder or its tokenizer is not read.

    With the beginning of a `template`'s digest, only a tokenizer with that template will do.
    """
    if model is None:
        return None
    try:
        tokenizer = LocalTokenizer(model)
    except InvalidInputError:
        return None  # of a form that only transformers reads
    if not template_digest(tokenizer).startswith(template):
        return None
    return lambda conversations: [
        Rendered(text, tuple(tokens))
        for text, tokens in zip(
            prompt_texts(tokenizer, conversations), encode_prompts(tokenizer, conversations), strict=True
        )
    ]


def ask_served_checks(
    suite: Suite,
    candidates: Mapping[str, ServedCandidate],
    test: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    stack: JudgedStack,
    progress: Progress,
) -> list[ServedAnswer]:
    """What every `served_as_judged` check's server answers."""
    found = []
    for check in suite.checks:
        if isinstance(check, ServedAsJudged):
            drawn = drawn_examples(test, count=check.examples, seed=suite.seed)
            found += ask_candidate(
                candidates[check_name(check)],
                conversations(drawn, stack.system),
                counted_prompts(predictions, suite.candidate),
                render=judged_rendering(stack.model),
                loads=stack.adapter if check.served_adapter is not None else None,
                progress=progress,
            )
    return found


def conversations(examples: Sequence[Example], system: str | None) -> dict[str, tuple[Message, ...]]:
    """Example id -> the candidate's own question."""
    return {example.id: with_system(example.messages, system) for example in examples}


def counted_prompts(predictions: Sequence[Prediction], candidate: str) -> dict[str, int]:
    """Example id -> the tokens of its prompt when the candidate was judged; an answer that failed counts none."""
    return {
        row.example_id: row.prompt_tokens
        for row in predictions
        if (row.system, row.dataset, row.error) == (candidate, "test", None)
    }


def ask_candidate(
    candidate: ServedCandidate,
    asked: Mapping[str, Sequence[Message]],
    counted: Mapping[str, int],
    *,
    render: Render | None,
    loads: Path | None,
    progress: Progress,
) -> list[ServedAnswer]:
    """One answer to each conversation; errors in their place where the server fails, or does not load the adapter."""
    rendered = dict(zip(asked, render(list(asked.values())), strict=True)) if render is not None else {}
    if any(key in counted and len(one.tokens) != counted[key] for key, one in rendered.items()):
        progress.say("the prompts are not compared as text: the tokenizer here is not the judged one")
        rendered = {}
    progress.start(f"ask {candidate.server.base_url} for {candidate.model}", len(asked))
    loading: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if loads is not None:
        loading = loaded_adapter(candidate.server, candidate.model, loads, progress.say)
    found = []
    try:
        with loading:
            for answer in candidate.answer(asked, rendered):
                found.append(answer)
                progress.advance()
    except ChatFault as fault:  # of loading: an answer that failed is an answer
        why = f"{candidate.server.base_url}: {fault}"
        return [failed_answer(candidate.name, key, why) for key in asked]
    return found
