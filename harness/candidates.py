"""Make what a run judges: train it, fetch it from an earlier training of the same inputs, or copy it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.clock import Clock
from harness.environment import installed_version, source_digest
from harness.errors import InvalidInputError
from harness.files import write_json
from harness.prepare import Inputs
from harness.progress import Progress
from harness.records import TrainingHistory
from harness.store.facts import to_plain
from harness.store.runs import HISTORIES, TRAINED
from harness.store.trainings import TrainingStore
from harness.strict_json import canonical
from harness.suite.training import MIXED, Train
from harness.trust.admission import copy_admitted
from harness.trust.digests import digest_bytes

if TYPE_CHECKING:
    from harness.engine.loading import LoadedModel
    from harness.engine.meter import Meter
    from harness.engine.session import ModelSession
    from harness.engine.share import Share
    from harness.train.processes import Processes
    from harness.train.rows import TrainingRows


def training_rows(inputs: Inputs, name: str) -> TrainingRows:
    """What a system that is trained here learns from."""
    from harness.train.rows import TrainingRows

    declared, split = inputs.loaded.suite.trainings[name], inputs.datasets.trainings[name]
    return TrainingRows(
        train=split.train,
        mix=inputs.mix if declared.objective in MIXED else (),
        validation=split.validation,
        system=inputs.prompts[name],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What every training of one run shares.

    Args:
        store: where trainings are kept; None trains everything anew.
        numerics: what the numbers of this machine depend on.
        processes: those that train together, each with a workshop of its own; what is kept, the main one writes.
    """

    inputs: Inputs
    base: LoadedModel
    base_digest: str
    numerics: Mapping[str, str]
    store: TrainingStore | None
    meter: Meter
    progress: Progress
    clock: Clock
    processes: Processes

    def session(self, share: Share | None) -> ModelSession:
        """The base model as systems answer with it, all of what they ask or one share of it."""
        from harness.engine.session import ModelSession
        from harness.engine.vllm_engine import declared_engine

        engine = declared_engine(self.inputs.loaded.suite, self.base, self.meter)
        return ModelSession(self.base, self.meter, share, engine)

    def make_candidate(self, target: Path) -> TrainingHistory | None:
        """Train the candidate into `target`; or copy the one that was trained elsewhere, which has no history."""
        suite = self.inputs.loaded.suite
        given = self.inputs.admitted.get(suite.candidate)
        if given is None:
            return self._train(suite.candidate, suite.seed, target)
        copy_admitted(given, target)
        return None

    def world_size(self, history: TrainingHistory | None) -> int | None:
        """How many processes trained the candidate, also one that is given, if this machine made it; None: unknown."""
        given = self.inputs.admitted.get(self.inputs.loaded.suite.candidate)
        if given is not None and self.store is not None:
            history = self.store.history_of(given.files)
        return history.world_size if history is not None else None

    def make_others(self, run: Path) -> None:
        """Train into a run folder the baselines with a training of their own, and the recipe with further seeds.

        Raises:
            InvalidInputError: a baseline whose training gave nothing.
        """
        suite = self.inputs.loaded.suite
        others = {name: (name, suite.seed) for name in suite.trainings if name != suite.candidate}
        others |= {name: (suite.candidate, seed) for name, seed in suite.replicas.items()}
        for name, (trained_as, seed) in others.items():
            self.progress.say(f"training {name}")
            history = self._train(trained_as, seed, run / TRAINED / name)
            if name == trained_as and (history.diverged or not history.weights_finite or history.best_step == 0):
                raise InvalidInputError(
                    f"systems.{name}.train: the training of this baseline gave nothing ({history.stop_reason}), so it "
                    "would be easy to beat; change how it trains, or take it out"
                )
            write_json(run / HISTORIES / f"{name}.json", to_plain(history))

    def _train(self, name: str, seed: int, target: Path) -> TrainingHistory:
        from harness.train.checkpoints import Checkpoints
        from harness.train.recipe import Job, train_candidate

        declared, rows = self.inputs.loaded.suite.trainings[name], training_rows(self.inputs, name)
        decide = self.processes.decide

        def train(checkpoints: Checkpoints | None) -> TrainingHistory:
            job = Job(seed=seed, target=target, checkpoints=checkpoints, processes=self.processes)
            return train_candidate(self.base, rows, declared, job, meter=self.meter, progress=self.progress)

        store = self.store
        if store is None:
            begun = self.clock().isoformat()
            return replace(train(None), begun=begun)
        key = self._key(declared, rows, seed)
        if (history := decide(lambda: store.fetch(key, target))) is not None:
            self.progress.say("the same training was made before; its result is read back")
            return history
        with contextlib.ExitStack() as held:
            folder = decide(lambda: held.enter_context(store.working(key)))
            # An interrupted training that goes on here began before it was interrupted, not now.
            since = decide(lambda: store.begun(key, self.clock()))
            history = replace(train(Checkpoints(folder, key) if folder is not None else None), begun=since)
            if folder is not None and self.processes.is_main:
                store.keep(key, target, history)
        return history

    def _key(self, declared: Train, rows: TrainingRows, seed: int) -> str:
        """SHA-256 over everything that the result of a training depends on."""
        whole = {
            "recipe": source_digest("train"),  # the engine's is among the numerics
            "confined": source_digest("confined"),  # where templates are rendered
            "quantised by": installed_version("bitsandbytes") if declared.quantize else None,
            "base": self.base_digest,
            "name": self.base.name,
            "train": declared.model_dump(mode="json"),
            "rows": digest_bytes(repr(asdict(rows)).encode("utf-8")),
            "seed": seed,
            "numerics": dict(self.numerics),
            # Sums over processes are made in another order, and their dropout is drawn apart: close to the numbers of
            # one process, and not the same.
            "processes": self.processes.count,
        }
        return digest_bytes(canonical(whole).encode("utf-8"))
