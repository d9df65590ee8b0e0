"""TorchScript to ONNX. torch is asked for only when such a file is imported: no service has it."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.packages.making.onnx_file import CannotImport

OPSET = 17


def export_torchscript(file: Path, onnx: Path, shape: Sequence[int], *, free_axes: bool = False) -> None:
    """Writes the script's network as ONNX, with a free batch dimension; with `free_axes`, those of the pixels too.

    Raises:
        CannotImport: torch is not installed, the shape is missing, or the file is no TorchScript that can be exported.
    """
    if not shape:
        raise CannotImport(f"{file.name}: TorchScript does not tell its input: give --shape, as 1,224,224")
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError:
        raise CannotImport("TorchScript needs torch: pip install 'isocenter[train]', or export to ONNX first") from None
    try:
        network = torch.jit.load(str(file), map_location="cpu").eval()
        example = torch.zeros(2, *shape)
        with torch.no_grad():
            answer = network(example)
        names = [f"output_{n}" for n in range(len(answer))] if isinstance(answer, tuple | list) else ["output"]
        torch.onnx.export(
            network, (example,), str(onnx), input_names=["image"], output_names=names, opset_version=OPSET,
            dynamic_axes={name: _free(free_axes, len(shape)) for name in ["image", *names]}, dynamo=False,
        )  # fmt: skip
    except Exception as error:
        raise CannotImport(f"{file.name} can't be exported: {str(error).strip().splitlines()[0]}") from None


def _free(axes: bool, rank: int) -> dict[int, str]:
    """The batch, and behind the channels the axes of the pixels."""
    names = ("columns", "rows", "slices")
    return {0: "batch"} | ({2 + n: names[n] for n in range(rank - 1)} if axes else {})
