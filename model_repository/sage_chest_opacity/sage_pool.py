"""The images that a gate learns from: asked of the package that it is for, or read from a folder of DICOM and labels.

A package whose folder has a `pool.py` with `samples(part, start, stop)` is asked itself: it yields stored values (rows,
columns) and the truth of its first output, the same for the same numbers; `part` is "training" (what the package was
trained on), "calibration" or "held_out" (what it has never seen). With `--data DIR`, `DIR/labels.csv` has the columns
`file` and `label`, optionally `part`; without that, a patient falls into one part by the hash of the patient's ID.
"""

import csv
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pydicom
import torch
from numpy.typing import NDArray
from sage_network import resized

sys.path.insert(0, str(Path(__file__).parents[2]))
from shared.imaging.frames import load_frames
from shared.imaging.steps import compile_steps
from shared.imaging.volume import Volume
from shared.packages.folder import load_package

CHUNK = 50
PARTS = ("training", "calibration", "held_out")
Row = NDArray[np.float32]


@dataclass(frozen=True)
class Pool:
    """Per image: the view of it that the autoencoder takes (n, channels, 256, 256) float16, the package's answer to
    it (n, values) as numbers (probabilities, where it gives such) and the truth (n,).
    """

    views: NDArray[np.float16]
    answers: NDArray[np.float32]
    labels: NDArray[np.float32]


class Target:
    """The package that the gate is for: its steps, its model, its images.

    Raises:
        ValueError: it does not group by image, or its first output is no number or probability.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.package = folder, load_package(folder)
        manifest = self.package.manifest
        if manifest.grouping.by != "image" or len(manifest.tensors.inputs) != 1:
            raise ValueError(f"{self.package.name} does not read single images: such a gate can't be built for it")
        self.output = manifest.outputs[0]
        if self.output.kind not in ("binary", "multilabel", "ordinal", "regression", "measurement"):
            raise ValueError(f"{self.package.name}: an output of kind {self.output.kind} gives no number to learn from")
        self._prepare = compile_steps(manifest.preprocess)

    @property
    def gives_probabilities(self) -> bool:
        """Whether an answer is one or several probabilities, and not a number in a unit."""
        return self.output.kind in ("binary", "multilabel", "ordinal")

    def row(self, image: Volume) -> Row:
        """One input row by the manifest's steps, (channels, rows, columns)."""
        return self._prepare(image).array[:, 0]

    def answer(self, row: Row) -> NDArray[np.float32]:
        """The package's numbers (values,) for a row; probabilities where it gives such."""
        name = self.package.manifest.tensors.pixels.name
        raw = np.asarray(_session(self.folder).run([self.output.tensor], {name: row[None]})[0][0], np.float64).ravel()
        if self.output.activation == "sigmoid":
            raw = 1 / (1 + np.exp(-raw))
        elif self.output.activation == "softmax":
            raw = np.exp(raw - raw.max())
            raw = raw / raw.sum()
        return raw.astype(np.float32)


@lru_cache(maxsize=2)
def _session(folder: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    newest = max(folder.glob("[0-9]*/model.onnx"), key=lambda path: int(path.parent.name))
    return onnxruntime.InferenceSession(newest, options, providers=["CPUExecutionProvider"])


def view_of(row: Row) -> NDArray[np.float16]:
    """A row (channels, rows, columns) at the size that the gate's graph brings it to, as the graph does it."""
    return resized(torch.tensor(row)[None])[0].numpy().astype(np.float16)


def image_of(pixels: NDArray[np.generic]) -> Volume:
    """Stored values (rows, columns) that come from no file."""
    return Volume.image(pixels)


def changed(image: Volume, pixels: NDArray[np.float32]) -> Volume:
    """Other stored values (rows, columns), in any number, that mean what the image's mean."""
    return Volume.image(pixels, None, *image.modality, *image.photometric_interpretation)


def images(target: Target, data: Path | None, part: str, start: int, stop: int) -> Iterator[tuple[Volume, float]]:
    """Source images of a part, before any step, and the truth of the package's first output."""
    if data is None:
        for pixels, label in _pool_module(target.folder).samples(part, start, stop):
            yield image_of(pixels), label
        return
    for path, label in _listed(data)[part][start:stop]:
        yield Volume.of(load_frames([path])[:1]), label


def available(data: Path | None, part: str, wanted: int) -> int:
    """How many images a part has, up to what is wanted; a package that generates has as many as are asked for."""
    return wanted if data is None else min(wanted, len(_listed(data)[part]))


@lru_cache(maxsize=4)
def _pool_module(folder: Path) -> ModuleType:
    """The package's own `pool.py`.

    Raises:
        ValueError: the package has none.
    """
    path = folder / "pool.py"
    spec = importlib.util.spec_from_file_location(f"{folder.name}_pool", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise ValueError(f"{folder.name} has no pool.py to ask for its images: give them by --data DIR")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


@lru_cache(maxsize=4)
def _listed(data: Path) -> dict[str, list[tuple[Path, float]]]:
    """The files of each part, with their labels, from `labels.csv`."""
    found: dict[str, list[tuple[Path, float]]] = {part: [] for part in PARTS}
    with (data / "labels.csv").open(newline="") as lines:
        for line in csv.DictReader(lines):
            path = data / line["file"]
            found[line.get("part") or _part_of(path)].append((path, float(line["label"])))
    return found


def _part_of(path: Path) -> str:
    """One part for all images of a patient: three fifths are for training."""
    patient = str(pydicom.dcmread(path, stop_before_pixels=True).get("PatientID", "") or path.name)
    fifth = int(hashlib.sha256(patient.encode()).hexdigest(), 16) % 5
    return "training" if fifth < 3 else PARTS[fifth - 2]


def load_pool(target: Target, data: Path | None, part: str, count: int, folder: Path) -> Pool:
    """Up to `count` images of a part; what is not yet kept in `folder` is made by two processes, with progress."""
    folder.mkdir(parents=True, exist_ok=True)
    count = available(data, part, count)
    spans = [(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    paths = [folder / f"{part}_{start}_{stop}.npz" for start, stop in spans]
    missing = [(path, span) for path, span in zip(paths, spans, strict=True) if not path.exists()]
    with ProcessPoolExecutor(2) as workers:
        jobs = [workers.submit(_write, path, target.folder, data, part, span) for path, span in missing]
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            print(f"{part} images: {done} of {len(jobs)} batches", flush=True)
    chunks = [np.load(path) for path in paths]
    return Pool(*(np.concatenate([chunk[name] for chunk in chunks]) for name in ("views", "answers", "labels")))


def _write(path: Path, folder: Path, data: Path | None, part: str, span: tuple[int, int]) -> None:
    """One chunk, whole or not at all."""
    torch.set_num_threads(1)
    target = Target(folder)
    views, answers, labels = [], [], []
    for image, label in images(target, data, part, *span):
        row = target.row(image)
        views.append(view_of(row))
        answers.append(target.answer(row))
        labels.append(label)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, views=np.stack(views), answers=np.stack(answers), labels=np.array(labels, np.float32))
    partial.rename(path)
