"""Finds the environment that Isocenter's own Triton runs from, as deploy/triton/setup_environment.py left it."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "ISOCENTER_TRITON_ENVIRONMENT"
DESCRIPTION = "triton-environment.json"
SCHEMA = 1
CHECKOUT = Path(__file__).resolve().parents[2]
SET_UP = "python deploy/triton/setup_environment.py --into"


class EnvironmentMissing(Exception):
    """There is no usable Triton environment; the message says how to make one."""


@dataclass(frozen=True)
class TritonEnvironment:
    """Where the server and all that it needs lie."""

    folder: Path
    python_version: tuple[int, int]
    tritonserver: Path
    """The server's executable."""
    backends: Path
    """Triton's backend directory."""
    library_path: tuple[str, ...]
    """LD_LIBRARY_PATH: the server's own libraries and the shared libpython."""
    python_path: tuple[str, ...]
    """PYTHONPATH of the Python backend: this environment's packages, never the product's."""
    binaries: Path
    """Comes first on the PATH: the embedded Python finds its standard library by the `python3` there."""

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The server with its own variables, which must reach no other process: they would change its libraries."""
        variables = {
            "LD_LIBRARY_PATH": ":".join(self.library_path),
            "PYTHONPATH": ":".join(self.python_path),
            "PATH": f"{self.binaries}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONNOUSERSITE": "1",
            # The embedded server is the CPU's; a GPU is served by NVIDIA's container.
            "CUDA_VISIBLE_DEVICES": "",
        }
        settings = [f"{name}={value}" for name, value in variables.items()]
        return ["/usr/bin/env", "-u", "PYTHONHOME", *settings, str(self.tritonserver), *arguments]


def find_environment(folder: Path | None = None) -> TritonEnvironment:
    """The environment in `folder`, else in $ISOCENTER_TRITON_ENVIRONMENT, else in .venv-triton of the checkout.

    Raises EnvironmentMissing.
    """
    chosen = folder or Path(os.environ.get(VARIABLE) or CHECKOUT / ".venv-triton")
    try:
        found: dict[str, Any] = json.loads((chosen / DESCRIPTION).read_text())
    except FileNotFoundError:
        raise EnvironmentMissing(f"{chosen} is not set up; run: {SET_UP} {chosen}") from None
    except (OSError, ValueError) as error:
        raise EnvironmentMissing(f"{chosen / DESCRIPTION} can't be read ({error}); run: {SET_UP} {chosen}") from error
    if found.get("schema") != SCHEMA or not Path(found["tritonserver"]).is_file():
        raise EnvironmentMissing(f"{chosen} is out of date or was moved; run: {SET_UP} {chosen}")
    major, minor = found["python"].split(".")
    return TritonEnvironment(
        folder=chosen,
        python_version=(int(major), int(minor)),
        tritonserver=Path(found["tritonserver"]),
        backends=Path(found["backends"]),
        library_path=tuple(found["library_path"]),
        python_path=tuple(found["python_path"]),
        binaries=Path(found["binaries"]),
    )
