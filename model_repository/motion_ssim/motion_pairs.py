"""Makes the motion gate's training data: clean slices by subject, and pairs of a moved slice and its SSIM."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels import apply_modality_lut
from scipy import fft, ndimage
from skimage.metrics import structural_similarity

from shared.phantoms.brain_mr import brain_volume
from shared.phantoms.motion import corrupt

Array = NDArray[np.float32]
Kind = Literal["people", "generated", "objects"]

CELL = 4
"""Pixels per side of a cell of the stored SSIM map."""
BORDER = 3
"""Pixels at the edge that scikit-image leaves out of the mean SSIM."""
PERCENTILE = 99.5

SUBJECT_OF = {
    "brain_b0_ax_philips_elition": "elition",
    "brain_bold_ax_philips_elition": "elition",
    "brain_gre_ax_philips_elition": "elition",
    "brain_t1_ax_philips_achieva": "studyforrest",
    "brain_bold_ax_philips_achieva_dstream": "studyforrest",
    "brain_b0_ax_canon_galan": "galan",
    "brain_b0_sag_canon_galan": "galan",
}
"""Series of one person; a series that is not named here is a subject of its own."""

HELD_OUT = ("elition", "brain_b0_ax_ge_uhp")
"""Subjects that training never sees; the Elition person is also the one of the T1 series of the final look."""

_SIZES = (
    (80, 80), (96, 96), (112, 112), (128, 128), (148, 148), (176, 176), (192, 192), (224, 224), (256, 256), (224, 256),
    (320, 256),
)  # fmt: skip


@dataclass(frozen=True)
class Series:
    """The clean slices of one series, each (rows, columns), with the person it shows and how it was acquired.

    `technique` holds vendor, field_T (tesla) and contrast as the manifest of the data has them.
    """

    name: str
    subject: str
    kind: Kind
    slices: list[Array]
    technique: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A moved slice as the network sees it, its mean SSIM, its SSIM map in cells, and how hard it was moved."""

    image: Array
    ssim: float
    cells: Array
    severity: float
    subject: str = ""


def read_slice(path: Path) -> list[Array]:
    """The frames of a DICOM file after the modality LUT."""
    ds = pydicom.dcmread(path)
    pixels = np.asarray(apply_modality_lut(ds.pixel_array, ds), np.float32)
    return [np.maximum(frame, 0.0) for frame in np.atleast_3d(pixels.T).T]


