"""Checkpoints of a recipe's training: how far it is, so that an interrupted run goes on from there.

Recipes call it, and only they have torch: it is asked for when a checkpoint is written or read.
"""

import importlib
from pathlib import Path
from typing import Any


def save(network: Any, optimiser: Any, path: Path, spent: float, step: int) -> None:
    """Writes the state of a torch module and its optimiser, whole or not at all; `spent` in seconds.

    Raises:
        OSError: it can't be written.
    """
    state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "spent": spent, "step": step}
    partial = path.with_suffix(".partial")
    importlib.import_module("torch").save(state, partial)
    partial.replace(path)


def resume(network: Any, optimiser: Any, path: Path) -> tuple[float, int]:
    """Puts an earlier run's state into both; seconds spent and steps done by then, zeros where there was none.

    Raises:
        RuntimeError: the checkpoint is of another network.
    """
    if not path.exists():
        return 0.0, 0
    state = importlib.import_module("torch").load(path, weights_only=True)
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    return state["spent"], state["step"]
