"""A MONAI bundle becomes a package folder to complete: a folder, its zip, or the TorchScript file exported of it.

Of a bundle are read `configs/metadata.json`, `configs/inference.json` and the exported network, `models/model.ts` or
`models/model.onnx` (MONAI Bundle Specification). Nothing of it is run but the network itself.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shared.packages.making.draft import Draft, DraftTensor
from shared.packages.making.importing import draft_around
from shared.packages.making.monai_inferer import map_inferer
from shared.packages.making.monai_steps import Mapped, map_transforms, table
from shared.packages.making.onnx_file import CannotImport, turn_axes
from shared.packages.making.torchscript import export_torchscript

NETWORKS = ("models/model.onnx", "models/model.ts")
_METADATA, _INFERENCE = "configs/metadata.json", "configs/inference.json"
_MOST_BYTES = 4 << 30
"""Of a zip, unpacked."""


@dataclass(frozen=True)
class Bundle:
    """What is read of a bundle."""

    metadata: Mapping[str, Any]
    inference: Mapping[str, Any]
    network: Path

    @property
    def input(self) -> Mapping[str, Any]:
        """The one tensor that goes in, as `network_data_format` describes it."""
        return _only(self.metadata, "inputs")

    @property
    def output(self) -> Mapping[str, Any]:
        return _only(self.metadata, "outputs")


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle | None]:
    """The bundle at `path`; nothing where it is none.

    Raises:
        CannotImport: it is one, but a part is missing or can't be read.
    """
    if path.is_dir():
        yield _read(path) if (path / _METADATA).is_file() else None
    elif path.suffix.lower() == ".zip":
        with TemporaryDirectory(prefix="isocenter-bundle-") as folder:
            yield _read(_unpacked(path, Path(folder)))
    else:
        yield _inside(path)


def import_bundle(bundle: Bundle, name: str, folder: Path, modality: Sequence[str]) -> Draft:
    """Puts the bundle's network into `folder` as version 1, with our order of axes, and tells what is known of it.

    Raises:
        CannotImport: the network can't be exported, or takes what no package can give.
        OSError: it can't be written.
    """
    shape = _shape(bundle.input)
    weights = folder / "1" / "model.onnx"
    weights.parent.mkdir(parents=True, exist_ok=True)
    mapped = map_transforms(bundle.inference)
    free = bool(bundle.input.get("is_patch_data"))
    if bundle.network.suffix == ".onnx":
        weights.write_bytes(bundle.network.read_bytes())
    else:
        export_torchscript(bundle.network, weights, shape, free_axes=free)
    turn_axes(weights)
    draft = draft_around(weights, name, modality or _modality(bundle.input), "")
    outputs = [_output(tensor, bundle.output, mapped) for tensor in draft.outputs]
    scores = any(tensor.kind not in ("segment", "image") for tensor in outputs)
    inferer = map_inferer(bundle.inference, draft.pixels.shape, combine=scores)
    return replace(
        draft,
        title=_said(bundle.metadata, "task") or draft.title,
        intended_use=_said(bundle.metadata, "intended_use") or _said(bundle.metadata, "description"),
        origin=_origin(bundle.metadata),
        outputs=outputs,
        steps=[table("modality_lut"), *mapped.steps, *([] if inferer.tiles else _whole_windows(bundle, free))],
        tiles=inferer.tiles,
        notes=[*mapped.notes, *inferer.notes, *_notes(bundle)],
    )


def _read(root: Path) -> Bundle:
    network = next((root / name for name in NETWORKS if (root / name).is_file()), None)
    if network is None:
        raise CannotImport(
            f"{root.name}: there is neither {' nor '.join(NETWORKS)}: export it first, with"
            " `python -m monai.bundle ckpt_export`"
        )
    inference = root / _INFERENCE
    if not inference.is_file():
        raise CannotImport(f"{root.name}: there is no {_INFERENCE}; a page in YAML is to be written as JSON first")
    return Bundle(_page((root / _METADATA).read_bytes(), _METADATA), _page(inference.read_bytes(), _INFERENCE), network)


def _unpacked(path: Path, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
                raise CannotImport(f"{path.name} is more than {_MOST_BYTES >> 30} GiB unpacked")
            archive.extractall(folder)
    except zipfile.BadZipFile:
        raise CannotImport(f"{path.name} is no zip") from None
    root = next((found.parents[1] for found in sorted(folder.glob(f"**/{_METADATA}"))), None)
    if root is None:
        raise CannotImport(f"{path.name} holds no {_METADATA}: it is no MONAI bundle")
    return root


def _inside(path: Path) -> Bundle | None:
    """The pages that MONAI's export puts into a TorchScript file (a zip), where there are some."""
    if path.suffix.lower() not in (".ts", ".pt") or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        extra = {Path(name).name: name for name in archive.namelist() if "/extra/" in name}
        pages = [
            _page(archive.read(extra[name]), name) if name in extra else {}
            for name in ("metadata.json", "inference.json")
        ]
    return Bundle(pages[0], pages[1], path) if "network_data_format" in pages[0] else None


