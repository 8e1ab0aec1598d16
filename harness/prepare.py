"""Read and check everything a run would use, before a model is loaded: what can be refused is refused here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.data.formats import to_examples
from harness.data.mixing import draw_mix
from harness.data.sources import read_json_lines
from harness.data.splits import Datasets, load_datasets, prompt_key, refuse_duplicate_ids
from harness.errors import InvalidInputError
from harness.gate.requirements import refuse_empty_slices, refuse_unknown_scorers, refuse_unscorable_examples
from harness.records import Example
from harness.scoring.json_schema import SchemaValidator, vacuous
from harness.store.baselines import PromotedBaseline, find_promoted
from harness.strict_json import StrictJsonError, parse
from harness.suite.load import LoadedSuite
from harness.suite.schema import AdapterSystem, KLDivergence, RecipeBetterThan

# Divergences are skewed: with 20 rows the rare large ones are missed, and 12 % of candidates at the limit would pass.
FEWEST_GENERAL_ROWS = 100
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
    adapter: Path | None  # the candidate's, when it was trained elsewhere
    warnings: tuple[str, ...]

    @property
    def baseline_adapters(self) -> dict[str, Path]:
        """Baseline -> the folder of its adapter, for those that take part."""
        folders = {}
        for name, spec in self.loaded.suite.systems.items():
            if isinstance(spec, AdapterSystem) and spec.role == "baseline" and name not in self.absent:
                promoted = self.promoted.adapter if self.promoted is not None else None
                folder = promoted if spec.source == "promoted" else self.loaded.resolve(str(spec.source))
                assert folder is not None  # else it is absent
                folders[name] = folder
        return folders


def read_inputs(loaded: LoadedSuite, *, registry: Path, adapter: Path | None = None) -> Inputs:
    """Read and check everything that a run of this suite would use.

    Raises:
        InvalidInputError: data, schema, prompts or adapters that cannot be used.
    """
    suite = loaded.suite
    refuse_unknown_scorers(suite)
    datasets = load_datasets(loaded)
    _refuse_clusters(loaded, datasets)
    refuse_unscorable_examples(suite, datasets.test)
    refuse_empty_slices(suite, {tag for example in datasets.test for tag in example.tags})
    schema = _read_schema(loaded)
    promoted = find_promoted(registry, suite.suite)
    absent = {
        name: f"no adapter of suite {suite.suite} was promoted yet"
        for name, spec in suite.systems.items()
        if isinstance(spec, AdapterSystem) and spec.source == "promoted" and promoted is None
    }
    candidate = suite.systems[suite.candidate]
    assert isinstance(candidate, AdapterSystem)
    if adapter is None and candidate.source is not None:
        adapter = loaded.resolve(candidate.source)
    if adapter is not None and suite.replicas:
        raise InvalidInputError(
            f"train.seeds: {suite.train.seeds if suite.train else 1} trainings judge a recipe, and the adapter "
            f"{adapter} is given; take `recipe_better_than` and `seeds` out to judge this adapter alone"
        )
    for folder in [adapter, *(loaded.resolve(s) for s in _adapter_folders(loaded))]:
        if folder is not None and not (folder / "adapter_config.json").is_file():
            raise InvalidInputError(f"{folder}: not an adapter folder (adapter_config.json is missing)")
    mix = _draw_mix(loaded, datasets)
    return Inputs(
        loaded=loaded,
        datasets=datasets,
        mix=mix,
        general=_general_rows(loaded, mix),
        schema=schema,
        validator=SchemaValidator(parse(schema.decode("utf-8"))) if schema is not None else None,
        prompts={name: _system_message(loaded, name, promoted) for name in suite.systems},
        promoted=promoted,
        absent=absent,
        adapter=adapter,
        warnings=tuple(_warnings(loaded, datasets)),
    )


def _refuse_clusters(loaded: LoadedSuite, datasets: Datasets) -> None:
    """Clusters need a test that knows of them."""
    suite = loaded.suite
    if not any(example.cluster for example in datasets.test):
        return
    if suite.statistics.mode != "fixed":
        raise InvalidInputError(
            f"statistics.mode: {suite.statistics.mode} bets on independent examples, and the test rows have clusters"
        )
    for index, check in enumerate(suite.checks):
        if isinstance(check, RecipeBetterThan):
            raise InvalidInputError(
                f"checks.{index}: `recipe_better_than` takes the examples as independent, and the test rows have "
                "clusters"
            )


def _draw_mix(loaded: LoadedSuite, datasets: Datasets) -> tuple[Example, ...]:
    declared = loaded.suite.data.mix
    if declared is None:
        return ()
    return draw_mix(len(datasets.train), datasets.mix, share=declared.share, seed=loaded.suite.seed)


def _general_rows(loaded: LoadedSuite, mix: tuple[Example, ...]) -> dict[str, tuple[Example, ...]]:
    trained = {prompt_key(row) for row in mix}
    general = {}
    for index, check in enumerate(loaded.suite.checks):
        if isinstance(check, KLDivergence):
            rows = to_examples(read_json_lines(loaded.resolve(check.prompts)), labelled=True)
            left = tuple(row for row in rows if prompt_key(row) not in trained)
            refuse_duplicate_ids(check.prompts, left)
            if len(left) < FEWEST_GENERAL_ROWS:
                raise InvalidInputError(
                    f"checks.{index}.prompts: {len(left)} rows of {check.prompts} are not trained on; "
                    f"at least {FEWEST_GENERAL_ROWS} are needed"
                )
            general[check.prompts] = left
    return general


def _adapter_folders(loaded: LoadedSuite) -> Iterator[str]:
    for spec in loaded.suite.systems.values():
        if isinstance(spec, AdapterSystem) and spec.role == "baseline" and spec.source not in {None, "promoted"}:
            yield str(spec.source)


def _system_message(loaded: LoadedSuite, name: str, promoted: PromotedBaseline | None) -> str | None:
    """A system's own message; the promoted adapter keeps the one it was judged with; others share the bare one."""
    spec = loaded.suite.systems[name]
    if spec.system is None and isinstance(spec, AdapterSystem) and spec.source == "promoted":
        return promoted.record.system if promoted else None
    path = spec.system
    if path is None and spec.kind != "prompt":
        path = next(s.system for s in loaded.suite.systems.values() if s.kind == "prompt")
    if path is None:
        return None
    try:
        text = loaded.resolve(path).read_bytes().decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{loaded.resolve(path)}: cannot be read as UTF-8 text: {error}") from None
    if not text:
        raise InvalidInputError(f"{loaded.resolve(path)}: the system message is empty")
    return text


