"""The phantoms that chest_opacity learns from: generated once, preprocessed as the manifest says, kept as bytes."""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))
from shared.phantoms.chest_dx import Opacity, chest_radiograph

SIZE = 512
CHUNK = 50
TRAINING_SEED, CALIBRATION_SEED, HELD_OUT_SEED = 1_000, 500_000, 900_000
PARTS = {"training": TRAINING_SEED, "calibration": CALIBRATION_SEED, "held_out": HELD_OUT_SEED}
DETECTORS = ((512, 512), (640, 512), (512, 512), (768, 640), (1024, 1024))


@dataclass(frozen=True)
class Pool:
    """Images (n, 512, 512) uint8 and, per image, its planted opacities in pixels of that image, and its person.

    `people` (n, 2): the chest's depth and the breasts' thickness over the lungs, both in cm.
    """

    images: NDArray[np.uint8]
    opacities: list[list[Opacity]]
    people: NDArray[np.float32]

    @property
    def labels(self) -> NDArray[np.float32]:
        """1 where anything was planted, (n,)."""
        return np.array([float(bool(planted)) for planted in self.opacities], np.float32)

    def only(self, rows: NDArray[np.bool_]) -> "Pool":
        """The images at `rows` (n,)."""
        opacities = [self.opacities[row] for row in np.flatnonzero(rows)]
        return Pool(self.images[rows], opacities, self.people[rows])


def preprocess(pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The manifest's `scale_percentile` with low 1 and high 99: to [0, 1], clipped."""
    low, high = np.percentile(pixels, [1, 99])
    return np.clip((pixels.astype(np.float32) - low) / max(high - low, 1), 0, 1).astype(np.float32)


def samples(part: str, start: int, stop: int) -> Iterator[tuple[NDArray[np.uint16], float]]:
    """Numbers `start` to `stop` of a part: stored values (rows, columns) of a radiograph, and 1 where any opacity is.

    What the recipe of a gate for this package asks for (model_repository/sage_chest_opacity). `part` is "training",
    "calibration" or "held_out": the recipe's own people, on detectors of several sizes, half of them free.
    """
    for number in range(start, stop):
        radiograph = chest_radiograph(PARTS[part] + number, None, DETECTORS[number % len(DETECTORS)])
        yield radiograph.pixels, float(bool(radiograph.opacities))


def load_pool(folder: Path, first_seed: int, count: int, *, paired: bool, report: bool = True) -> Pool:
    """Generate what is missing of `count` images and load them.

    `paired` gives each person twice, with and without opacities; otherwise each is a new person and half are free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(first_seed, first_seed + (count // 2 if paired else count), CHUNK)
    paths = [folder / f"{'paired' if paired else 'single'}_{seed}.npz" for seed in seeds]
    missing = [(path, seed) for path, seed in zip(paths, seeds, strict=True) if not path.exists()]
    with ProcessPoolExecutor(2) as workers:
        jobs = [workers.submit(_write_chunk, path, seed, paired) for path, seed in missing]
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            if report:
                print(f"phantoms {done * CHUNK * (1 + paired)} of {len(jobs) * CHUNK * (1 + paired)}", flush=True)
    chunks = [np.load(path) for path in paths]
    images = np.concatenate([chunk["images"] for chunk in chunks])[:count]
    opacities = [_unpack(row) for chunk in chunks for row in chunk["opacities"]][:count]
    people = np.concatenate([chunk["people"] for chunk in chunks])[:count]
    return Pool(images, opacities, people)


def _write_chunk(path: Path, first_seed: int, paired: bool) -> None:
    """Generate CHUNK people and write them whole or not at all."""
    images: list[NDArray[np.uint8]] = []
    people: list[tuple[float, float]] = []
    truth = np.full((CHUNK * (1 + paired), 3, 4), np.nan, np.float32)
    for seed in range(first_seed, first_seed + CHUNK):
        for count in (0, 1 + seed % 3) if paired else (None,):
            radiograph = chest_radiograph(seed, count, (SIZE, SIZE))
            for place, planted in enumerate(radiograph.opacities):
                truth[len(images), place] = (planted.row, planted.column, planted.radius_px, planted.contrast)
            images.append(np.round(preprocess(radiograph.pixels) * 255).astype(np.uint8))
            people.append((radiograph.build.depth, radiograph.build.breast))
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, images=np.stack(images), opacities=truth, people=np.array(people, np.float32))
    partial.rename(path)


def _unpack(row: NDArray[np.float32]) -> list[Opacity]:
    """Rows of row, column, radius, contrast; NaN rows are no opacity."""
    return [Opacity(*map(float, values)) for values in row if not np.isnan(values[0])]