def _page(content: bytes, name: str) -> Mapping[str, Any]:
    try:
        page = json.loads(content)
    except ValueError as error:
        raise CannotImport(f"{name} is not JSON: {error}") from None
    if not isinstance(page, dict):
        raise CannotImport(f"{name} is not a JSON object")
    return page


def _only(metadata: Mapping[str, Any], side: str) -> Mapping[str, Any]:
    tensors = metadata.get("network_data_format", {}).get(side, {})
    if not isinstance(tensors, dict) or len(tensors) != 1:
        raise CannotImport(f"metadata.json: network_data_format names {len(tensors)} {side}; packages take one")
    return dict(next(iter(tensors.values())))


def _shape(described: Mapping[str, Any]) -> tuple[int, ...]:
    """(channels, x, y[, z]) with which the network can be run; sizes that are rules (`16*n`) with n = 1."""
    channels = described.get("num_channels", 1)
    if channels != 1:
        raise CannotImport(f"the network takes {channels} channels at once; a package gives one image or one series")
    return (1, *(_size(size) for size in described.get("spatial_shape", [])))


def _size(size: object) -> int:
    if isinstance(size, int) and size > 0:
        return size
    numbers = [int(part) for part in str(size).replace("**", "*").split("*") if part.strip().isdigit()]
    return max(numbers, default=64)


def _modality(described: Mapping[str, Any]) -> list[str]:
    told = str(described.get("modality", "")).upper()
    return {"CT": ["CT"], "MR": ["MR"], "MRI": ["MR"], "PET": ["PT"], "US": ["US"], "MG": ["MG"]}.get(told, [])


def _said(metadata: Mapping[str, Any], key: str) -> str:
    return " ".join(str(metadata.get(key, "")).split())


def _origin(metadata: Mapping[str, Any]) -> str:
    parts = {"MONAI bundle, version": "version", "by": "authors", "": "copyright", "learned from": "data_source"}
    return "; ".join(f"{words} {_said(metadata, key)}".strip() for words, key in parts.items() if _said(metadata, key))


def _output(tensor: DraftTensor, described: Mapping[str, Any], mapped: Mapped) -> DraftTensor:
    """The tensor with its kind and labels as the metadata tell them; `channel_def` names the channels."""
    named = described.get("channel_def", {})
    channels = [str(named[key]) for key in sorted(named, key=str)] if isinstance(named, dict) else []
    if described.get("format") == "segmentation":
        labels = channels[1:] if len(channels) > 1 and mapped.activation != "sigmoid" else channels
        return replace(tensor, kind="segment", activation=mapped.activation, labels=tuple(labels) or tensor.labels)
    if described.get("format") in ("classes", "classification") or described.get("type") == "probabilities":
        if len(channels) == 1:
            return replace(tensor, kind="binary", activation=mapped.activation)
        return replace(tensor, kind="multilabel", activation=mapped.activation, labels=tuple(channels))
    return tensor


def _whole_windows(bundle: Bundle, free: bool) -> list[str]:
    """Where MONAI reads patches in a way that is not ours, the whole volume goes in, as large as whole ones are."""
    sizes = [_size(size) for size in reversed(bundle.input.get("spatial_shape", []))]
    return [table("pad_to_multiple", of=sizes)] if free and sizes else []


def _notes(bundle: Bundle) -> list[str]:
    notes = []
    if (bundle.metadata.get("eval_metrics")) is not None:
        notes.append(f"figures: the bundle claims {bundle.metadata['eval_metrics']}; nothing here has tried them")
    return notes