def _read_schema(loaded: LoadedSuite) -> bytes | None:
    if loaded.suite.data.schema_file is None:
        return None
    path = loaded.resolve(loaded.suite.data.schema_file)
    content = path.read_bytes()
    try:
        schema = parse(content.decode("utf-8"))
    except (UnicodeDecodeError, StrictJsonError) as error:
        raise InvalidInputError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(schema, dict):
        raise InvalidInputError(f"{path}: a JSON Schema must be an object")
    SchemaValidator(schema)
    if reason := vacuous(schema):
        raise InvalidInputError(f"{path}: {reason}; such a schema cannot find anything invalid")
    return content


def _warnings(loaded: LoadedSuite, datasets: Datasets) -> Iterator[str]:
    suite = loaded.suite
    if suite.train is not None:
        low, high = ADVISED_RATES
        if not low <= suite.train.learning_rate <= high:
            yield f"train.learning_rate {suite.train.learning_rate:g} is outside {low:g} to {high:g}, usual for LoRA"
        if suite.data.mix is None:
            yield "no general data is mixed into training (data.mix), which invites forgetting"
        if len(datasets.train) < 100:
            yield f"only {len(datasets.train)} training rows; below 100, prompting is usually the better choice"
    if len(datasets.test) < 100:
        yield f"only {len(datasets.test)} test rows; 100 to 500 are advised, since fewer show only large gains"
