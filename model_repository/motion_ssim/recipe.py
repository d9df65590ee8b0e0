"""Trains the motion gate: `python model_repository/motion_ssim/recipe.py --data DIR --out DIR --minutes N`.

Needs torch, scikit-image, onnx, onnxruntime and matplotlib. The same --out resumes where the last run stopped.
"""

import argparse
import copy
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch
from motion_cache import Cache, start_workers
from motion_figures import validate
from motion_network import BORDER, STRIDE, MotionNet, export, features, load_exported
from motion_pairs import CELL
from torch import Tensor
from torch.nn import functional

PIXELS_PER_BATCH = 8 * 256 * 256
LEARNING_RATE = 2e-3
MAP_SHARE = 1.0
EMA = 0.999
BETA = 0.05
"""Errors below it count squared, so that the spread is made small and not the median error."""
CUT_SIDE, CUT_SHARE = 128, 0.6
"""The first six tenths of the time go to cuts of 128×128, four times as many as whole slices; the rest to those."""


@dataclass
class Run:
    """What a checkpoint holds: the network, its running average, the optimiser, steps done and seconds spent."""

    net: MotionNet
    average: MotionNet
    optimiser: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        state = {"net": self.net.state_dict(), "average": self.average.state_dict(), "step": self.step}
        state |= {"optimiser": self.optimiser.state_dict(), "seconds": self.seconds}
        torch.save(state, path.with_suffix(".partial"))
        path.with_suffix(".partial").rename(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])


def start(width: int, seed: int, checkpoint: Path, begin_with: Path | None, cache: Cache) -> Run:
    """A new run, from the weights of an exported file where there is one, or the one of the checkpoint."""
    torch.manual_seed(seed)
    net = MotionNet(width)
    if begin_with is not None and not checkpoint.exists():
        load_exported(net, begin_with, draw(cache, 512, np.random.default_rng(seed))[0])
    net = net.to(memory_format=torch.channels_last)
    run = Run(net, copy.deepcopy(net), torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=1e-3))
    if checkpoint.exists():
        run.load(checkpoint)
        print(f"resumed at step {run.step}, {run.seconds / 60:.1f} minutes spent", flush=True)
    return run


def draw(cache: Cache, side: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A batch, mirrored and turned at random (SSIM does not mind)."""
    images, cells, ssim = cache.batch(PIXELS_PER_BATCH, side, rng)
    if rng.random() < 0.5:
        images, cells = images.swapaxes(1, 2), cells.swapaxes(1, 2)
    for axis in (1, 2):
        if rng.random() < 0.5:
            images, cells = np.flip(images, axis), np.flip(cells, axis)
    to_tensor = [torch.from_numpy(np.ascontiguousarray(a, np.float32))[:, None] for a in (images, cells)]
    return to_tensor[0], to_tensor[1], torch.from_numpy(ssim)


def place_targets(cells: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Mean SSIM and share of valid pixels of each place of the network's score map."""
    inner = torch.ones(1, 1, shape[2] - 2 * BORDER, shape[3] - 2 * BORDER)
    valid = functional.avg_pool2d(functional.pad(inner, (BORDER,) * 4), CELL)
    side = STRIDE // CELL
    reach = (0, side - 1, 0, side - 1)
    weight = functional.avg_pool2d(functional.pad(valid, reach), side)
    total = functional.avg_pool2d(functional.pad(cells * valid, reach), side)
    return total / weight.clamp_min(1e-6), weight


def loss_of(net: MotionNet, images: Tensor, cells: Tensor, ssim: Tensor) -> tuple[Tensor, Tensor]:
    """Huber-like loss of the slice's score plus that of its map; the mean absolute error of the score."""
    seen = features(images).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = net.score_features(seen)
    scores = scores.float()
    target, weight = place_targets(cells, images.shape)
    predicted = (scores * weight).sum((1, 2, 3)) / weight.sum()
    of_map = (functional.smooth_l1_loss(scores, target, beta=BETA, reduction="none") * weight).sum()
    of_map = of_map / (weight.sum() * len(images))
    of_slice = functional.smooth_l1_loss(predicted, ssim, beta=BETA)
    return of_slice + MAP_SHARE * of_map, (predicted - ssim).abs().mean().detach()


def set_rate(run: Run, share: float) -> None:
    rate = LEARNING_RATE * min(1.0, (run.step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, share)))
    for group in run.optimiser.param_groups:
        group["lr"] = rate


