"""The heavy half: suite → examples → candidate → answers → benchmark; writes the evidence of a run."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.candidates import Workshop
from harness.clock import Clock, monotonic_seconds
from harness.earlier import (
    GROUND,
    INPUTS,
    AlreadyPromoted,
    Known,
    Unchanged,
    apart_from_candidate,
    given_files,
    ground_digest,
    inputs_digest,
)
from harness.engine.local_models import find_local
from harness.engine.share import Share
from harness.environment import cache_folder, numerics, quiet_libraries
from harness.errors import InvalidInputError
from harness.files import hold, new_folder, remove_tree
from harness.leak_search import among_answered, search_leaks
from harness.preferring import declared_judges
from harness.prepare import Inputs, hold_to_base
from harness.progress import Progress
from harness.records import LeakSearch, Prediction, ServedAnswer, TrainingHistory
from harness.running import Run
from harness.serving import JudgedStack, ask_served_checks, served_candidates
from harness.store.answers import ANSWERS, AnswerStore
from harness.store.project import ProjectFolders
from harness.store.runs import ADAPTER, SHARDS, abandoned_runs, begin_run, finish_run, write_evidence
from harness.store.trainings import TRAININGS, TrainingStore
from harness.suite.connections import unshareable_arm
from harness.suite.schema import Suite
from harness.suite.systems import EndpointSystem, PromptSystem
from harness.trust.digests import digest_files, digest_model_files, digest_model_folder, digest_tree
from harness.trust.history import log_path, note_start
from harness.trust.verdicts import timestamp

if TYPE_CHECKING:
    from harness.engine.meter import Meter
    from harness.engine.session import ModelSession
    from harness.train.processes import Processes


@dataclass(slots=True)
class _Stages:
    """Wall seconds of each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = monotonic_seconds()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + monotonic_seconds() - started, 3)


def produce(
    inputs: Inputs,
    *,
    folders: ProjectFolders,
    clock: Clock,
    progress: Progress,
    command: str,
    fresh: bool = False,
    share: Share | None = None,
) -> Path | AlreadyPromoted | Unchanged:
    """Run the suite, or one `share` of it, and return the folder with its evidence.

    Unless `fresh`, nothing is computed that is stored. A promoted adapter is never compared with itself.

    Raises:
        InvalidInputError: input that only the model can show to be wrong (truncated rows, a foreign adapter).
        BrokenRunError: anything that keeps the evidence from being complete.
    """
    quiet_libraries()
    from harness.engine.catalogue import locate

    suite, stages, started = inputs.loaded.suite, _Stages(), clock()
    _refuse_impossible(suite, share)
    with stages.timed("load"):
        located = locate(suite.model, suite_folder=inputs.loaded.folder, cache=cache_folder())
        digests = _digests(inputs, located[1])
    judges = declared_judges(inputs.loaded)
    # What a server answers can change behind its name, so an arm or a judge of that kind is asked anew.
    anew = bool(_remote_systems(inputs) or judges or served_candidates(inputs.loaded) or fresh or share)
    known = Known(inputs, folders, digests, clock, progress, anew)
    if (done := known.run() or known.promoted(given_files(inputs))) is not None:
        return done
    from harness.engine.seeding import fix_threads

    inputs = hold_to_base(inputs, located[1], digests["base"])
    folder = _claim(folders.reports / suite.suite, inputs, started, share, progress)
    with hold(folder):  # which tells a run that goes on from one that was killed
        _note_start(inputs, folders.baselines, folder.name, started)
        with stages.timed("leakage"):
            leaks = search_leaks(inputs, progress)
        with stages.timed("load"):
            threads = fix_threads()
            workshop = _open_workshop(inputs, *located, digests["base"], progress, clock, fresh=fresh)
        with stages.timed("train"):
            history = workshop.make_candidate(folder / ADAPTER)
        made = digest_files(folder / ADAPTER)
        if (already := known.promoted(made)) is not None:
            remove_tree(folder)  # nothing was found out that is not in the registry
            return already
        inputs = apart_from_candidate(inputs, made)
        with stages.timed("train"):
            workshop.make_others(folder)
        with stages.timed("load"):
            others = _load_others(inputs, workshop.meter)
        with _open_store(clock, fresh=fresh) as store:
            run = Run(inputs, workshop.session(share), others, folder, digests, store, judges)
            _collect_evidence(run, inputs, folder, history, leaks, stages, progress)
        manifest = run.manifest(stages.seconds, workshop.meter.reading(), (started, clock()), command, threads)
        finish_run(folder, replace(manifest, world_size=workshop.world_size(history)))
    return folder


