"""Read and check everything a run would use, before a model is loaded: what can be refused is refused here."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.benchmarks.shown import refuse_unusable_benchmark
from harness.data.amounts import scarce
from harness.data.documents import read_documents
from harness.data.formats import describe, to_examples
from harness.data.mixing import draw_mix
from harness.data.out_of_grammar import refuse_unwritable
from harness.data.reading import read_declared
from harness.data.splits import Datasets, cluster_repeats, load_datasets, prompt_key, refuse_duplicate_ids
from harness.engine.grammar import lark_grammar, regex_grammar, schema_grammar
from harness.engine.local_models import find_local
from harness.environment import cache_folder
from harness.errors import EvidenceRefusedError, InvalidInputError
from harness.gate.requirements import (
    refuse_clusters,
    refuse_dependent,
    refuse_empty_slices,
    refuse_unknown_scorers,
    refuse_unscorable_examples,
)
from harness.limits import TEXT_BYTES, read_within
from harness.records import Example, Passage
from harness.scoring.json_schema import SchemaValidator, vacuous
from harness.store.baselines import PromotedBaseline, find_promoted
from harness.strict_json import StrictJsonError, parse
from harness.suite.checks import KLDivergence, ServedAsJudged
from harness.suite.declaration import HubModel, LocalModel, ModelRef
from harness.suite.load import LoadedSuite
from harness.suite.rules import system_file
from harness.suite.systems import AdapterSystem, ConstrainedSystem, EndpointSystem, FewShotSystem, RetrievalSystem
from harness.suite.training import LOW_RANK
from harness.systems.judge_model import read_rubric
from harness.trust.admission import Admitted, admit
from harness.trust.expected_tensors import BaseWeights, read_base
from harness.trust.locks import SuiteLock
from harness.trust.servable import refuse_unservable
from harness.trust.targets import refuse_unknown_targets

# Divergences are skewed: with 20 rows the rare large ones are missed, and 12 % of candidates at the limit would pass.
FEWEST_GENERAL_ROWS = 100
# Other digests of a manifest.
RESERVED = {"suite", "base", "schema", "inputs", "ground", "lock"}
RESERVED_BEGINNINGS = ("base:", "adapter:", "prompt:", "model:", "rubric:")
ADVISED_RATES = (1e-4, 5e-4)  # outside of it a learning rate is unusual for LoRA


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything a run needs, read and found valid, before a model is loaded."""

    loaded: LoadedSuite
    datasets: Datasets
    mix: tuple[Example, ...]  # the general rows that are mixed into training
    general: Mapping[str, tuple[Example, ...]]  # file of a kl_divergence check -> its rows that are not trained on
    schema: bytes | None
    validator: SchemaValidator | None
    prompts: Mapping[str, str | None]  # system -> text of its system message
    promoted: PromotedBaseline | None
    absent: Mapping[str, str]
    admitted: Mapping[str, Admitted]  # system -> its adapter, for those that are not trained here
    passages: Mapping[str, tuple[Passage, ...]]  # retrieval arm -> those of its documents
    templates: Mapping[str, str]  # retrieval arm -> the text of its template
    grammars: Mapping[str, str]  # constrained arm -> what its answers may be
    warnings: tuple[str, ...]
    lock: SuiteLock | None = None  # the one that all of this was found to agree with

    @property
    def adapter(self) -> Path | None:
        """The candidate's folder, when it was trained elsewhere."""
        given = self.admitted.get(self.loaded.suite.candidate)
        return given.folder if given is not None else None

    @property
    def baseline_adapters(self) -> dict[str, Admitted]:
        """Baseline -> the adapter that was made elsewhere or promoted, for those that take part."""
        left_out = {self.loaded.suite.candidate, *self.absent}
        return {name: given for name, given in self.admitted.items() if name not in left_out}

    @property
    def served_adapters(self) -> dict[str, Path]:
        """Endpoint arm -> the folder of the adapter that its server is to load."""
        return {
            name: self.loaded.resolve(spec.served_adapter.path)
            for name, spec in self.loaded.suite.systems.items()
            if isinstance(spec, EndpointSystem) and spec.served_adapter is not None
        }