def load_series(data: Path) -> list[Series]:
    """Every series below `data` that its MANIFEST.tsv names."""
    with (data / "MANIFEST.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    found: dict[str, Series] = {}
    for row in rows:
        name = row["path"].split("/")[0]
        head = row["human_or_phantom"] == "human" and "brain" in row["anatomy"]
        kind: Kind = "people" if head else "objects"
        technique = {key: row[key] for key in ("vendor", "field_T", "contrast")}
        series = found.setdefault(name, Series(name, SUBJECT_OF.get(name, name), kind, [], technique))
        series.slices.extend(read_slice(data / row["path"]))
    return list(found.values())


def phantom_series(seed: int, slices: int = 24) -> Series:
    """One generated head; resolution, contrast and noise follow from the seed."""
    rng = np.random.default_rng([7, seed])
    within = float(rng.choice([0.8, 0.9, 1.0, 1.0, 1.25, 1.6]))
    size = 256 if within <= 1.0 else int(224 / within // 4 * 4)
    volume = brain_volume(
        seed,
        slices=slices,
        size=size,
        spacing_mm=(125.0 / slices, within),
        contrast="t2" if rng.random() < 0.4 else "t1",
        noise=float(rng.choice([0.004, 0.01, 0.015, 0.03])),
    )
    return Series(f"phantom_{seed}", f"phantom_{seed}", "generated", list(volume))


def scale(image: Array, by: Array) -> Array:
    """Divide by the 99.5th percentile of `by` and clip to [0, 1]; a blank `by` gives zeros."""
    top = float(np.percentile(by, PERCENTILE))
    return np.clip(image / top, 0.0, 1.0).astype(np.float32) if top > 0 else np.zeros_like(image)


def make_pair(clean: Array, severity: float, rng: np.random.Generator) -> Pair:
    """Move `clean` and label it: SSIM of both, scaled by the clean slice; the image is scaled by itself."""
    moved = corrupt(clean, severity, rng)
    score, ssim_map = structural_similarity(scale(clean, clean), scale(moved, clean), data_range=1.0, full=True)
    return Pair(scale(moved, moved), float(score), _cells(np.asarray(ssim_map, np.float32)), severity)


def _cells(ssim_map: Array) -> Array:
    """Mean of the SSIM map in cells of 4×4, without the border that the mean SSIM leaves out (NaN if all border)."""
    valid = np.zeros_like(ssim_map)
    valid[BORDER:-BORDER, BORDER:-BORDER] = 1.0
    rows, columns = (n // CELL * CELL for n in ssim_map.shape)
    shape = (rows // CELL, CELL, columns // CELL, CELL)
    total = (ssim_map * valid)[:rows, :columns].reshape(shape).sum((1, 3))
    return total / np.maximum(valid[:rows, :columns].reshape(shape).sum((1, 3)), 1.0)


def draw_severity(rng: np.random.Generator) -> float:
    """A tenth still, the rest dense at slight motion, so that labels crowd at 0.85 to 1 and reach down to 0.3."""
    kind = rng.random()
    if kind < 0.10:
        return 0.0
    return float(rng.uniform(0.0, 0.12) if kind < 0.45 else rng.random() ** 1.6)


def vary(clean: Array, rng: np.random.Generator) -> Array:
    """A clean slice in another guise: grid, tone, shading, noise; in [0, about 1]."""
    image = scale(clean, clean) if rng.random() < 0.2 else clean / max(float(np.percentile(clean, 99.8)), 1e-6)
    image = np.minimum(_regrid(image, rng), 1.3)
    if rng.random() < 0.65:
        image = _retone(image, rng)
    if rng.random() < 0.4:
        image = image * _shading(image.shape, rng)
    if rng.random() < 0.35:
        sigma = float(rng.choice([0.01, 0.02, 0.04, 0.07]) * rng.uniform(0.3, 1.3))
        noise = rng.standard_normal((2, *image.shape)).astype(np.float32) * sigma
        image = np.hypot(image + noise[0], noise[1])
    elif rng.random() < 0.15:
        image = np.where(image < 0.05, 0.0, image)
    return np.ascontiguousarray(image, np.float32)


def _reframe(image: Array, rng: np.random.Generator) -> Array:
    """Another field of view: the air around the head is partly cut off, or mirrored further out."""
    for axis in (0, 1):
        there = np.flatnonzero((image > 0.1).any(1 - axis))
        if not len(there) or rng.random() < 0.5:
            continue
        before, after = int(there[0]), image.shape[axis] - 1 - int(there[-1])
        if rng.random() < 0.6:
            cuts = [int(margin * rng.uniform(0.0, 0.9)) for margin in (before, after)]
            image = np.take(image, range(cuts[0], image.shape[axis] - cuts[1]), axis)
        else:
            widths = [(0, 0), (0, 0)]
            widths[axis] = (int(before * rng.uniform(0.0, 0.9)), int(after * rng.uniform(0.0, 0.9)))
            image = np.pad(image, widths, mode="reflect")
    return image


def _regrid(image: Array, rng: np.random.Generator) -> Array:
    """A third keep their grid; others get a larger or smaller matrix; all are fitted to a size of `_SIZES`."""
    image = _reframe(image, rng)
    if rng.random() < 0.65:
        longest = np.exp(rng.uniform(np.log(76), np.log(300)))
        image = _with_matrix(image, float(longest / max(image.shape)), rng)
    rows, columns = min(_SIZES, key=lambda s: abs(s[0] - image.shape[0]) + abs(s[1] - image.shape[1]))
    return _fit(_fit(image, rows, 0, rng), columns, 1, rng)


def _with_matrix(image: Array, factor: float, rng: np.random.Generator) -> Array:
    """As acquired with another matrix: k-space cut (a third of the time further, then zero-filled), often apodised."""
    shown = [max(64, round(n * factor)) for n in image.shape]
    share = rng.uniform(0.6, 1.0) if rng.random() < 0.35 else 1.0
    acquired = [min(old, round(new * share)) for old, new in zip(image.shape, shown, strict=True)]
    kspace = fft.fftshift(fft.fft2(image))
    filled = np.zeros(shown, np.complex64)
    inner = tuple(slice(n // 2 - a // 2, n // 2 - a // 2 + a) for n, a in zip(image.shape, acquired, strict=True))
    outer = tuple(slice(n // 2 - a // 2, n // 2 - a // 2 + a) for n, a in zip(shown, acquired, strict=True))
    filled[outer] = kspace[inner]
    if rng.random() < 0.6:
        windows = [np.kaiser(a, rng.uniform(0.5, 4.0)) for a in acquired]
        filled[outer] *= np.outer(*windows)
    return np.abs(fft.ifft2(fft.ifftshift(filled))).astype(np.float32) * (filled.size / image.size)


def _fit(image: Array, length: int, axis: int, rng: np.random.Generator) -> Array:
    spare = image.shape[axis] - length
    if spare >= 0:
        start = int(rng.integers(spare + 1))
        return np.take(image, range(start, start + length), axis)
    before = int(rng.integers(-spare + 1))
    widths = [(0, 0), (0, 0)]
    widths[axis] = (before, -spare - before)
    return np.pad(image, widths)


def _retone(image: Array, rng: np.random.Generator) -> Array:
    """Contrast augmentation: gamma, brightness and contrast, or a bent tone curve that may invert the tissues."""
    kind = rng.random()
    if kind < 0.5:
        return image ** float(np.exp(rng.uniform(-0.5, 0.6)))
    if kind < 0.65:
        return np.clip(image * rng.uniform(0.7, 1.5), 0.0, 1.0)
    knots = np.sort(rng.uniform(0.1, 0.9, 3))
    levels = rng.uniform(0.05, 1.0, 4) if rng.random() < 0.5 else np.sort(rng.uniform(0.05, 1.0, 4))
    curve = np.interp(np.linspace(0, 1.3, 128), [0.0, *knots, 1.0], [0.0, *levels])
    curve = ndimage.gaussian_filter1d(curve, 6.0)
    return np.interp(image, np.linspace(0, 1.3, 128), curve - curve[0]).clip(0.0).astype(np.float32)


def _shading(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    coarse = np.exp(0.35 * rng.standard_normal((4, 4)))
    grid = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij")
    return ndimage.map_coordinates(coarse, grid, order=3, mode="nearest").clip(0.3, 3.0).astype(np.float32)


def training_pairs(series: list[Series], seed: int) -> Iterator[Pair]:
    """Endless pairs: six tenths from people, a third generated heads, the rest test objects."""
    rng = np.random.default_rng([11, seed])
    shares: dict[Kind, float] = {"people": 0.6, "generated": 0.33, "objects": 0.07}
    pools = [(pool, share) for kind, share in shares.items() if (pool := [s for s in series if s.kind == kind])]
    weights = np.array([share for _, share in pools])
    while True:
        pool = pools[int(rng.choice(len(pools), p=weights / weights.sum()))][0]
        large = np.array([1.0 + 1.5 * (min(s.slices[0].shape) >= 192) for s in pool])
        source = pool[int(rng.choice(len(pool), p=large / large.sum()))]
        clean = source.slices[int(rng.integers(len(source.slices)))]
        guise = vary(clean, rng)
        if float(np.percentile(guise, PERCENTILE)) > 1e-3:
            yield replace(make_pair(guise, draw_severity(rng), rng), subject=source.subject)
