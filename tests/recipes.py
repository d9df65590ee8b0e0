"""A package's recipe for its tests: imported beside those of others, and held against what the package ships."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import onnxruntime
import pytest


def recipe_of(folder: Path, monkeypatch: pytest.MonkeyPatch, *needs: str) -> ModuleType:
    """The module `recipe` of the package in `folder`, with that package's own other modules; skips without torch, onnx
    and what else it `needs`."""
    for name in ("torch", "onnx", *needs):
        pytest.importorskip(name, reason=f"{name} is in the train extra only")
    monkeypatch.syspath_prepend(str(folder))
    for path in folder.glob("*.py"):  # another package may have its own of that name
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
    return importlib.import_module("recipe")


def outputs_of(model: Path) -> list[tuple[str, Sequence[int | str]]]:
    """Name and shape of each output of an ONNX file."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return [(tensor.name, tensor.shape) for tensor in session.get_outputs()]