def _refuse_impossible(suite: Suite, share: Share | None) -> None:
    """Refuse what this machine, or a share of several, cannot compute."""
    refuse_unshareable(suite, share)
    if suite.engine is not None:
        from harness.engine.vllm_engine import refuse_missing_engine

        refuse_missing_engine(suite)


def refuse_unshareable(suite: Suite, share: Share | None) -> None:
    """Refuse what a share of several cannot compute; one that computes all, None, can.

    Raises:
        InvalidInputError: with the reason, and what to do.
    """
    if share is None:
        return
    if suite.statistics.mode != "fixed":
        raise InvalidInputError(
            f"statistics.mode: {suite.statistics.mode} looks at the answers in one order and stops when they suffice, "
            "which shards cannot; take `fixed`, or run it whole"
        )
    if reason := unshareable_arm(suite):
        raise InvalidInputError(reason)


def _open_workshop(
    inputs: Inputs, name: str, folder: Path, digest: str, progress: Progress, clock: Clock, *, fresh: bool
) -> Workshop:
    """Load the base model for everything that a run trains on it."""
    from harness.engine.loading import load
    from harness.engine.meter import Meter
    from harness.train.processes import ALONE

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
        processes=ALONE,
    )


def _claim(reports: Path, inputs: Inputs, started: datetime, share: Share | None, progress: Progress) -> Path:
    """The folder of a run that begins; runs before it that did not finish are said."""
    wanted = reports / _run_id(started, inputs)
    if share is not None:
        wanted = reports / SHARDS / f"{wanted.name}-shard-{share.index}-of-{share.count}"
    if left := abandoned_runs(wanted.parent):
        more = f" and {len(left) - 1} before it" if len(left) > 1 else ""
        progress.say(
            f"run {left[-1].name}{more} did not finish and is not judged; what it computed of the same inputs is read "
            "back, but with --fresh; its folder can be removed"
        )
    folder = begin_run(wanted, {"suite": inputs.loaded.digest, **inputs.datasets.digests})
    progress.say(f"run {folder}")
    return folder


def _digests(inputs: Inputs, base: Path) -> dict[str, str]:
    """Name in the manifest -> the digest of the base model, its files, arms' own models, and all of a run's inputs."""
    files = digest_model_files(base)  # weights, tokenizer and chat template
    others = {f"model:{name}": digest_model_folder(folder) for name, (_, folder) in _located(inputs).items()}
    models = {"base": digest_tree(files), **{f"base:{name}": digest for name, digest in files.items()}, **others}
    ground = ground_digest(inputs, models)
    return {**models, GROUND: ground, INPUTS: inputs_digest(inputs, ground=ground, numerics=numerics())}


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


@contextlib.contextmanager
def _open_store(clock: Clock, *, fresh: bool) -> Iterator[AnswerStore | None]:
    if fresh:
        yield None
        return
    with AnswerStore(cache_folder() / ANSWERS, clock=clock) as store:
        yield store


def _collect_evidence(
    run: Run,
    inputs: Inputs,
    folder: Path,
    history: TrainingHistory | None,
    leaks: LeakSearch,
    stages: _Stages,
    progress: Progress,
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
        # They compare answers of different shards, so they are asked for when these are merged.
        preferences = [] if run.is_shard else run.preferences(predictions, progress)
        served = [] if run.is_shard else _ask_servers(run, inputs, folder, predictions, progress)
    run.refuse_other_files()
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
            **({"served": served} if served else {}),
        },
        reports={
            "leaks": among_answered(leaks, run.examples["test"]),
            "liveness": liveness,
            **({"training": history} if history else {}),
        },
    )


