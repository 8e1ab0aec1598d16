"""One run in progress: the systems of a suite on one base model, and the evidence that they give."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness import __version__
from harness.assembly import differing_answers, drop_settled, gains_settled
from harness.environment import numerics
from harness.errors import BrokenRunError, InvalidInputError
from harness.gate.training import LIVE_LOGIT_DIFFERENCE
from harness.preferring import ask_judges
from harness.prepare import Inputs
from harness.progress import Progress
from harness.provenance import git_state, library_versions
from harness.records import (
    BASE_MODEL,
    FORMAT_VERSION,
    BenchmarkResult,
    Counters,
    DriftRow,
    Example,
    Liveness,
    Prediction,
    Preference,
    RunManifest,
    SystemFact,
)
from harness.stats.sequential import permutation
from harness.store.runs import ADAPTER, TRAINED
from harness.suite.checks import ValidOutput
from harness.trust.digests import (
    digest_bytes,
    digest_file,
    digest_files,
    digest_model_folder,
    digest_tree,
    weights_digest,
)
from harness.trust.servable import is_servable

if TYPE_CHECKING:
    from harness.engine.recall import Recall
    from harness.engine.session import ModelSession
    from harness.store.answers import AnswerStore
    from harness.systems.interface import System
    from harness.systems.judge_model import JudgeModel

LIVENESS_PROMPTS = 8
PROBED_ROWS = 2


class Run:
    """One run in progress: the systems of the suite on one base model."""

    def __init__(
        self,
        inputs: Inputs,
        session: ModelSession,
        others: Mapping[str, ModelSession],
        folder: Path,
        digests: Mapping[str, str],
        store: AnswerStore | None,
        judges: Mapping[str, JudgeModel],
    ) -> None:
        """Prepare to answer; `others` holds the models of prompt arms that have one of their own.

        `digests` has those of all models and inputs; without a `store` everything is computed anew.
        """
        self._judges, self._others, self._share = judges, others, session.share
        for other in others.values():
            other.share = session.share
        self._inputs, self._session, self._folder = inputs, session, folder
        self._suite, self._digests = inputs.loaded.suite, digests
        self._adapters = {}
        self._read_late: dict[Path, Mapping[str, str]] = {}  # by an engine, from where it lies
        self._served = {name: digest_tree(digest_files(path)) for name, path in inputs.served_adapters.items()}
        for name, path in self._adapter_folders().items():
            given = inputs.admitted.get(name)
            files = given.files if given is not None else digest_files(path)
            self._adapters[name] = digest_tree(files)
            session.attach(name, path, files)
            if session.engine is not None and is_servable(path):
                session.engine.attach(name, path)
                self._read_late[path] = files
        if session.engine is not None:
            session.engine.start()
        self._probe_given()
        if store is not None:
            from harness.engine.recall import Recall

            session.recall = self._recall(store)
            for name, other in others.items():
                other.recall = Recall(store, numerics(), {None: weights_digest(digests[f"model:{name}"], None)})
        self.systems = self._build()
        # What is answered; fewer test examples, in another order, when the run stops early.
        self.examples = {"test": inputs.datasets.test, "probe": inputs.datasets.probe}

    @property
    def is_shard(self) -> bool:
        """Whether this is a part of a run only."""
        return self._share is not None

    def _recall(self, store: AnswerStore) -> Recall:
        from harness.engine.recall import Recall

        base = self._digests["base"]
        weights: dict[str | None, str] = {None: weights_digest(base, None)}
        weights |= {name: weights_digest(base, digest) for name, digest in self._adapters.items()}
        session = self._session
        engines = {name: session.engine_of(name) for name in weights}
        return Recall(store, numerics() | session.engine_facts, weights, engines)

    def _adapter_folders(self) -> dict[str, Path]:
        suite = self._suite
        given = {name: given.folder for name, given in self._inputs.baseline_adapters.items()}
        folders = {suite.candidate: self._folder / ADAPTER, **given}
        trained = [name for name in suite.trainings if name != suite.candidate]
        return folders | {name: self._folder / TRAINED / name for name in (*trained, *suite.replicas)}

    def _probe_given(self) -> None:
        """Refuse an adapter made elsewhere that is broken in a way that its files do not show.

        A baseline is then easy to beat, and a candidate has no answers to judge. A candidate without effect is judged.
        """
        from harness.engine.chat import with_system

        rows = self._inputs.datasets.test[:PROBED_ROWS]
        probed = {name: given for name, given in self._inputs.admitted.items() if name not in self._inputs.absent}
        for name, given in probed.items():
            ids = self._session.encode([with_system(row.messages, self._inputs.prompts[name]) for row in rows])
            tuned, base = (self._session.next_token_logits(ids, adapter=adapter) for adapter in (name, None))
            if not tuned.isfinite().all():
                raise InvalidInputError(f"{given.folder}: the logits of {name} are not finite; train it again")
            if name == self._suite.candidate or self._session.labels(name):
                continue
            if float((tuned - base).abs().max()) <= LIVE_LOGIT_DIFFERENCE:
                raise InvalidInputError(
                    f"{given.folder}: baseline {name} has no effect: its logits are the base model's; take it out"
                )

    def _build(self) -> list[System]:
        from harness.systems.build import Ingredients, LocalModel, build_system
        from harness.systems.endpoint import AdapterToLoad

        inputs, suite = self._inputs, self._suite
        made_of = Ingredients(
            specs=suite.systems,
            prompts=inputs.prompts,
            base=LocalModel(self._session, self._digests["base"]),
            decoding=suite.decoding,
            train=inputs.datasets.train,
            seed=suite.seed,
            own={name: LocalModel(other, self._digests[f"model:{name}"]) for name, other in self._others.items()},
            passages=inputs.passages,
            templates=inputs.templates,
            grammars=inputs.grammars,
            served={
                name: AdapterToLoad(folder=folder, digest=self._served[name])
                for name, folder in inputs.served_adapters.items()
            },
            adapters=self._adapters,
        )
        declared = [build_system(name, made_of) for name in suite.systems if name not in inputs.absent]
        return declared + [build_system(name, made_of, replica_of=suite.candidate) for name in suite.replicas]

    def _plan(self) -> list[tuple[System, str, tuple[Example, ...]]]:
        """Which system answers which data set."""
        plan = [(system, "test", self.examples["test"]) for system in self.systems]
        on_probe = any(isinstance(check, ValidOutput) and check.on == "probe" for check in self._suite.checks)
        if on_probe:
            probed = {self._suite.candidate, *self._suite.constrained}
            plan += [(system, "probe", self.examples["probe"]) for system in self.systems if system.name in probed]
        return plan

    def _times(self, dataset: str) -> int:
        """How often each example is answered."""
        return self._suite.decoding.samples if dataset == "test" else 1

    def answer(self, progress: Progress) -> list[Prediction]:
        """Every planned answer, system by system; in a mode that may stop early, block by block until settled."""
        if self._suite.statistics.mode != "fixed":
            return self._answer_until_settled(progress)
        predictions: list[Prediction] = []
        for system, dataset, examples in self._plan():
            if self._share is not None and system.kind == "endpoint":
                examples = tuple(example for example in examples if self._share.takes_next())
            predictions += _answers(system, dataset, examples, self._times(dataset), progress)
        return predictions

    def _answer_until_settled(self, progress: Progress) -> list[Prediction]:
        test, statistics = self._inputs.datasets.test, self._suite.statistics
        order = [test[index] for index in permutation(len(test), self._suite.seed)]
        by_system: dict[str, list[Prediction]] = {system.name: [] for system in self.systems}
        for first in range(0, len(order), statistics.look_every):
            block = tuple(order[first : first + statistics.look_every])
            for system in self.systems:
                by_system[system.name] += _answers(system, "test", block, self._times("test"), progress)
            self.examples["test"] = tuple(order[: first + len(block)])
            found = [prediction for answers in by_system.values() for prediction in answers]
            if gains_settled(
                self._suite,
                self.examples["test"],
                found,
                absent=self._inputs.absent,
                validator=self._inputs.validator,
                pool=len(test),
            ):
                progress.say(f"settled after {len(self.examples['test'])} of {len(test)} test examples")
                break
        probes = [item for item in self._plan() if item[1] != "test"]
        for system, dataset, examples in probes:
            found += _answers(system, dataset, examples, self._times(dataset), progress)
        return found

    def liveness(self, predictions: list[Prediction]) -> Liveness:
        """How far the candidate is from the base model under the same prompt."""
        import torch

        candidate, prompts = self._suite.candidate, self._inputs.prompts
        twin = next(name for name in self._suite.bare_prompts if prompts[name] == prompts[candidate])
        from harness.engine.chat import with_system

        rows = self.examples["test"][:LIVENESS_PROMPTS]
        ids = self._session.encode([with_system(row.messages, prompts[candidate]) for row in rows])
        with_adapter = self._session.next_token_logits(ids, adapter=candidate)
        without = self._session.next_token_logits(ids, adapter=None)
        finite = bool(torch.isfinite(with_adapter).all())
        asked, differing = differing_answers(predictions, candidate, twin)
        return Liveness(
            prompts=asked,
            differing_answers=differing,
            max_logit_difference=float((with_adapter - without).abs().max()) if finite else 0.0,
            logits_finite=finite,
        )

    def benchmark(self, progress: Progress) -> list[BenchmarkResult]:
        """The base model and the candidate on every benchmark."""
        if not self._suite.benchmarks:
            return []
        from harness.benchmarks.run import run_benchmark, run_until_settled
        from harness.benchmarks.tasks import plan_benchmark

        suite, results = self._suite, []
        arms = {BASE_MODEL: None, suite.candidate: suite.candidate}
        for name, declared in suite.benchmarks.items():
            tasks = plan_benchmark(name, declared, folder=self._inputs.loaded.folder, seed=suite.seed)
            progress.start(f"benchmark {name}", 0)
            if suite.statistics.mode == "fixed" or declared.per_subject is not None:
                results += [run_benchmark(tasks, self._session, system=s, adapter=a) for s, a in arms.items()]
            else:
                results += run_until_settled(
                    tasks,
                    self._session,
                    arms,
                    seed=suite.seed,
                    every=suite.statistics.look_every,
                    settled=lambda found: drop_settled(suite, found),
                )
        return results

    def drift(self, progress: Progress) -> list[DriftRow]:
        """The candidate's divergence from the base model on the general rows of each check that asks for it."""
        from harness.engine.chat import training_ids

        found = []
        for name, examples in self._inputs.general.items():
            progress.start(f"divergence on {name}", len(examples))
            for example in examples:
                if self._share is not None and not self._share.takes_next():
                    continue
                row = training_ids(self._session.tokenizer, example.messages, example.target or "")
                kl = self._session.divergence(*row, adapter=self._suite.candidate, where=example.source)
                found.append(DriftRow(prompts=name, example_id=example.id, kl=kl, tokens=len(row[1])))
                progress.advance()
        return sorted(found, key=lambda row: (row.prompts, row.example_id))

    def preferences(self, predictions: list[Prediction], progress: Progress) -> list[Preference]:
        """What each judge prefers of the candidate's and a baseline's answers, where a check asks for it."""
        return ask_judges(
            self._suite,
            self._judges,
            self.examples["test"],
            predictions,
            absent=self._inputs.absent,
            progress=progress,
        )

    def recheck(self, progress: Progress) -> None:
        """Compute a small sample of what was read from the store again.

        Raises:
            BrokenRunError: the store disagrees with this machine; its rows are then forgotten.
        """
        recalls = [session.recall for session in (self._session, *self._others.values())]
        if served := [recall for recall in recalls if recall is not None and recall.served]:
            meter = self._session.meter
            rows = sum(recall.recheck(self._suite.seed) for recall in served)
            read = f"{meter.stored_answers:,} answers and {meter.stored_scores:,} scores"
            progress.say(f"{read} were read from the store; {rows} of them computed again, and equal")

    def refuse_other_files(self) -> None:
        """What the verdict will speak of must be what was judged, also where a server loaded it after it was read.

        Raises:
            BrokenRunError: it changed; what was stored of this run's weights is then forgotten.
        """
        base = self._session.base.base_folder
        judged = {self._folder / ADAPTER: self._adapters[self._suite.candidate]}
        judged |= {folder: self._served[name] for name, folder in self._inputs.served_adapters.items()}
        changed = [folder for folder, digest in judged.items() if digest_tree(digest_files(folder)) != digest]
        for folder, files in self._read_late.items():
            if any(digest_file(folder / name) != digest for name, digest in files.items()):
                changed.append(folder)
        if digest_model_folder(base) != self._digests["base"]:
            changed.append(base)
        if changed:
            why = f"{changed[0]}: changed while it was judged"
            if (recall := self._session.recall) is not None:
                for weights in set(recall.weights.values()):  # what was stored may be of the other files
                    recall.store.refuse(weights, why)
            raise BrokenRunError(f"{why}; run the suite again")

    def manifest(
        self,
        seconds: Mapping[str, float],
        counters: Counters,
        times: tuple[datetime, datetime],
        command: str,
        threads: int,
    ) -> RunManifest:
        """Who, what and when; its `evidence` is filled when the run is finished."""
        from harness.engine.meter import peak_bytes

        inputs, suite = self._inputs, self._suite
        commit, dirty = git_state(inputs.loaded.folder)
        digests = {"suite": inputs.loaded.digest, **self._digests, **inputs.datasets.digests}
        digests |= {f"adapter:{name}": digest for name, digest in (self._adapters | self._served).items()}
        digests |= {
            f"prompt:{name}": digest_bytes(text.encode("utf-8")) for name, text in inputs.prompts.items() if text
        }
        digests |= {
            f"rubric:{name}": digest_bytes(judge.rubric.encode("utf-8")) for name, judge in self._judges.items()
        }
        if inputs.schema is not None:
            digests["schema"] = digest_bytes(inputs.schema)
        if inputs.lock is not None:
            digests["lock"] = inputs.lock.digest
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
                SystemFact(name=s.name, kind=s.kind, role=s.role, signature=s.signature(), note=s.note())
                for s in self.systems
            ),
            absent_systems=inputs.absent,
            candidate_system=inputs.prompts[suite.candidate],
            planned={
                f"{system.name}/{dataset}": len(examples) * self._times(dataset)
                for system, dataset, examples in self._plan()
            },
            pool={"test": len(inputs.datasets.test), "probe": len(inputs.datasets.probe)},
            digests=digests,
            evidence={},
            versions={**library_versions(), **self._session.engine_facts, "threads": str(threads)},
            overrides=inputs.loaded.overrides,
            counters=counters,
            seconds=seconds,
            peak_bytes=peak_bytes(),
            shard=str(self._share) if self._share is not None else None,
            locked=inputs.lock.locked if inputs.lock is not None else None,
            warnings=inputs.warnings,
        )


def _answers(
    system: System, dataset: str, examples: tuple[Example, ...], times: int, progress: Progress
) -> list[Prediction]:
    """One system's answers in the order of the examples, each answered as many times as it says."""
    progress.start(f"answer {dataset} with {system.name}", len(examples) * times)
    place = {example.id: number for number, example in enumerate(examples)}
    answers = []
    for prediction in system.answer(examples, dataset):
        answers.append(prediction)
        progress.advance()
    return sorted(answers, key=lambda answer: (place[answer.example_id], answer.sample))
