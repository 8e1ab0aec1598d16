"""The heavy half: suite → examples → candidate → answers → benchmark; writes the evidence of a run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.clock import Clock, monotonic_seconds
from harness.earlier import INPUTS, find_unchanged, inputs_digest
from harness.environment import cache_folder, numerics, quiet_libraries
from harness.errors import InvalidInputError
from harness.files import write_bytes, write_json
from harness.prepare import Inputs
from harness.progress import Progress
from harness.records import TrainingHistory
from harness.running import Run
from harness.store.answers import ANSWERS, AnswerStore
from harness.store.facts import to_plain
from harness.store.runs import ADAPTER, REPLICAS, begin_run, finish_run, write_evidence
from harness.suite.schema import AdapterSystem, EndpointSystem
from harness.trust.digests import digest_files, digest_model_folder, digest_tree


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


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A finished run had exactly these inputs, so its evidence is the evidence of this one."""

    folder: Path


def produce(
    inputs: Inputs, *, reports: Path, clock: Clock, progress: Progress, command: str, fresh: bool = False
) -> Path | AlreadyPromoted | Unchanged:
    """Run the suite and return the folder with its evidence.

    Nothing is run when a finished run had the same inputs, and nothing is computed whose result is stored, unless
    `fresh`. A candidate that is the promoted adapter is never compared with itself: nothing is run when suite and
    data are the same too, else it is judged against the other arms, and the report says so.

    Raises:
        InvalidInputError: input that only the model can show to be wrong (truncated rows, a foreign adapter).
        BrokenRunError: anything that keeps the evidence from being complete.
    """
    quiet_libraries()
    from harness.engine.catalogue import locate

    suite, stages, started = inputs.loaded.suite, _Stages(), clock()
    with stages.timed("load"):
        name, base_folder = locate(suite.model, suite_folder=inputs.loaded.folder, cache=cache_folder())
        base_digest = digest_model_folder(base_folder)
    digests = {"base": base_digest, INPUTS: inputs_digest(inputs, base_digest=base_digest, numerics=numerics())}
    remote = _remote_systems(inputs)
    # What a server answers can change behind its name, so an arm of that kind is asked anew.
    if not (fresh or remote) and (earlier := find_unchanged(reports, suite.suite, digests[INPUTS])) is not None:
        return Unchanged(earlier)
    from harness.engine.loading import load
    from harness.engine.meter import Meter
    from harness.engine.seeding import fix_threads
    from harness.engine.session import ModelSession

    wanted = reports / suite.suite / _run_id(started, inputs)
    folder = begin_run(wanted, {"suite": inputs.loaded.digest, **inputs.datasets.digests})
    progress.say(f"run {folder}")
    threads, meter = fix_threads(), Meter()
    with stages.timed("load"):
        base = load(name, base_folder)
        meter.model_loads += 1
    with stages.timed("train"):
        history = _make_candidate(inputs, base, folder / ADAPTER, meter, progress)
    if _is_promoted(inputs, folder / ADAPTER):
        assert inputs.promoted is not None
        if _on_the_same_ground(inputs):
            shutil.rmtree(folder)  # nothing was found out that is not in the registry
            return AlreadyPromoted(inputs.promoted.record.name)
        inputs = _without_promoted(inputs)
    with stages.timed("train"):
        _make_replicas(inputs, base, folder / REPLICAS, meter, progress)
    with _open_store(clock, fresh=fresh) as store:
        run = Run(inputs, ModelSession(base, meter), folder, digests, store)
        _collect_evidence(run, inputs, folder, history, stages, progress)
    finish_run(folder, run.manifest(stages.seconds, meter.reading(), (started, clock()), command, threads))
    return folder


def _remote_systems(inputs: Inputs) -> list[str]:
    """The systems that answer through a server, whose keys must be there before anything is spent."""
    from harness.systems.http_chat import read_key

    remote = []
    for name, spec in inputs.loaded.suite.systems.items():
        if isinstance(spec, EndpointSystem):
            read_key(name, spec.key_env)
            remote.append(name)
    return remote


@contextlib.contextmanager
def _open_store(clock: Clock, *, fresh: bool) -> Iterator[AnswerStore | None]:
    if fresh:
        yield None
        return
    with AnswerStore(cache_folder() / ANSWERS, clock=clock) as store:
        yield store


def _collect_evidence(
    run: Run, inputs: Inputs, folder: Path, history: TrainingHistory | None, stages: _Stages, progress: Progress
) -> None:
    """Let every system answer, and write all that the gate looks at."""
    with stages.timed("answer"):
        predictions = run.answer(progress)
        liveness = run.liveness(predictions)
    with stages.timed("benchmark"):
        benchmarks = run.benchmark(progress)
        drift = run.drift(progress)
    with stages.timed("recheck"):
        run.recheck(progress)
    write_evidence(
        folder,
        suite_text=inputs.loaded.text,
        schema=inputs.schema,
        examples=run.examples,
        tables={"predictions": predictions, "benchmarks": benchmarks, "drift": drift},
        reports={"liveness": liveness, **({"training": history} if history else {})},
    )


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
    from harness.engine.catalogue import locate
    from harness.engine.loading import load
    from harness.engine.meter import Meter
    from harness.engine.seeding import fix_threads

    fix_threads()
    name, folder = locate(inputs.loaded.suite.model, suite_folder=inputs.loaded.folder, cache=cache_folder())
    history = _make_candidate(inputs, load(name, folder), target, Meter(), progress)
    assert history is not None
    return history


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
    return _train(inputs, base, target, inputs.loaded.suite.seed, meter, progress)


def _make_replicas(inputs: Inputs, base: Any, target: Path, meter: Any, progress: Progress) -> None:
    """Train the candidate's recipe with further seeds, each into its own folder with its history."""
    for name, seed in inputs.loaded.suite.replicas.items():
        progress.say(f"training {name}")
        history = _train(inputs, base, target / name, seed, meter, progress)
        write_json(target / f"{name}.json", to_plain(history))


def _train(inputs: Inputs, base: Any, target: Path, seed: int, meter: Any, progress: Progress) -> TrainingHistory:
    from harness.train.sft import TrainingRows, train_lora

    suite, datasets = inputs.loaded.suite, inputs.datasets
    assert suite.train is not None  # else the inputs name a finished adapter
    rows = TrainingRows(
        train=datasets.train,
        mix=inputs.mix,
        validation=datasets.validation,
        system=inputs.prompts[suite.candidate],
    )
    return train_lora(base, rows, suite.train, seed=seed, target=target, meter=meter, progress=progress)


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
