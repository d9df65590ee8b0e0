"""A network that exists becomes a package folder to complete."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from shared.packages.making.draft import Draft, DraftTensor, output_name
from shared.packages.making.onnx_file import CannotImport, tensors_of
from shared.packages.making.torchscript import export_torchscript

BATCH = 16


def import_network(file: Path, name: str, folder: Path, modality: Sequence[str], shape: Sequence[int]) -> Draft:
    """Puts the network into `folder` as version 1 and tells what is known of it.

    `shape` is that of a TorchScript file's input, without the batch; an ONNX file tells its own.

    Raises:
        CannotImport: the file is neither, or takes what no package can give.
        OSError: it can't be copied.
    """
    weights = folder / "1" / "model.onnx"
    weights.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix.lower() == ".onnx":
        shutil.copyfile(file, weights)
    elif file.suffix.lower() in (".ts", ".pt", ".pth"):
        export_torchscript(file, weights, shape)
    else:
        raise CannotImport(f"{file.name}: .onnx, TorchScript (.ts, .pt) and MONAI bundles are taken")
    return draft_around(weights, name, modality, f"imported from {file.name}")


def draft_around(weights: Path, name: str, modality: Sequence[str], origin: str) -> Draft:
    """What the ONNX file at `weights` tells of a package around it.

    Raises:
        CannotImport: it takes what no package can give.
    """
    inputs, outputs, batched = tensors_of(weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return Draft(
        name, "reader", name.replace("_", " ").capitalize(), inputs, outputs, BATCH if batched else 0,
        origin=origin, modality=modality, steps=_steps(inputs), digest=digest,
        notes=["how pixels are prepared: a network does not tell; [[preprocess]] holds a guess"],
    )  # fmt: skip


def _steps(inputs: Sequence[DraftTensor]) -> list[str]:
    """The least that a picture needs to fit: its modality's unit, and the size that the network takes."""
    steps = ['[[preprocess]]  # TODO: as the network was trained\nstep = "modality_lut"']
    pixels = [tensor for tensor in inputs if tensor.source == "pixels"]
    alike = len({tensor.shape[-2:] for tensor in pixels}) == 1
    for tensor in pixels[:1] if alike else pixels:
        rows, columns = tensor.shape[-2:]
        if rows > 0 and columns > 0:
            of = "" if alike else f'\nseries = ["{output_name(tensor.name)}"]'
            steps.append(f'[[preprocess]]\nstep = "resize"\nshape = [{rows}, {columns}]{of}')
    return steps
