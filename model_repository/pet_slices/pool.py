"""The slices that pet_slices learns from: phantoms as the manifest's steps prepare them, with each slice's person."""

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from network import SIZE
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))
from shared.phantoms.body_pet import body_pet

MOST_SUV = 15.0
SLICES = (120, 160, 200)  # from thigh to head: 8.75 to 5.25 mm apart
TRAINING_SEED, CALIBRATION_SEED, HELD_OUT_SEED = 20_000, 600_000, 800_000


@dataclass(frozen=True)
class Slices:
    """Slices of several people: pixels (n, SIZE, SIZE) uint8, whether they show a lesion (n,), whose they are (n,)."""

    pixels: NDArray[np.uint8]
    shows: NDArray[np.bool_]
    person: NDArray[np.int64]

    def of(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Slices":
        """Some of them."""
        return Slices(self.pixels[rows], self.shows[rows], self.person[rows])


def prepare(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """The manifest's `window`: SUV 0 to MOST_SUV becomes 0 to 1."""
    return np.clip(volume / MOST_SUV, 0, 1)


def load_pool(folder: Path, first_seed: int, people: int) -> Slices:
    """Generates the slices of so many people, or takes those that an earlier run made."""
    path = folder / f"{first_seed}_{people}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(2) as workers:
            made = list(workers.map(_person, range(first_seed, first_seed + people), chunksize=4))
        arrays = [np.concatenate(part) for part in zip(*made, strict=True)]
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, pixels=arrays[0], shows=arrays[1], person=arrays[2])
        partial.rename(path)
        print(f"phantoms of {people} people from seed {first_seed}", flush=True)
    with np.load(path) as kept:
        return Slices(kept["pixels"], kept["shows"], kept["person"])


def _person(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.int64]]:
    scan = body_pet(seed, slices=SLICES[seed % len(SLICES)], size=SIZE)
    pixels = np.round(prepare(scan.volume) * 255).astype(np.uint8)
    return pixels, scan.shows, np.full(len(pixels), seed)
