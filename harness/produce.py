"""The heavy half: suite → examples → candidate → answers → benchmark; writes the evidence of a run."""

from __future__ import annotations

import contextlib
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.clock import Clock, monotonic_seconds
from harness.environment import cache_folder, quiet_libraries
from harness.errors import InvalidInputError
from harness.files import write_bytes
from harness.prepare import Inputs
from harness.progress import Progress
from harness.records import (
    BASE_MODEL,
    FORMAT_VERSION,
    BenchmarkResult,
    Counters,
    DriftRow,
    Example,
    Liveness,
    Prediction,
    RunManifest,
    SystemFact,
    TrainingHistory,
)
from harness.store.runs import ADAPTER, begin_run, finish_run, write_evidence
from harness.suite.schema import AdapterSystem, ValidOutput
from harness.trust.digests import digest_bytes, digest_files, digest_model_folder, digest_tree

if TYPE_CHECKING:
    from harness.benchmarks.tasks import BenchmarkTasks
    from harness.engine.session import ModelSession
    from harness.systems.build import Ingredients
    from harness.systems.interface import System

LIVENESS_PROMPTS = 8


@dataclass(slots=True)
class _Stages:
    """Wall seconds of each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = monotonic_seconds()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + monotonic_seconds() - started, 3)


@dataclass(frozen=True, slots=True)
class AlreadyPromoted:
    """The candidate is, byte for byte, the promoted adapter, judged by the same suite on the same data."""

    name: str


def produce(inputs: Inputs, *, reports: Path, clock: Clock, progress: Progress, command: str) -> Path | AlreadyPromoted:
    """Run the suite and return the folder with its evidence.

    A candidate that is the promoted adapter is never compared with itself: nothing is run when suite and data are
    the same too, else it is judged against the other arms, and the report says so.

    Raises:
        InvalidInputError: input that only the model can show to be wrong (truncated rows, a foreign adapter).
        BrokenRunError: anything that keeps the evidence from being complete.
    """
    quiet_libraries()
    from harness.engine.loading import load, locate
    from harness.engine.meter import Meter
    from harness.engine.seeding import fix_threads
    from harness.engine.session import ModelSession

    suite, stages, started = inputs.loaded.suite, _Stages(), clock()
    wanted = reports / suite.suite / _run_id(started, inputs)
    folder = begin_run(wanted, {"suite": inputs.loaded.digest, **inputs.datasets.digests})
    progress.say(f"run {folder}")
    threads, meter = fix_threads(), Meter()
    with stages.timed("load"):
        name, base_folder = locate(suite.model, suite_folder=inputs.loaded.folder, cache=cache_folder())
        base = load(name, base_folder)
        base_digest = digest_model_folder(base_folder)
        meter.model_loads += 1
    with stages.timed("train"):
        history = _make_candidate(inputs, base, folder / ADAPTER, meter, progress)
    if _is_promoted(inputs, folder / ADAPTER):
        assert inputs.promoted is not None
        if _on_the_same_ground(inputs):
            shutil.rmtree(folder)  # nothing was found out that is not in the registry
            return AlreadyPromoted(inputs.promoted.record.name)
        inputs = _without_promoted(inputs)
    run = _Run(inputs, ModelSession(base, meter), folder, base_digest)
    with stages.timed("answer"):
        predictions = run.answer(progress)
        liveness = run.liveness(predictions)
    with stages.timed("benchmark"):
        benchmarks = run.benchmark(progress)
        drift = run.drift(progress)
    write_evidence(
        folder,
        suite_text=inputs.loaded.text,
        schema=inputs.schema,
        examples={"test": inputs.datasets.test, "probe": inputs.datasets.probe},
        tables={"predictions": predictions, "benchmarks": benchmarks, "drift": drift},
        reports={"liveness": liveness, **({"training": history} if history else {})},
    )
    manifest = run.manifest(stages.seconds, meter.reading(), (started, clock()), command, threads)
    finish_run(folder, manifest)
    return folder


def train_only(inputs: Inputs, target: Path, progress: Progress) -> TrainingHistory:
    """Train the candidate into `target` and nothing else.

    Raises:
        InvalidInputError: the folder exists, or the suite does not train.
    """
    if target.exists():
        raise InvalidInputError(f"{target} exists already; choose another folder")
    if inputs.adapter is not None:
        raise InvalidInputError("this suite's candidate comes from a folder; there is nothing to train")
    quiet_libraries()
    from harness.engine.loading import load, locate
    from harness.engine.meter import Meter
    from harness.engine.seeding import fix_threads

    fix_threads()
    name, folder = locate(inputs.loaded.suite.model, suite_folder=inputs.loaded.folder, cache=cache_folder())
    history = _make_candidate(inputs, load(name, folder), target, Meter(), progress)
    assert history is not None
    return history


class _Run:
    """One run in progress: the systems of the suite on one base model."""

    def __init__(self, inputs: Inputs, session: ModelSession, folder: Path, base_digest: str) -> None:
        self._inputs, self._session, self._folder = inputs, session, folder
        self._suite, self._base_digest = inputs.loaded.suite, base_digest
        self._adapters = {name: digest_tree(digest_files(path)) for name, path in self._adapter_folders().items()}
        for name, path in self._adapter_folders().items():
            session.attach(name, path)
        self.systems = self._build()

    def _adapter_folders(self) -> dict[str, Path]:
        folders = {}
        for name, spec in self._suite.systems.items():
            if not isinstance(spec, AdapterSystem) or name in self._inputs.absent:
                continue
            if spec.role == "candidate":
                folders[name] = self._folder / ADAPTER
            elif spec.source == "promoted":
                assert self._inputs.promoted is not None
                folders[name] = self._inputs.promoted.adapter
            else:
                folders[name] = self._inputs.loaded.resolve(str(spec.source))
        return folders

    def _build(self) -> list[System]:
        from harness.systems.build import Ingredients, build_system

        shared: Ingredients = Ingredients(
            session=self._session,
            decoding=self._suite.decoding,
            train=self._inputs.datasets.train,
            seed=self._suite.seed,
            base_digest=self._base_digest,
        )
        return [
            build_system(
                name,
                spec,
                system=self._inputs.prompts[name],
                adapter_digest=self._adapters.get(name),
                shared=shared,
            )
            for name, spec in self._suite.systems.items()
            if name not in self._inputs.absent
        ]

    def _plan(self) -> list[tuple[System, str, tuple[Example, ...]]]:
        """Which system answers which data set."""
        datasets = self._inputs.datasets
        plan = [(system, "test", datasets.test) for system in self.systems]
        on_probe = any(isinstance(check, ValidOutput) and check.on == "probe" for check in self._suite.checks)
        if on_probe:
            plan += [(system, "probe", datasets.probe) for system in self.systems if system.role == "candidate"]
        return plan

    def answer(self, progress: Progress) -> list[Prediction]:
        """Every planned answer, in the order of plan and data set."""
        predictions: list[Prediction] = []
        for system, dataset, examples in self._plan():
            progress.start(f"answer {dataset} with {system.name}", len(examples))
            answers: dict[str, Prediction] = {}
            for prediction in system.answer(examples, dataset):
                answers[prediction.example_id] = prediction
                progress.advance()
            predictions += [answers[example.id] for example in examples]
        return predictions

    def liveness(self, predictions: list[Prediction]) -> Liveness:
        """How far the candidate is from the base model under the same prompt."""
        import torch

        candidate, prompts = self._suite.candidate, self._inputs.prompts
        twin = next(
            name
            for name, spec in self._suite.systems.items()
            if spec.kind == "prompt" and prompts[name] == prompts[candidate]
        )
        ours, theirs = (
            {p.example_id: p.text for p in predictions if p.system == name and p.dataset == "test"}
            for name in (candidate, twin)
        )
        from harness.engine.chat import with_system

        rows = self._inputs.datasets.test[:LIVENESS_PROMPTS]
        ids = [self._session.prompt_ids(with_system(row.messages, prompts[candidate])) for row in rows]
        with_adapter = self._session.next_token_logits(ids, adapter=candidate)
        without = self._session.next_token_logits(ids, adapter=None)
        finite = bool(torch.isfinite(with_adapter).all())
        return Liveness(
            prompts=len(ours),
            differing_answers=sum(ours[key] != theirs[key] for key in ours),
            max_logit_difference=float((with_adapter - without).abs().max()) if finite else 0.0,
            logits_finite=finite,
        )

    def benchmark(self, progress: Progress) -> list[BenchmarkResult]:
        """The base model and the candidate on every benchmark."""
        if not self._suite.benchmarks:
            return []
        from harness.benchmarks.run import run_benchmark
        from harness.benchmarks.tasks import plan_benchmark

        results = []
        for name, declared in self._suite.benchmarks.items():
            tasks: BenchmarkTasks = plan_benchmark(
                name, declared, folder=self._inputs.loaded.folder, seed=self._suite.seed
            )
            progress.start(f"benchmark {name}", 2)
            for system, adapter in ((BASE_MODEL, None), (self._suite.candidate, self._suite.candidate)):
                results.append(run_benchmark(tasks, self._session, system=system, adapter=adapter))
                progress.advance()
        return results

    def drift(self, progress: Progress) -> list[DriftRow]:
        """The candidate's divergence from the base model on the general rows of each check that asks for it."""
        from harness.engine.chat import training_ids

        found = []
        for name, examples in self._inputs.general.items():
            progress.start(f"divergence on {name}", len(examples))
            for example in examples:
                row = training_ids(self._session.tokenizer, example.messages, example.target or "")
                kl = self._session.divergence(*row, adapter=self._suite.candidate)
                found.append(DriftRow(prompts=name, example_id=example.id, kl=kl, tokens=len(row[1])))
                progress.advance()
        return found

    def manifest(
        self,
        seconds: Mapping[str, float],
        counters: Counters,
        times: tuple[datetime, datetime],
        command: str,
        threads: int,
    ) -> RunManifest:
        """Who, what and when; its `evidence` is filled when the run is finished."""
        inputs, suite = self._inputs, self._suite
        commit, dirty = _git_state(inputs.loaded.folder)
        digests = {"suite": inputs.loaded.digest, "base": self._base_digest, **inputs.datasets.digests}
        digests |= {f"adapter:{name}": digest for name, digest in self._adapters.items()}
        digests |= {
            f"prompt:{name}": digest_bytes(text.encode("utf-8")) for name, text in inputs.prompts.items() if text
        }
        if inputs.schema is not None:
            digests["schema"] = digest_bytes(inputs.schema)
        return RunManifest(
            format_version=FORMAT_VERSION,
            run_id=self._folder.name,
            suite=suite.suite,
            suite_path=inputs.loaded.folder.name,
            tool_version=__version__,
            started=times[0].isoformat(timespec="seconds"),
            finished=times[1].isoformat(timespec="seconds"),
            seed=suite.seed,
            command=command,
            git_commit=commit,
            git_dirty=dirty,
            systems=tuple(
                SystemFact(name=s.name, kind=s.kind, role=s.role, signature=s.signature()) for s in self.systems
            ),
            absent_systems=inputs.absent,
            candidate_system=inputs.prompts[suite.candidate],
            planned={f"{system.name}/{dataset}": len(examples) for system, dataset, examples in self._plan()},
            digests=digests,
            evidence={},
            versions={**_versions(), "threads": str(threads)},
            overrides=inputs.loaded.overrides,
            counters=counters,
            seconds=seconds,
            warnings=inputs.warnings,
        )


