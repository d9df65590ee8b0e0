"""The phantoms that slice_transformer learns from: generated once, preprocessed as the manifest says, kept as bytes."""

import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from network import SIZE
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))
from shared.phantoms.chest_ct import chest_ct

CHUNK = 20
MATRICES = (128, 192)
TRAINING_SEED, CALIBRATION_SEED, HELD_OUT_SEED = 10_000, 500_000, 700_000
CENTRE_HU, WIDTH_HU = -600.0, 800.0  # of the lung: everything solid is white


@dataclass(frozen=True)
class Scan:
    """One phantom: slices (slices, SIZE, SIZE) uint8, those that show a nodule (slices,), the nodules' radii in mm and
    places (slice, row, column) in the slices as they are here."""

    slices: NDArray[np.uint8]
    shows: NDArray[np.bool_]
    radii: NDArray[np.float32]
    places: NDArray[np.float32]

    @property
    def positive(self) -> bool:
        """Whether anything was planted."""
        return len(self.radii) > 0


def labels(scans: list[Scan]) -> NDArray[np.float32]:
    """1 where anything was planted, (n,)."""
    return np.array([float(scan.positive) for scan in scans], np.float32)


def preprocess(volume: NDArray[np.int16]) -> NDArray[np.float32]:
    """The manifest's `window` and `resize` for HU (slices, rows, columns): to [0, 1], (slices, SIZE, SIZE)."""
    low = CENTRE_HU - 0.5 - (WIDTH_HU - 1) / 2  # PS3.3 C.11.2.1.2
    shown = np.clip((volume.astype(np.float32) - low) / (WIDTH_HU - 1), 0, 1)
    return np.stack([np.asarray(Image.fromarray(one).resize((SIZE, SIZE), Image.Resampling.BILINEAR)) for one in shown])


def load_pool(folder: Path, first_seed: int, count: int, *, paired: bool = False) -> list[Scan]:
    """Generate what is missing of `count` phantoms and load them.

    `paired` gives each person twice, without and with nodules, one after the other; otherwise each is a new person and
    half are free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(first_seed, first_seed + (count // 2 if paired else count), CHUNK // 2 if paired else CHUNK)
    paths = [folder / f"{'paired' if paired else 'single'}_{seed}.npz" for seed in seeds]
    missing = [(path, seed) for path, seed in zip(paths, seeds, strict=True) if not path.exists()]
    with ProcessPoolExecutor(2) as workers:
        jobs = [workers.submit(_write_chunk, path, seed, paired) for path, seed in missing]
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            print(f"phantoms {done * CHUNK} of {len(jobs) * CHUNK}", flush=True)
    return [scan for path in paths for scan in _read_chunk(path)][:count]


def _write_chunk(path: Path, first_seed: int, paired: bool) -> None:
    """Generate CHUNK phantoms and write them whole or not at all."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for number in range(CHUNK):
        seed = first_seed + (number // 2 if paired else number)
        size = MATRICES[seed % len(MATRICES)]
        made = chest_ct(seed, (1 + seed % 3) * (number % 2) if paired else None, size=size)
        places = [
            (nodule.slice, *((place + 0.5) * SIZE / size - 0.5 for place in (nodule.row, nodule.column)))
            for nodule in made.nodules
        ]
        arrays[f"slices{number}"] = np.round(preprocess(made.volume) * 255).astype(np.uint8)
        arrays[f"shows{number}"] = made.shows
        arrays[f"radii{number}"] = np.array([nodule.radius_mm for nodule in made.nodules], np.float32)
        arrays[f"places{number}"] = np.array(places, np.float32).reshape(-1, 3)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    partial.rename(path)


def _read_chunk(path: Path) -> list[Scan]:
    with np.load(path) as kept:
        return [Scan(*(kept[f"{name}{n}"] for name in ("slices", "shows", "radii", "places"))) for n in range(CHUNK)]
