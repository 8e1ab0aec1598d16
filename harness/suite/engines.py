"""Engines that a suite may take for its answers and scores in the place of transformers, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.suite.declaration import Declaration, OpenFraction


class Vllm(Declaration):
    """vLLM in the harness's own process, by vLLM's own names; it holds the base model a second time."""

    kind: Literal["vllm"]
    gpu_memory_utilization: OpenFraction = 0.5  # share of the memory of a GPU, or of this machine without one
    tensor_parallel_size: Annotated[int, Field(ge=1, le=64)] = 1
    max_model_len: Annotated[int, Field(ge=1)] | None = None  # tokens; None: what the model can and the memory holds
