"""Find the finished run that had exactly these inputs, so that nothing is computed twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.environment import source_digest
from harness.errors import BrokenRunError, EvidenceRefusedError
from harness.prepare import Inputs
from harness.store.runs import MANIFEST, read_run
from harness.strict_json import StrictJsonError, canonical, parse
from harness.suite.systems import AdapterSystem
from harness.trust.digests import digest_bytes, digest_file, digest_files, digest_tree

INPUTS, GROUND = "inputs", "ground"  # the names of these digests in a manifest


def ground_digest(inputs: Inputs, models: Mapping[str, str]) -> str:
    """SHA-256 over everything that a candidate is judged by and on, whoever stands against it and on what machine."""
    promoted = {
        name
        for name, spec in inputs.loaded.suite.systems.items()
        if isinstance(spec, AdapterSystem) and spec.source == "promoted"
    }
    judges = inputs.loaded.suite.judges
    given = {
        name: adapter
        for name, adapter in inputs.admitted.items()
        if name not in {*promoted, inputs.loaded.suite.candidate}
    }
    whole = {
        "tool": source_digest(),
        "suite": inputs.loaded.digest,
        "data": dict(inputs.datasets.digests),
        "benchmarks": _benchmark_files(inputs),
        "prompts": {name: text for name, text in inputs.prompts.items() if name not in promoted},
        "templates": dict(inputs.templates),
        "grammars": dict(inputs.grammars),
        "schema": digest_bytes(inputs.schema) if inputs.schema is not None else None,
        "rubrics": {name: digest_file(inputs.loaded.resolve(judge.rubric)) for name, judge in judges.items()},
        "models": dict(models),
        "adapters": {name: digest_tree(adapter.files) for name, adapter in given.items()},
    }
    return digest_bytes(canonical(whole).encode("utf-8"))


def inputs_digest(inputs: Inputs, *, ground: str, numerics: Mapping[str, str]) -> str:
    """SHA-256 over everything that a run's evidence depends on; equal digests give equal evidence."""
    whole = {
        "ground": ground,
        "prompts": dict(inputs.prompts),
        "admitted": {name: digest_tree(given.files) for name, given in inputs.admitted.items()},
        "absent": sorted(inputs.absent),
        "lock": inputs.lock.digest if inputs.lock is not None else None,
        "numerics": dict(numerics),
    }
    return digest_bytes(canonical(whole).encode("utf-8"))


def find_unchanged(reports: Path, suite: str, digest: str) -> Path | None:
    """The newest finished run of these inputs whose evidence is whole."""
    for folder in sorted((reports / suite).glob("*/"), reverse=True):
        if _inputs_of(folder) != digest:
            continue
        try:
            read_run(folder)
        except (BrokenRunError, EvidenceRefusedError):
            continue  # damaged since: it is no substitute for a new run
        return folder
    return None


def _inputs_of(folder: Path) -> str | None:
    try:
        manifest = parse((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, StrictJsonError):
        return None
    digests = manifest.get("digests") if isinstance(manifest, dict) else None
    found = digests.get(INPUTS) if isinstance(digests, dict) else None
    return found if isinstance(found, str) else None


def _benchmark_files(inputs: Inputs) -> dict[str, str]:
    """Benchmark -> digest of its folder, where it has one; the hub's is pinned in the code."""
    found = {}
    for name, declared in inputs.loaded.suite.benchmarks.items():
        folder = declared.mmlu_dir or (declared.task if declared.task != "mmlu" else None)
        if folder is not None:
            found[name] = digest_tree(digest_files(inputs.loaded.resolve(folder)))
    return found