def follow(average: MotionNet, net: MotionNet, step: int) -> None:
    decay = min(EMA, (step + 1) / (step + 10))
    with torch.no_grad():
        for kept, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
            if kept.dtype.is_floating_point:
                kept.lerp_(new, 1.0 - decay)
            else:
                kept.copy_(new)


def share_done(run: Run, arguments: argparse.Namespace) -> float:
    """How much of the budget is spent: of steps where that is given, else of minutes."""
    if arguments.steps:
        return run.step / float(arguments.steps)
    return run.seconds / (arguments.minutes * 60)


def steps(run: Run, cache: Cache, arguments: argparse.Namespace) -> Iterator[Tensor]:
    """Train until the budget is spent, yielding the error of each step."""
    rng = np.random.default_rng([13, arguments.seed, run.step])
    while (share := share_done(run, arguments)) < 1.0:
        began = time.monotonic()
        set_rate(run, share)
        images, cells, ssim = draw(cache, CUT_SIDE if share < CUT_SHARE else 512, rng)
        loss, error = loss_of(run.net, images, cells, ssim)
        run.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.net.parameters(), 1.0)
        run.optimiser.step()
        follow(run.average, run.net, run.step)
        run.step += 1
        run.seconds += time.monotonic() - began
        yield error


def train(arguments: argparse.Namespace) -> MotionNet:
    """Fill the cache in the background and train meanwhile; the running average of the network."""
    shards: Path = arguments.cache or arguments.out / "pairs"
    workers = start_workers(arguments.data, shards, arguments.shards, arguments.workers)
    cache = Cache(shards, arguments.without)
    while cache.refresh() < min(arguments.shards, 8) * 256:
        if not any(worker.is_alive() for worker in workers):
            raise SystemExit(f"too few training pairs in {shards}, and no worker that makes more")
        print("\rwaiting for the first pairs …", end="", flush=True)
        time.sleep(2)
    checkpoint = arguments.out / "checkpoint.pt"
    run = start(arguments.width, arguments.seed, checkpoint, arguments.begin_with, cache)
    recent = 0.0
    for error in steps(run, cache, arguments):
        recent = float(error) if recent == 0.0 else 0.98 * recent + 0.02 * float(error)
        if run.step % 100 == 0:
            pairs = cache.refresh()
            done = share_done(run, arguments)
            left = run.seconds / 60 * (1 / max(done, 1e-6) - 1)
            print(f"step {run.step}  error {recent:.4f}  pairs {pairs}  {left:.1f} minutes left", flush=True)
            run.save(checkpoint)
    run.save(checkpoint)
    for worker in workers:
        worker.terminate()
    return run.average


def main() -> None:
    parser = argparse.ArgumentParser(description="Train, export and validate the motion gate.")
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.tsv and one folder a series")
    parser.add_argument("--out", type=Path, required=True, help="where model.onnx, figures and checkpoint go")
    parser.add_argument("--look", type=Path, help="one more DICOM series, scored after everything is decided")
    parser.add_argument("--cache", type=Path, help="where training pairs are kept (default: OUT/pairs)")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=0, help="a budget of steps in place of minutes: repeatable")
    parser.add_argument("--begin-with", type=Path, help="an exported model.onnx whose weights training begins with")
    parser.add_argument("--without", nargs="*", default=[], help="subjects to leave out of training")
    parser.add_argument("--shards", type=int, default=160, help="training pairs in units of 256")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that make pairs (0: only those that are there)"
    )
    # Narrower ones crash torch 2.13's bfloat16 convolutions on the way back.
    width = "channels of the first stage (ResNet-18: 64)"
    parser.add_argument("--width", type=int, default=16, choices=(16, 24, 32, 64), help=width)
    parser.add_argument("--threads", type=int, default=2, help="of torch; 1 where other work shares the cores")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.nice(5)
    torch.set_num_threads(arguments.threads)
    model = arguments.out / "1" / "model.onnx"
    if arguments.minutes > 0:
        export(train(arguments), model)
    validate(model, arguments.data, arguments.out, arguments.look)


if __name__ == "__main__":
    main()