def read_inputs(loaded: LoadedSuite, *, registry: Path, adapter: Path | None = None) -> Inputs:
    """Read and check everything that a run of this suite would use.

    Raises:
        InvalidInputError: data, schema, prompts or adapters that cannot be used.
        EvidenceRefusedError: the promoted adapter is not the one that was promoted.
    """
    suite = loaded.suite
    refuse_unknown_scorers(suite)
    promoted = find_promoted(registry, suite.suite)
    admitted = _admit_given(loaded, promoted, adapter)
    datasets = load_datasets(loaded)
    refuse_clusters(suite, datasets.test)
    _refuse_too_many_shots(loaded, datasets)
    refuse_unscorable_examples(suite, datasets.test)
    refuse_empty_slices(suite, {tag for example in datasets.test for tag in example.tags})
    for name, benchmark in suite.benchmarks.items():
        refuse_unusable_benchmark(name, benchmark, loaded.folder)
    schema = _read_schema(loaded)
    validator = SchemaValidator(parse(schema.decode("utf-8"))) if schema is not None else None
    grammars = written_grammars(loaded)
    doubts = tuple(refuse_unwritable(loaded, datasets.test, grammars, validator))
    absent = {
        name: f"no adapter of suite {suite.suite} was promoted yet"
        for name, spec in suite.systems.items()
        if isinstance(spec, AdapterSystem) and spec.source == "promoted" and promoted is None
    }
    given = admitted.get(suite.candidate)
    _refuse_unservable(loaded, given.folder if given is not None else None)
    for name, train in suite.trainings.items():
        if train.quantize is not None and name not in admitted:
            _refuse_quantisation(name, train.quantize)
    refuse_unknown_targets(loaded, lambda: _local_base(loaded), besides=admitted)
    for name, judge in suite.judges.items():
        read_rubric(name, loaded.resolve(judge.rubric))
    passages, digests = _read_documents(loaded)
    datasets.digests.update(digests)
    mix = _draw_mix(loaded, datasets)
    general = _general_rows(loaded, datasets, mix)
    _refuse_reserved_names(datasets.digests)
    return Inputs(
        loaded=loaded,
        datasets=datasets,
        mix=mix,
        general=general,
        schema=schema,
        validator=validator,
        prompts={name: system_message(loaded, name, promoted) for name in suite.systems},
        promoted=promoted,
        absent=absent,
        admitted=admitted,
        passages=passages,
        templates=_read_templates(loaded),
        grammars=grammars | _schema_grammars(loaded, schema, grammars.keys()),
        warnings=(*_other_bases(suite.model, admitted), *doubts, *_warnings(loaded, datasets)),
    )


def _admit_given(loaded: LoadedSuite, promoted: PromotedBaseline | None, adapter: Path | None) -> dict[str, Admitted]:
    """System -> its adapter, for those that were made elsewhere or promoted; each is read before it is believed."""
    suite, folders = loaded.suite, {}
    for name, spec in suite.systems.items():
        if isinstance(spec, AdapterSystem) and spec.source is not None and spec.source != "promoted":
            folders[name] = loaded.resolve(spec.source)
        elif isinstance(spec, AdapterSystem) and spec.source == "promoted" and promoted is not None:
            folders[name] = promoted.adapter
    if adapter is not None:
        folders[suite.candidate] = adapter
    if suite.candidate in folders and suite.replicas:
        raise InvalidInputError(
            f"train.seeds: {suite.train.seeds if suite.train else 1} trainings judge a recipe, and the adapter "
            f"{folders[suite.candidate]} is given; take `recipe_better_than` and `seeds` out to judge it alone"
        )
    if not folders:
        return {}
    base = _local_base(loaded)
    admitted = {name: admit(folder, base) for name, folder in folders.items()}
    for name, given in admitted.items():
        if promoted is not None and given.folder == promoted.adapter and name != suite.candidate:
            _refuse_other_files(promoted, given)
    return admitted


def _local_base(loaded: LoadedSuite) -> BaseWeights:
    return read_base(find_local(loaded.suite.model, suite_folder=loaded.folder, cache=cache_folder()))


def _refuse_other_files(promoted: PromotedBaseline, given: Admitted) -> None:
    """A baseline that was made worse since its promotion would be easier to beat."""
    for name in sorted(promoted.record.adapter_files.keys() | given.files.keys()):
        if promoted.record.adapter_files.get(name) != given.files.get(name):
            raise EvidenceRefusedError(
                f"{given.folder / name}: not the file that was promoted as {promoted.record.name}; bring it back, for "
                "example from version control, or promote another run"
            )