def _ask_servers(
    run: Run, inputs: Inputs, folder: Path, predictions: list[Prediction], progress: Progress
) -> list[ServedAnswer]:
    """What the servers answer that should serve the candidate, where a check asks them."""
    suite = inputs.loaded.suite
    return ask_served_checks(
        suite,
        served_candidates(inputs.loaded),
        run.examples["test"],
        predictions,
        stack=JudgedStack(
            system=inputs.prompts[suite.candidate],
            adapter=folder / ADAPTER,
            model=find_local(suite.model, suite_folder=inputs.loaded.folder, cache=cache_folder()),
        ),
        progress=progress,
    )


def train_only(inputs: Inputs, target: Path, progress: Progress, *, clock: Clock) -> TrainingHistory:
    """Train the candidate into `target` and nothing else; all processes of an `accelerate launch` do it together.

    Raises:
        InvalidInputError: the folder exists, or the suite does not train.
    """
    quiet_libraries()
    from harness.train.processes import join_processes
    from harness.train.recipe import refuse_processes

    processes = join_processes()
    processes.decide(lambda: _refuse_target(inputs, target))
    suite = inputs.loaded.suite
    processes.decide(lambda: refuse_processes(suite.trainings[suite.candidate], processes))
    # What the others write is theirs alone and thrown away.
    with new_folder(target) if processes.is_main else tempfile.TemporaryDirectory() as building:
        workshop = _workshop_alone(inputs, progress, clock, processes)
        history = workshop.make_candidate(Path(building))
        processes.total(0)  # none of them failed, and so the folder is put in place
    assert history is not None  # the suite trains its candidate
    return history


def _refuse_target(inputs: Inputs, target: Path) -> None:
    if target.exists():
        raise InvalidInputError(f"{target} exists already; choose another folder")
    if inputs.adapter is not None:
        raise InvalidInputError("this suite's candidate comes from a folder; there is nothing to train")


def train_all(inputs: Inputs, folder: Path, progress: Progress, *, clock: Clock) -> None:
    """Make everything that a run of the suite trains, in an empty folder, so that runs find it in the cache."""
    quiet_libraries()
    from harness.train.processes import ALONE

    workshop = _workshop_alone(inputs, progress, clock, ALONE)
    workshop.make_candidate(folder / ADAPTER)
    workshop.make_others(folder)


def _workshop_alone(inputs: Inputs, progress: Progress, clock: Clock, processes: Processes) -> Workshop:
    """The base model for trainings that no run waits for."""
    from harness.engine.catalogue import locate
    from harness.engine.seeding import fix_threads

    def find() -> tuple[str, Path, str]:
        name, folder = locate(inputs.loaded.suite.model, suite_folder=inputs.loaded.folder, cache=cache_folder())
        return name, folder, digest_model_folder(folder)

    fix_threads()
    found = processes.decide(find)  # by the main one, which may have to fetch or convert it
    return replace(_open_workshop(inputs, *found, progress, clock, fresh=False), processes=processes)


def _note_start(inputs: Inputs, registry: Path, run_id: str, now: datetime) -> None:
    """Where the candidate is known already, say in the log of verdicts that it is judged again."""
    loaded, files = inputs.loaded, given_files(inputs)
    if files:
        log = log_path(registry, loaded.suite.suite)
        note_start(log, adapter=digest_tree(files), suite=loaded.digest, run_id=run_id, time=timestamp(now))


def _run_id(started: datetime, inputs: Inputs) -> str:
    """Time and a few digits of the inputs' digests."""
    stamp = started.strftime("%Y%m%d-%H%M%S")
    return f"{stamp}-{digest_tree({'suite': inputs.loaded.digest, **inputs.datasets.digests})[:6]}"
