"""What a run spends: this machine's time and memory as the last run took them, and what servers will ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.arms import arm_use, machine_cost
from harness.findings import ArmUse
from harness.gate.requirements import preferences_wanted
from harness.prepare import Inputs
from harness.store.runs import StoredRun
from harness.suite.schema import Suite
from harness.suite.systems import EndpointSystem


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineUse:
    """What one finished run took on the machine that it ran on."""

    run_id: str
    seconds: Mapping[str, float]  # stage -> wall seconds
    peak_bytes: int | None
    cost: float | None  # of all stages at today's price of a machine hour; None without `prices`
    stored: int  # answers and scores that were read from the store, and so took no time


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUse:
    """What one server will be asked for: an arm or a judge. `unknown` says why tokens or cost is None."""

    name: str
    model: str
    requests: int  # at most; requests after a fault come on top
    tokens: int | None
    cost: float | None  # in the suite's currency
    unknown: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What is known of a run's cost without loading a model."""

    last: MachineUse | None
    servers: tuple[ServerUse, ...]
    currency: str | None


def plan_spending(inputs: Inputs, earlier: StoredRun | None) -> Spending:
    """What a run of the suite will spend; `earlier` is a finished run of it, without which little is known.

    Raises:
        ValueError: a time in the earlier run is not finite.
    """
    suite = inputs.loaded.suite
    return Spending(
        last=_machine_use(suite, earlier) if earlier else None,
        servers=(*_arms(inputs, earlier), *_judges(inputs)),
        currency=suite.prices.currency if suite.prices else None,
    )


def _machine_use(suite: Suite, run: StoredRun) -> MachineUse:
    manifest = run.manifest
    return MachineUse(
        run_id=manifest.run_id,
        seconds=manifest.seconds,
        peak_bytes=manifest.peak_bytes,
        cost=machine_cost(suite, sum(manifest.seconds.values())),
        stored=manifest.counters.stored_answers + manifest.counters.stored_scores,
    )


def _arms(inputs: Inputs, earlier: StoredRun | None) -> Iterator[ServerUse]:
    """Each endpoint: a request for every answer, as many tokens each as in the earlier run."""
    suite = inputs.loaded.suite
    requests = len(inputs.datasets.test) * suite.decoding.samples
    specs = {name: spec for name, spec in suite.systems.items() if isinstance(spec, EndpointSystem)}
    seen: dict[str, ArmUse] = {}
    if earlier is not None:
        present = [fact.name for fact in earlier.manifest.systems if fact.name in specs]
        seen = {arm.system: arm for arm in arm_use(suite, present, earlier.predictions)}
    for name, spec in specs.items():
        arm = seen.get(name)
        tokens = _tokens(arm)
        yield ServerUse(
            name=name,
            model=spec.model,
            requests=requests,
            tokens=None if tokens is None else round(tokens * requests),
            cost=None if arm is None or arm.cost is None else arm.cost * requests / 1000,
            unknown=_unknown(spec, arm),
        )


def _tokens(arm: ArmUse | None) -> float | None:
    """Mean tokens of one request, read and written."""
    if arm is None or arm.prompt_tokens is None or arm.output_tokens is None:
        return None
    return arm.prompt_tokens + arm.output_tokens


def _unknown(spec: EndpointSystem, arm: ArmUse | None) -> str:
    if arm is None:
        return "its tokens are not known before a first run"
    if _tokens(arm) is None:
        return "its server did not tell the last run how many tokens it counted"
    return "" if spec.price_input is not None else "no `price_input` and `price_output` are declared"


def _judges(inputs: Inputs) -> Iterator[ServerUse]:
    """Each judge: two requests for a pair of answers."""
    suite, test = inputs.loaded.suite, inputs.datasets.test
    wanted = [judge for judge, _ in preferences_wanted(suite, inputs.absent)]
    for name, spec in suite.judges.items():
        yield ServerUse(
            name=f"judge {name}",
            model=spec.model,
            requests=2 * len(test) * wanted.count(name),
            tokens=None,
            cost=None,
            unknown="a run says at its end what its judges cost, and does not keep it",
        )