def hold_to_base(inputs: Inputs, base_folder: Path, base_digest: str) -> Inputs:
    """Hold targets and adapters to the base model now on this machine; says where it is another than at a promotion.

    Raises:
        InvalidInputError: a target or an adapter does not go with it, or an adapter changed since it was read.
    """
    refuse_unknown_targets(inputs.loaded, lambda: read_base(base_folder), besides=inputs.admitted)
    if not inputs.admitted:
        return inputs
    base, promoted = read_base(base_folder), inputs.promoted
    for given in inputs.admitted.values():
        if admit(given.folder, base).files != given.files:
            raise InvalidInputError(f"{given.folder}: changed since it was read; run again when nothing writes to it")
    arms = [name for name, given in inputs.baseline_adapters.items() if promoted and given.folder == promoted.adapter]
    if promoted is None or not arms or promoted.record.digests.get("base") == base_digest:
        return inputs
    warning = f"{arms[0]} was promoted on a base model with other files; it is judged on this one"
    return replace(inputs, warnings=(*inputs.warnings, warning))


def _other_bases(model: ModelRef, admitted: Mapping[str, Admitted]) -> Iterator[str]:
    """Adapters that say that they were made for another base model; only its shapes show whether they fit."""
    match model:
        case HubModel():
            ours = model.hub
        case LocalModel():
            ours = model.path
        case _:
            ours = model
    for name, given in admitted.items():
        theirs = given.base_name
        if theirs is not None and Path(theirs.split("@")[0]).name.casefold() != Path(ours).name.casefold():
            yield f"the adapter of {name} says that its base model is {theirs}; it is judged on {ours}"


def _refuse_reserved_names(names: Iterable[str]) -> None:
    """A data file's digest must not stand in the manifest in the place of another one."""
    for name in names:
        if name in RESERVED or name.startswith(RESERVED_BEGINNINGS):
            raise InvalidInputError(f"data: '{name}' is what the manifest calls something else; rename the file")


def _refuse_quantisation(name: str, bits: str) -> None:
    """Find out before anything is loaded that this machine cannot train on a quantised model."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InvalidInputError(
            f"the training of {name}: `quantize: {bits}` needs bitsandbytes, which is not installed here; "
            "`pip install 'lora-harness[quantised]'`, or take `quantize` out"
        )


def _refuse_unservable(loaded: LoadedSuite, candidate: Path | None) -> None:
    """An adapter that a server is to load must be one that it can serve as it is."""
    for spec in loaded.suite.systems.values():
        if isinstance(spec, EndpointSystem) and (served := spec.served_adapter) is not None:
            refuse_unservable(loaded.resolve(served.path), max_lora_rank=served.max_lora_rank)
    for check in loaded.suite.checks:
        if isinstance(check, ServedAsJudged) and check.served_adapter is not None and candidate is not None:
            refuse_unservable(candidate, max_lora_rank=check.served_adapter.max_lora_rank)


def _draw_mix(loaded: LoadedSuite, datasets: Datasets) -> tuple[Example, ...]:
    declared, suite = loaded.suite.data.mix, loaded.suite
    if declared is None:
        return ()
    rows = datasets.trainings[suite.candidate].train if suite.candidate in suite.trainings else datasets.train
    return draw_mix(len(rows), datasets.mix, share=declared.share, seed=suite.seed)


def _general_rows(loaded: LoadedSuite, datasets: Datasets, mix: tuple[Example, ...]) -> dict[str, tuple[Example, ...]]:
    trained = {prompt_key(row) for row in mix}
    general = {}
    for index, check in enumerate(loaded.suite.checks):
        if isinstance(check, KLDivergence):
            source = read_declared(loaded, check.prompts)
            rows, datasets.formats[check.prompts] = to_examples(source, labelled=True), describe(source)
            datasets.digests[check.prompts] = source.digest
            left = cluster_repeats(tuple(row for row in rows if prompt_key(row) not in trained))
            refuse_duplicate_ids(check.prompts, left)
            refuse_dependent(f"checks.{index}.prompts", left)
            if len(left) < FEWEST_GENERAL_ROWS:
                raise InvalidInputError(
                    f"checks.{index}.prompts: {len(left)} rows of {check.prompts} are not trained on; "
                    f"at least {FEWEST_GENERAL_ROWS} are needed"
                )
            general[check.prompts] = left
    return general


def system_message(loaded: LoadedSuite, name: str, promoted: PromotedBaseline | None) -> str | None:
    """A system's own message; the promoted adapter keeps the one it was judged with; others share the bare one."""
    suite = loaded.suite
    spec, path = suite.systems[name], system_file(suite, name)
    if path is None and isinstance(spec, AdapterSystem) and spec.source == "promoted":
        return promoted.record.system if promoted else None
    if path is None:
        return None
    if not (text := _read_text(loaded.resolve(path)).strip()):
        raise InvalidInputError(f"{loaded.resolve(path)}: the system message is empty")
    return text


