"""What is known before anything is computed: the finished run of these inputs, or that they shipped already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from harness.clock import Clock
from harness.environment import installed_version, source_digest, vllm_settings
from harness.errors import BrokenRunError, EvidenceRefusedError, InvalidInputError
from harness.prepare import Inputs
from harness.progress import Progress
from harness.store.project import ProjectFolders
from harness.store.runs import MANIFEST, VERDICT, read_run
from harness.strict_json import StrictJsonError, canonical, parse
from harness.suite.schema import Suite
from harness.suite.systems import AdapterSystem
from harness.trust.digests import digest_bytes, digest_file, digest_files, digest_tree
from harness.trust.history import log_path
from harness.trust.verdicts import LIFETIME
from harness.trust.verify import verify_adapter

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
        "numerics": dict(numerics) | _own_numerics(inputs.loaded.suite),
    }
    return digest_bytes(canonical(whole).encode("utf-8"))


def _own_numerics(suite: Suite) -> dict[str, str | None]:
    """What only this suite's numbers depend on: its engine, and what quantises its base model."""
    engine = {"vllm": installed_version("vllm"), **vllm_settings()} if suite.engine is not None else {}
    quantised = any(train.quantize for train in suite.trainings.values())
    return {**engine, **({"bitsandbytes": installed_version("bitsandbytes")} if quantised else {})}


def find_unchanged(reports: Path, suite: str, digest: str, *, now: datetime) -> Path | None:
    """The newest finished run of these inputs whose evidence is whole, and no older than a verdict may get."""
    for folder in sorted((reports / suite).glob("*/"), reverse=True):
        if _inputs_of(folder) != digest:
            continue
        try:
            finished = datetime.fromisoformat(read_run(folder).manifest.finished)
        except (BrokenRunError, EvidenceRefusedError, ValueError):
            continue  # damaged since: it is no substitute for a new run
        if finished.tzinfo is not None and now - finished < LIFETIME:
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


@dataclass(frozen=True, slots=True)
class AlreadyPromoted:
    """The candidate is, byte for byte, the promoted adapter, all that it was judged by is the same, and it verifies."""

    name: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A finished run had exactly these inputs, so its evidence is the evidence of this one."""

    folder: Path


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of these inputs before anything is computed."""

    inputs: Inputs
    folders: ProjectFolders
    digests: Mapping[str, str]
    clock: Clock
    progress: Progress
    anew: bool  # nothing earlier counts

    def run(self) -> Unchanged | None:
        """The finished run of exactly these inputs."""
        if self.anew:
            return None
        suite = self.inputs.loaded.suite.suite
        earlier = find_unchanged(self.folders.reports, suite, self.digests[INPUTS], now=self.clock())
        return Unchanged(earlier) if earlier is not None else None

    def promoted(self, files: Mapping[str, str]) -> AlreadyPromoted | None:
        """Whether these files shipped by exactly what they would be judged by now, and may still go out."""
        if self.anew or self.inputs.promoted is None or not _is_promoted(self.inputs, files):
            return None
        record, registry = self.inputs.promoted.record, self.folders.baselines
        if record.digests.get(GROUND) != self.digests[GROUND]:
            return None
        try:
            found = verify_adapter(
                self.inputs.promoted.adapter,
                registry / record.suite / record.name / VERDICT,
                now=self.clock(),
                suite_digest=self.inputs.loaded.digest,
                history=log_path(registry, record.suite),
            )
        except EvidenceRefusedError as error:
            self.progress.say(f"promoted as {record.name}, but its verdict does not stand any more: {error}")
            return None
        return AlreadyPromoted(record.name) if found.verdict.digests.get(GROUND) == self.digests[GROUND] else None


def given_files(inputs: Inputs) -> dict[str, str]:
    """File -> SHA-256 of the candidate that was trained elsewhere; none when the candidate is trained here."""
    given = inputs.admitted.get(inputs.loaded.suite.candidate)
    return dict(given.files) if given is not None else {}


def _is_promoted(inputs: Inputs, files: Mapping[str, str]) -> bool:
    return inputs.promoted is not None and dict(files) == dict(inputs.promoted.record.adapter_files)


def apart_from_candidate(inputs: Inputs, candidate: Mapping[str, str]) -> Inputs:
    """The inputs without a baseline that is the candidate itself, by these files: the promoted adapter is left out.

    Raises:
        InvalidInputError: another baseline is the candidate.
    """
    for name, given in inputs.baseline_adapters.items():
        if dict(given.files) == dict(candidate) and not _is_promoted(inputs, given.files):
            raise InvalidInputError(
                f"systems.{name}: {given.folder} is the candidate itself, byte for byte, which is not compared with "
                "itself; take the arm out, or name another adapter"
            )
    if not _is_promoted(inputs, candidate):
        return inputs
    names = [
        name
        for name, spec in inputs.loaded.suite.systems.items()
        if isinstance(spec, AdapterSystem) and spec.source == "promoted"
    ]
    why = "it is the candidate itself, which is not compared with itself"
    return replace(inputs, absent={**inputs.absent, **dict.fromkeys(names, why)})