def _make_candidate(inputs: Inputs, base: Any, target: Path, meter: Any, progress: Progress) -> TrainingHistory | None:
    """Train the candidate into `target`, or copy the one that was trained elsewhere."""
    if inputs.adapter is not None:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            # A private copy: what is judged cannot change under the run.
            try:
                write_bytes(target / name, (inputs.adapter / name).read_bytes())
            except OSError as error:
                raise InvalidInputError(f"{inputs.adapter / name}: cannot be read: {error.strerror}") from None
        return None
    from harness.train.sft import TrainingRows, train_lora

    suite, datasets = inputs.loaded.suite, inputs.datasets
    if suite.train is None:
        raise InvalidInputError("the suite has no `train` section and no adapter was given; use --adapter DIR")
    rows = TrainingRows(
        train=datasets.train,
        mix=inputs.mix,
        validation=datasets.validation,
        system=inputs.prompts[suite.candidate],
    )
    return train_lora(base, rows, suite.train, seed=suite.seed, target=target, meter=meter, progress=progress)


def _is_promoted(inputs: Inputs, adapter: Path) -> bool:
    promoted = inputs.promoted
    return promoted is not None and digest_files(adapter) == dict(promoted.record.adapter_files)


def _on_the_same_ground(inputs: Inputs) -> bool:
    assert inputs.promoted is not None
    now = {"suite": inputs.loaded.digest, **inputs.datasets.digests}
    return all(inputs.promoted.record.digests.get(name) == digest for name, digest in now.items())


def _without_promoted(inputs: Inputs) -> Inputs:
    names = [
        name
        for name, spec in inputs.loaded.suite.systems.items()
        if isinstance(spec, AdapterSystem) and spec.source == "promoted"
    ]
    why = "it is the candidate itself, which is not compared with itself"
    return replace(inputs, absent={**inputs.absent, **dict.fromkeys(names, why)})


def _run_id(started: datetime, inputs: Inputs) -> str:
    """Time and a few digits of the inputs' digests."""
    stamp = started.strftime("%Y%m%d-%H%M%S")
    return f"{stamp}-{digest_tree({'suite': inputs.loaded.digest, **inputs.datasets.digests})[:6]}"


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "peft", "trl", "lm-eval", "tokenizers", "numpy")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def _git_state(folder: Path) -> tuple[str | None, bool]:
    """The commit that the suite stands at, and whether something is not committed; (None, False) without git."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments],
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
