"""Keeps training pairs on disk in numbered shards, made by worker processes while the network trains."""

import multiprocessing
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from motion_pairs import CELL, HELD_OUT, Pair, load_series, phantom_series, training_pairs
from numpy.typing import NDArray

from shared.packages.subjects import refuse_shared

SHARD = 256
"""Pairs in a shard; shard n is drawn from seed n and always holds the same pairs."""
HEADS = 24
"""Generated heads that a worker keeps at hand: each shard brings a new one, and the oldest goes."""
Half = NDArray[np.float16]


def write_shards(data: Path, folder: Path, numbers: range) -> None:
    """Make the shards of these numbers that are not there yet (a shard appears whole or not at all)."""
    os.nice(5)
    missing = [n for n in numbers if not (folder / f"{n:05d}.npz").exists()]
    if not missing:
        return
    series = [s for s in load_series(data) if s.subject not in HELD_OUT]
    refuse_shared({"training": [s.subject for s in series], "kept out": HELD_OUT})
    heads = [phantom_series(1000 + missing[0])]
    for number in missing:
        heads = [*heads, phantom_series(1001 + number, slices=12)][-HEADS:]
        source = training_pairs([*series, *heads], number)
        _save(folder / f"{number:05d}.npz", [next(source) for _ in range(SHARD)])


def _save(path: Path, pairs: list[Pair]) -> None:
    arrays: dict[str, NDArray[Any]] = {}
    for shape in sorted({p.image.shape for p in pairs}):
        chosen = [p for p in pairs if p.image.shape == shape]
        key = f"{shape[0]}x{shape[1]}"
        arrays[f"image_{key}"] = np.stack([p.image for p in chosen]).astype(np.float16)
        arrays[f"cells_{key}"] = np.stack([p.cells for p in chosen]).astype(np.float16)
        arrays[f"ssim_{key}"] = np.array([p.ssim for p in chosen], np.float32)
        arrays[f"subject_{key}"] = np.array([p.subject for p in chosen])
    partial = path.with_suffix(".partial")
    with partial.open("wb") as out:
        np.savez(out, **arrays)
    partial.rename(path)


def start_workers(data: Path, folder: Path, shards: int, workers: int) -> list[multiprocessing.Process]:
    """Fill `folder` with `shards` shards in the background; the processes end by themselves or with this one."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    started = [
        context.Process(target=write_shards, args=(data, folder, range(first, shards, workers)), daemon=True)
        for first in range(workers)
    ]
    for process in started:
        process.start()
    return started


class Cache:
    """The shards read so far, in memory, as batches of one image size.

    `without` names subjects whose pairs are left out, as a learning curve by number of people needs.
    """

    def __init__(self, folder: Path, without: Collection[str] = ()) -> None:
        self._folder = folder
        self._without = sorted(without)
        self._read: set[str] = set()
        self._images: dict[str, list[Half]] = {}
        self._cells: dict[str, list[Half]] = {}
        self._ssim: dict[str, list[NDArray[np.float32]]] = {}

    def refresh(self) -> int:
        """Read the shards that have come since; the number of pairs in memory."""
        for path in sorted(self._folder.glob("*.npz")):
            if path.name not in self._read:
                self._read.add(path.name)
                self._add(path)
        return sum(len(part) for parts in self._ssim.values() for part in parts)

    def _add(self, path: Path) -> None:
        with np.load(path) as arrays:
            for key in {name.split("_")[1] for name in arrays.files}:
                kept = ~np.isin(arrays[f"subject_{key}"], self._without)
                if kept.any():
                    self._images.setdefault(key, []).append(arrays[f"image_{key}"][kept])
                    self._cells.setdefault(key, []).append(arrays[f"cells_{key}"][kept])
                    self._ssim.setdefault(key, []).append(arrays[f"ssim_{key}"][kept])

    def batch(self, pixels: int, side: int, rng: np.random.Generator) -> tuple[Half, Half, NDArray[np.float32]]:
        """Images, SSIM cells and mean SSIM of about `pixels` pixels in total, all of one size, drawn at random.

        Images larger than `side` are cut to it at random places; their mean SSIM is then that of the cut.
        """
        keys = sorted(self._ssim)
        sizes = [self._images[k][0].shape[1:] for k in keys]
        areas = [min(rows, side) * min(columns, side) for rows, columns in sizes]
        counts = [sum(map(len, self._ssim[k])) * area for k, area in zip(keys, areas, strict=True)]
        chosen = int(rng.choice(len(keys), p=np.array(counts) / sum(counts)))
        key, count = keys[chosen], max(4, pixels // areas[chosen])
        lengths = np.cumsum([len(shard) for shard in self._ssim[key]])
        places = rng.integers(lengths[-1], size=count)
        which = np.searchsorted(lengths, places, side="right")
        within = places - np.concatenate([[0], lengths])[which]
        cuts = [self._cut(key, int(w), int(i), side, rng) for w, i in zip(which, within, strict=True)]
        images, cells, ssim = zip(*cuts, strict=True)
        return np.stack(images), np.stack(cells), np.array(ssim, np.float32)

    def _cut(self, key: str, shard: int, place: int, side: int, rng: np.random.Generator) -> tuple[Half, Half, float]:
        image, cells = self._images[key][shard][place], self._cells[key][shard][place]
        if max(image.shape) <= side:
            return image, cells, float(self._ssim[key][shard][place])
        for axis in (0, 1):
            spare = max(0, image.shape[axis] - side) // CELL
            first, length = int(rng.integers(spare + 1)), min(side, image.shape[axis]) // CELL
            cells = np.take(cells, range(first, first + length), axis)
            image = np.take(image, range(first * CELL, (first + length) * CELL), axis)
        return image, cells, float(cells.astype(np.float32).mean())
