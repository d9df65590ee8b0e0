"""Which steps there are, with their parameters; a manifest's list of them becomes one preparation."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from shared.imaging.volume import Volume
from shared.packages.manifest import Step

Applied = Callable[[Volume], Volume]
Function = Callable[..., Volume]


class StepError(ValueError):
    """A manifest names a step or a parameter that there isn't; the text says what to write."""


@dataclass(frozen=True)
class _Known:
    function: Function
    parameters: type[BaseModel]
    by_slice: Callable[[Any], bool]


_KNOWN: dict[str, _Known] = {}


def step(by_slice: Callable[[Any], bool] = lambda _: True) -> Callable[[Function], Function]:
    """Registers a step under its name, with its parameters as they are annotated.

    `by_slice` says of the checked parameters whether each slice can be prepared without the others.
    """

    def register(function: Function) -> Function:
        fields: dict[str, Any] = {
            name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
            for name, parameter in inspect.signature(function).parameters.items()
            if name != "volume"
        }
        name = function.__name__
        _KNOWN[name] = _Known(function, create_model(name, __config__=ConfigDict(extra="forbid"), **fields), by_slice)
        return function

    return register


def step_names() -> list[str]:
    """Every step that a manifest may name."""
    return sorted(_KNOWN)


def parameter_names(name: str) -> list[str]:
    """What a step may be given."""
    return list(_KNOWN[name].parameters.model_fields)


@dataclass(frozen=True)
class Preparation:
    """A manifest's steps in order: first those that take each slice by itself, so that slices may be prepared as they
    are read; from the first on that looks across slices, those of the whole volume.
    """

    slices: tuple[Applied, ...]
    whole: tuple[Applied, ...]

    def __call__(self, volume: Volume) -> Volume:
        """All steps.

        Raises:
            NoVolume: a step can't be done to this volume.
        """
        return self.of_whole(self.of_slice(volume))

    def of_slice(self, volume: Volume) -> Volume:
        """The first steps, of one slice or of several."""
        return reduce(lambda current, apply: apply(current), self.slices, volume)

    def of_whole(self, volume: Volume) -> Volume:
        """The other steps, of the whole volume."""
        return reduce(lambda current, apply: apply(current), self.whole, volume)


def compile_steps(steps: Sequence[Step]) -> Preparation:
    """The preparation that applies `steps` in order.

    Raises:
        StepError: a step or a parameter is unknown, missing or wrong.
    """
    compiled = [_compiled(index, step) for index, step in enumerate(steps)]
    alone = next((index for index, (_, by_slice) in enumerate(compiled) if not by_slice), len(compiled))
    applied = tuple(apply for apply, _ in compiled)
    return Preparation(applied[:alone], applied[alone:])


def _compiled(index: int, step: Step) -> tuple[Applied, bool]:
    where = f"preprocess[{index}]"
    if step.step not in _KNOWN:
        raise StepError(f"{where}: there is no step {step.step!r}; there are {', '.join(step_names())}")
    known = _KNOWN[step.step]
    try:
        checked = known.parameters.model_validate(step.parameters)
    except ValidationError as error:
        raise StepError(f"{where} {step.step}: {_explain(error, step.step)}") from None
    given = {name: getattr(checked, name) for name in type(checked).model_fields}
    return partial(known.function, **given), known.by_slice(checked)


def _explain(error: ValidationError, name: str) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"it has no parameter {field!r}; it has {', '.join(parameter_names(name)) or 'none'}"
    if first["type"] == "missing":
        return f"parameter {field!r} is required"
    return f"parameter {field!r}: {first['msg']}; found {first['input']!r}"
