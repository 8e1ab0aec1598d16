"""The heavy half: suite → examples → candidate → answers → benchmark; writes the evidence of a run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.candidates import Workshop
from harness.clock import Clock, monotonic_seconds
from harness.earlier import INPUTS, find_unchanged, inputs_digest
from harness.environment import cache_folder, numerics, quiet_libraries
from harness.errors import InvalidInputError
from harness.prepare import Inputs
from harness.progress import Progress
from harness.records import TrainingHistory
from harness.running import Run
from harness.store.answers import ANSWERS, AnswerStore
from harness.store.runs import ADAPTER, begin_run, finish_run, write_evidence
from harness.store.trainings import TRAININGS, TrainingStore
from harness.suite.systems import AdapterSystem, EndpointSystem, PromptSystem
from harness.trust.digests import digest_files, digest_model_folder, digest_tree

if TYPE_CHECKING:
    from harness.engine.meter import Meter
    from harness.engine.session import ModelSession
    from harness.systems.judge_model import JudgeModel


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
        located = locate(suite.model, suite_folder=inputs.loaded.folder, cache=cache_folder())
        models = {"base": digest_model_folder(located[1]), **_other_models(inputs)}
    digests = {**models, INPUTS: inputs_digest(inputs, models=models, numerics=numerics())}
    remote, judges = _remote_systems(inputs), _judges(inputs)
    # What a server answers can change behind its name, so an arm or a judge of that kind is asked anew.
    anew = fresh or remote or judges
    if not anew and (earlier := find_unchanged(reports, suite.suite, digests[INPUTS])) is not None:
        return Unchanged(earlier)
    from harness.engine.seeding import fix_threads
    from harness.engine.session import ModelSession

    wanted = reports / suite.suite / _run_id(started, inputs)
    folder = begin_run(wanted, {"suite": inputs.loaded.digest, **inputs.datasets.digests})
    progress.say(f"run {folder}")
    threads = fix_threads()
    with stages.timed("load"):
        workshop = _open_workshop(inputs, *located, models["base"], progress, clock, fresh=fresh)
        base, meter = workshop.base, workshop.meter
    with stages.timed("train"):
        history = workshop.make_candidate(folder / ADAPTER)
    if _is_promoted(inputs, folder / ADAPTER):
        assert inputs.promoted is not None
        if _on_the_same_ground(inputs):
            shutil.rmtree(folder)  # nothing was found out that is not in the registry
            return AlreadyPromoted(inputs.promoted.record.name)
        inputs = _without_promoted(inputs)
    with stages.timed("train"):
        workshop.make_others(folder)
    with stages.timed("load"):
        others = _load_others(inputs, meter)
    with _open_store(clock, fresh=fresh) as store:
        run = Run(inputs, ModelSession(base, meter), others, folder, digests, store, judges)
        _collect_evidence(run, inputs, folder, history, stages, progress)
    finish_run(folder, run.manifest(stages.seconds, meter.reading(), (started, clock()), command, threads))
    return folder


def _open_workshop(
    inputs: Inputs, name: str, folder: Path, digest: str, progress: Progress, clock: Clock, *, fresh: bool
) -> Workshop:
    """Load the base model for everything that a run trains on it."""
    from harness.engine.loading import load
    from harness.engine.meter import Meter

    meter = Meter()
    base = load(name, folder)
    meter.model_loads += 1
    return Workshop(
        inputs=inputs,
        base=base,
        base_digest=digest,
        numerics=numerics(),
        store=None if fresh else TrainingStore(cache_folder() / TRAININGS),
        meter=meter,
        progress=progress,
        clock=clock,
    )


def _other_models(inputs: Inputs) -> dict[str, str]:
    """Name in the manifest -> the digest of the model that a prompt arm has of its own."""
    return {f"model:{name}": digest_model_folder(folder) for name, (_, folder) in _located(inputs).items()}


def _load_others(inputs: Inputs, meter: Meter) -> dict[str, ModelSession]:
    """A session for each prompt arm with a model of its own."""
    from harness.engine.loading import load
    from harness.engine.session import ModelSession

    others = {}
    for name, (shown, folder) in _located(inputs).items():
        others[name] = ModelSession(load(shown, folder), meter)
        meter.model_loads += 1
    return others


def _located(inputs: Inputs) -> dict[str, tuple[str, Path]]:
    from harness.engine.catalogue import locate

    return {
        name: locate(spec.model, suite_folder=inputs.loaded.folder, cache=cache_folder())
        for name, spec in inputs.loaded.suite.systems.items()
        if isinstance(spec, PromptSystem) and spec.model is not None
    }


def _remote_systems(inputs: Inputs) -> list[str]:
    """The systems that answer through a server, whose keys must be there before anything is spent."""
    from harness.systems.http_chat import read_key

    remote = []
    for name, spec in inputs.loaded.suite.systems.items():
        if isinstance(spec, EndpointSystem):
            read_key(f"systems.{name}", spec.key_env)
            remote.append(name)
    return remote


def _judges(inputs: Inputs) -> dict[str, JudgeModel]:
    """The judges of the suite, whose keys and rubrics must be there before anything is spent."""
    from harness.systems.judge_model import declared_judge

    loaded = inputs.loaded
    return {
        name: declared_judge(name, spec, rubric=loaded.resolve(spec.rubric), seed=loaded.suite.seed)
        for name, spec in loaded.suite.judges.items()
    }


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
    with stages.timed("judge"):
        preferences = run.preferences(predictions, progress)
    write_evidence(
        folder,
        suite_text=inputs.loaded.text,
        schema=inputs.schema,
        examples=run.examples,
        tables={
            "predictions": predictions,
            "benchmarks": benchmarks,
            "drift": drift,
            "preferences": preferences,
        },
        reports={"liveness": liveness, **({"training": history} if history else {})},
    )


def train_only(inputs: Inputs, target: Path, progress: Progress, *, clock: Clock) -> TrainingHistory:
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
    from harness.engine.seeding import fix_threads

    fix_threads()
    name, folder = locate(inputs.loaded.suite.model, suite_folder=inputs.loaded.folder, cache=cache_folder())
    workshop = _open_workshop(inputs, name, folder, digest_model_folder(folder), progress, clock, fresh=False)
    history = workshop.make_candidate(target)
    assert history is not None  # the suite trains its candidate
    return history


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