def _read_text(path: Path) -> str:
    try:
        return read_within(path, TEXT_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: cannot be read as UTF-8 text: {error}") from None


def _read_documents(loaded: LoadedSuite) -> tuple[dict[str, tuple[Passage, ...]], dict[str, str]]:
    """The passages of each retrieval arm that has documents, and the digests of their folders."""
    passages, digests = {}, {}
    for name, spec in loaded.suite.systems.items():
        if isinstance(spec, RetrievalSystem) and spec.documents is not None:
            documents = read_documents(loaded.resolve(spec.documents))
            passages[name], digests[spec.documents] = documents.passages, documents.digest
    return passages, digests


def _read_templates(loaded: LoadedSuite) -> dict[str, str]:
    specs = loaded.suite.systems.items()
    named = {name: spec.template for name, spec in specs if isinstance(spec, RetrievalSystem)}
    texts = {name: _read_text(loaded.resolve(path)).strip() for name, path in named.items() if path is not None}
    for name, text in texts.items():
        for place in ("{passages}", "{question}"):
            if place not in text:
                raise InvalidInputError(f"{loaded.resolve(str(named[name]))}: the template must contain {place}")
    return texts


def _refuse_too_many_shots(loaded: LoadedSuite, datasets: Datasets) -> None:
    rows = len(datasets.train)
    for name, spec in loaded.suite.systems.items():
        if isinstance(spec, FewShotSystem) and spec.shots > rows:
            raise InvalidInputError(f"systems.{name}: {spec.shots} shots need as many training rows; there are {rows}")


def written_grammars(loaded: LoadedSuite) -> dict[str, str]:
    """Constrained arm -> its grammar, of those with a regular expression or a Lark grammar of their own.

    Raises:
        InvalidInputError: it cannot constrain an answer, or cannot be read.
    """
    grammars = {}
    for name, spec in loaded.suite.systems.items():
        if not isinstance(spec, ConstrainedSystem):
            continue
        try:
            if spec.regex is not None:
                grammars[name] = regex_grammar(spec.regex)
            elif spec.lark is not None:
                grammars[name] = lark_grammar(_read_text(loaded.resolve(spec.lark)))
        except InvalidInputError as error:
            raise InvalidInputError(f"systems.{name}: {error}") from None
    return grammars


def _schema_grammars(loaded: LoadedSuite, schema: bytes | None, written: Collection[str]) -> dict[str, str]:
    """Constrained arm -> the grammar of the schema, of those without one that is written."""
    grammars = {}
    for name, spec in loaded.suite.systems.items():
        if isinstance(spec, ConstrainedSystem) and name not in written:
            assert schema is not None  # the suite was found to be complete
            try:
                grammars[name] = schema_grammar(parse(schema.decode("utf-8")))
            except InvalidInputError as error:
                raise InvalidInputError(f"systems.{name}: {error}") from None
    return grammars


def _read_schema(loaded: LoadedSuite) -> bytes | None:
    if loaded.suite.data.schema_file is None:
        return None
    path = loaded.resolve(loaded.suite.data.schema_file)
    text = _read_text(path)
    try:
        schema = parse(text)
    except StrictJsonError as error:
        where = f"{path}:{error.line}"
        raise InvalidInputError(f"{where}: not valid JSON at column {error.column}: {error.problem}") from None
    try:
        reason = vacuous(schema)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from None
    if reason:
        raise InvalidInputError(f"{path}: {reason}; such a schema cannot find anything invalid")
    return text.encode("utf-8")


def _warnings(loaded: LoadedSuite, datasets: Datasets) -> Iterator[str]:
    suite = loaded.suite
    if (train := suite.trainings.get(suite.candidate)) is not None:
        low, high = ADVISED_RATES
        usual = train.method in LOW_RANK and train.objective == "sft"
        if usual and not low <= train.learning_rate <= high:
            yield f"train.learning_rate {train.learning_rate:g} is outside {low:g} to {high:g}, usual for LoRA"
    yield from (f"{found.where}: {found.what}; {found.why}" for found in scarce(loaded, datasets))
