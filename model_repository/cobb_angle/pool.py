"""The drawn spines that cobb_angle learns from: generated once, preprocessed as the manifest says, kept as bytes."""

import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))
from shared.imaging.steps import compile_steps
from shared.imaging.volume import Volume
from shared.packages.folder import load_package
from shared.phantoms.spine import CURVES
from shared.phantoms.spine_dx import spine_radiograph

ROWS, COLUMNS, LEVELS = 1024, 512, 17
CHUNK = 20
TRAINING_SEED, CALIBRATION_SEED, HELD_OUT_SEED = 1_000, 500_000, 900_000


@dataclass(frozen=True)
class Pool:
    """Images (n, 1024, 512) uint8 and the truth: corners (n, 17, 4, 2) in their pixels, angle, curve, aspect (n,)."""

    images: NDArray[np.uint8]
    corners: NDArray[np.float32]
    cobb: NDArray[np.float32]
    curve: NDArray[np.int64]
    aspect: NDArray[np.float32]


def preprocess(pixels: NDArray[np.float32], spacing_mm: tuple[float, float] | None = None) -> Volume:
    """One image of bright bones by the manifest's own steps."""
    steps = compile_steps(load_package(Path(__file__).parent).manifest.preprocess)
    return steps(Volume.image(pixels, spacing_mm))


def to_input(image: Volume, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Points (..., 2) of the source image, column and row, in pixels of the network's input."""
    back = np.linalg.inv(image.grid.to_source)
    return points @ back[:2, :2].T + back[:2, 3]


def to_source(image: Volume, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """The inverse of `to_input`."""
    return points @ image.grid.to_source[:2, :2].T + image.grid.to_source[:2, 3]


def load_pool(folder: Path, first_seed: int, count: int, *, workers: int = 1) -> Pool:
    """Generate what is missing of `count` spines, seeds counted up from `first_seed`, and load them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {seed: folder / f"spines_{seed}.npz" for seed in range(first_seed, first_seed + count, CHUNK)}
    missing = {seed: path for seed, path in paths.items() if not path.exists()}
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_write_chunk, path, seed) for seed, path in missing.items()]
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            print(f"phantoms {done * CHUNK} of {len(jobs) * CHUNK}", flush=True)
    chunks = [np.load(path) for path in paths.values()]
    names = ("images", "corners", "cobb", "curve", "aspect")
    return Pool(*(np.concatenate([chunk[name] for chunk in chunks])[:count] for name in names))


def _write_chunk(path: Path, first_seed: int) -> None:
    """Generate CHUNK people and write them whole or not at all."""
    rows = []
    for seed in range(first_seed, first_seed + CHUNK):
        spine = spine_radiograph(seed)
        image = preprocess(spine.pixels, spine.spacing_mm)
        aspect = spine.spacing_mm[1] / spine.spacing_mm[0]
        shown = np.round(image.array[0, 0] * 255).astype(np.uint8)
        rows.append((shown, to_input(image, spine.corners), spine.cobb_degrees, CURVES.index(spine.curve), aspect))
    images, corners, cobb, curve, aspects = zip(*rows, strict=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        images=np.stack(images),
        corners=np.stack(corners).astype(np.float32),
        cobb=np.array(cobb, np.float32),
        curve=np.array(curve),
        aspect=np.array(aspects, np.float32),
    )
    partial.rename(path)
