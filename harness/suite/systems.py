"""The arms that a suite may declare, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.suite.declaration import Declaration, ModelRef, Name, Number
from harness.suite.training import Train


class Connection(Declaration):
    """A model behind an OpenAI-compatible server."""

    base_url: str  # "https://host/v1"; what comes after it is the protocol's
    model: Annotated[str, Field(pattern=r"^[!-{}~]{1,200}$")]  # printable ASCII; a bar would divide the signature
    key_env: str | None = None  # the name of the environment variable that holds the API key
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4  # requests at the same time
    timeout_seconds: Annotated[Number, Field(gt=0, le=3600)] = 60.0  # of one request, up to its last byte
    retries: Annotated[int, Field(ge=0, le=10)] = 3  # after faults that may pass
    price_input: Annotated[Number, Field(ge=0)] | None = None  # per million tokens, in the currency of `prices`
    price_output: Annotated[Number, Field(ge=0)] | None = None


MOST_RANK = 512  # of an adapter, for which vLLM makes room


class LoadedCandidate(Declaration):
    """An adapter that a vLLM server is told to load under a name, and to unload afterwards."""

    name: Name
    max_lora_rank: Annotated[int, Field(ge=1, le=MOST_RANK)] = (
        16  # what the server was started with; vLLM's own default
    )


class ServedAdapter(LoadedCandidate):
    """One in a folder, which the server must see under the same path."""

    path: str


class PromptSystem(Declaration):
    """The base model, or another one, with a system message."""

    kind: Literal["prompt"]
    role: Literal["baseline"] = "baseline"
    system: str | None = None
    model: ModelRef | None = None  # a smaller or a larger model than the suite's


class FewShotSystem(Declaration):
    """The base model with solved examples from the training rows."""

    kind: Literal["few_shot"]
    role: Literal["baseline"] = "baseline"
    system: str | None = None
    shots: Annotated[int, Field(ge=1, le=64)] = 4
    selection: Literal["random", "nearest"] = "random"  # drawn once by the seed, or by BM25 for each example


class RetrievalSystem(Declaration):
    """The base model with the passages that BM25 finds for each example."""

    kind: Literal["retrieval"]
    role: Literal["baseline"] = "baseline"
    system: str | None = None
    documents: str | None = None  # a folder of .txt and .md files; None: the training rows with their answers
    passages: Annotated[int, Field(ge=1, le=64)] = 3
    template: str | None = None  # a text file with {passages} and {question}


class ConstrainedSystem(Declaration):
    """Another arm, whose answers can only be what a grammar allows: the suite's JSON Schema if none is given."""

    kind: Literal["constrained"]
    role: Literal["baseline"] = "baseline"
    over: Name  # the prompt, few_shot or retrieval arm that is constrained
    regex: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    lark: str | None = None  # a grammar file


class AdapterSystem(Declaration):
    """The base model as a training changed it: trained here, promoted before, or in a folder."""

    kind: Literal["adapter"]
    role: Literal["candidate", "baseline"] = "baseline"
    system: str | None = None
    source: Annotated[str | None, Field(alias="from")] = None
    train: Train | None = None  # a baseline's own training; the candidate's is the suite's


class EndpointSystem(Connection):
    """A model behind a server, under the same prompt and limits as the local arms."""

    kind: Literal["endpoint"]
    role: Literal["baseline"] = "baseline"
    system: str | None = None
    served_adapter: ServedAdapter | None = None  # None: the server answers with whatever `model` is there


SystemSpec = Annotated[
    PromptSystem | FewShotSystem | RetrievalSystem | ConstrainedSystem | AdapterSystem | EndpointSystem,
    Field(discriminator="kind"),
]
