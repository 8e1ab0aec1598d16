"""What a training is to target must be linear layers of the base model; told before the model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Collection

from harness.errors import InvalidInputError, did_you_mean
from harness.suite.load import LoadedSuite
from harness.suite.training_rules import place_of_training
from harness.trust.expected_tensors import OUTPUT, BaseWeights, endings


def refuse_unknown_targets(
    loaded: LoadedSuite, read: Callable[[], BaseWeights], *, besides: Collection[str] = ()
) -> None:
    """Each name under `targets` must be that of a layer of the base model; nothing is said of a model not yet known.

    Nor of the trainings `besides`, which are not made. The base model is `read` where a training names its targets.

    Raises:
        InvalidInputError: naming every other one, after its place in the suite.
    """
    named = {
        ".".join(map(str, (*place_of_training(loaded.suite, name), "targets", index))): target
        for name, train in loaded.suite.trainings.items()
        if name not in besides and isinstance(train.targets, list)
        for index, target in enumerate(train.targets)
    }
    modules = [module for module in read().modules if module != OUTPUT] if named else []
    known = {ending for module in modules for ending in endings(module)}
    short = sorted({module.rpartition(".")[2] for module in modules})
    if problems := [
        f"{loaded.path.name}:{loaded.lines.get(key, 1)} {key}: '{target}' is no linear layer of the base model; "
        f"known: {', '.join(short)}{did_you_mean(target, short)}"
        for key, target in named.items()
        if modules and target not in known
    ]:
        raise InvalidInputError("\n".join(problems))
