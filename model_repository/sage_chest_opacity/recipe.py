"""Builds a gate that tells how like an image is to what a package was trained on, for any package that reads images.

    python model_repository/sage_chest_opacity/recipe.py --for chest_opacity --out DIR --minutes 8
    python model_repository/sage_chest_opacity/recipe.py --for PACKAGE --data DIR --out DIR --minutes 8

PACKAGE is a folder, or a name beside this one. Its `pool.py` is asked for images, or DIR (sage_pool says how). OUT
gets the whole package, to be copied as sage_PACKAGE; the images; a checkpoint, from which an interrupted run goes on.
`--minutes 0` trains nothing and writes the validation.csv of the OUT/1/model.onnx that is there.
"""

import argparse
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sage_cases import cases
from sage_figures import draw_deformation, draw_rejection
from sage_folder import export, gate_name, write_card, write_config, write_golden, write_manifest
from sage_network import Sage
from sage_pool import Pool, Target, available, image_of, images, load_pool, view_of
from sage_training import build
from sage_validation import Scored, figures, score, spoilt

from shared.packages.validation.predictions import write_predictions


@dataclass(frozen=True)
class Plan:
    """How much is drawn, and how long is trained."""

    minutes: float = 8
    seed: int = 0
    training: int = 1000
    calibration: int = 500
    held_out: int = 300
    spoilt: int = 30
    warn_only: bool = False


def run(target: Target, data: Path | None, out: Path, plan: Plan) -> dict[str, float]:
    """The whole recipe; returns the figures measured on the images kept out."""
    kept = out / "images"
    training = load_pool(target, data, "training", plan.training, kept)
    calibration = load_pool(target, data, "calibration", plan.calibration, kept)
    sage = build(target, training, calibration, out / "autoencoder.pt", plan.seed, plan.minutes)
    pixels = target.package.manifest.tensors.pixels
    digest = export(sage, pixels.shape, pixels.name, out / "1" / "model.onnx")
    write_golden(out, pixels.name, _golden_rows(target, data))
    write_cases(target, data, out, plan)
    held_out = load_pool(target, data, "held_out", plan.held_out, kept)
    found = _measure(sage, target, data, held_out, plan, kept, out)
    made: dict[str, object] = {
        "for": f"{target.package.name} {target.package.version}",
        "weights_of_package": target.package.weights_digest(),
        "data": "the package's own pool.py" if data is None else "a folder of DICOM and labels",
        "images": len(training.labels), "calibration_images": len(calibration.labels), "seed": plan.seed,
        "recipe": "model_repository/sage_chest_opacity/recipe.py",
    }  # fmt: skip
    (out / "validation.json").write_text(json.dumps(found, indent=2) + "\n")
    write_config(out, target)
    write_manifest(out, target, digest, found, made, plan.warn_only)
    write_card(out, target, made, found)
    return found


def write_cases(target: Target, data: Path | None, out: Path, plan: Plan) -> None:
    """validation.csv of the graph that lies in `out`."""
    held_out = available(data, "held_out", plan.held_out)
    found = cases(target, data, out / "1" / "model.onnx", held_out, min(plan.spoilt, held_out))
    write_predictions(out / "validation.csv", found)


def _golden_rows(target: Target, data: Path | None) -> list[np.ndarray]:
    """One image kept out, and the same upside down."""
    image, _ = next(images(target, data, "held_out", 0, 1))
    row = target.row(image)
    return [row, np.ascontiguousarray(row[:, ::-1])]


def _measure(
    sage: Sage, target: Target, data: Path | None, held_out: Pool, plan: Plan, kept: Path, folder: Path
) -> dict[str, float]:
    """Figures and plots."""
    scored = score(sage, held_out)
    pools = spoilt(target, data, min(plan.spoilt, len(held_out.labels)), kept)
    stairs = {name: [score(sage, pool) for pool in steps] for name, steps in pools.items()}
    draw_rejection(target, scored, stairs, folder / "rejection.png")
    draw_deformation(stairs, folder / "deformation.png")
    return figures(target, scored, stairs, {"white_noise": _white_noise(sage, target, data)})


def _white_noise(sage: Sage, target: Target, data: Path | None) -> Scored:
    """The gate's word on pictures of nothing, of the size of the images kept out."""
    pixels = next(images(target, data, "held_out", 0, 1))[0].array[0, 0]
    rows = [target.row(image_of(np.random.default_rng(n).normal(1000, 200, pixels.shape))) for n in range(20)]
    views, answers = np.stack([view_of(row) for row in rows]), np.stack([target.answer(row) for row in rows])
    return score(sage, Pool(views, answers, np.zeros(len(rows), np.float32)))


def only_warns(target: Target) -> bool:
    """Whether the gate as it lies beside its package never holds: made again, it must not begin to of itself."""
    manifest = target.folder.parent / gate_name(target) / "package.toml"
    return manifest.is_file() and not tomllib.loads(manifest.read_text(encoding="utf-8"))["gate"]["hold_below"]


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--for", dest="package", default="chest_opacity", help="package folder, or a name beside this")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything the recipe makes")
    parser.add_argument("--data", type=Path, help="folder of DICOM with labels.csv, instead of the package's pool.py")
    parser.add_argument("--minutes", type=float, default=Plan.minutes, help="training time (default 8)")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--images", type=int, default=Plan.training, help="training images (default 1000)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads for training (default 1)")
    parser.add_argument(
        "--warn-only", action="store_true", help="hold_below = 0 (also if the gate that is there has it)"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    beside = Path(__file__).parents[1] / given.package
    target = Target(beside if beside.is_dir() else Path(given.package))
    warn_only = given.warn_only or only_warns(target)
    plan = Plan(given.minutes, given.seed, given.images, warn_only=warn_only)
    if given.minutes <= 0:
        write_cases(target, given.data, given.out, plan)
        return
    for name, value in run(target, given.data, given.out, plan).items():
        print(f"{name}: {value:.4g}")
    print(f"copy {given.out}, without its images and checkpoint, as {gate_name(target)} into a model repository")


if __name__ == "__main__":
    main()
