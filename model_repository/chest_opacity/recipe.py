"""Trains, calibrates, measures and exports chest_opacity from generated phantoms.

    python model_repository/chest_opacity/recipe.py --out DIR --minutes 20 [--images 4000] [--compare]

DIR gets the phantoms, the checkpoints (an interrupted run goes on from them), 1/model.onnx, validation.csv,
validation.json and example.png. `--compare` also trains the same backbone on whole images, for as many steps, and
measures its Grad-CAM. `--minutes 0` trains nothing and measures the DIR/1/model.onnx that is there.
"""

import argparse
import json
from pathlib import Path

import torch
from cases import cases
from network import PatchNetwork, WholeNetwork
from pool import CALIBRATION_SEED, HELD_OUT_SEED, SIZE, TRAINING_SEED, Pool, load_pool
from training import train
from validation import calibrate, draw_example, measure_patches, measure_whole, read

from shared.packages.validation.predictions import write_predictions

CALIBRATION_IMAGES, HELD_OUT_IMAGES = 400, 600


def export(network: PatchNetwork, path: Path) -> None:
    """Write the network as ONNX, opset 17, with a free batch dimension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ["logit", "patch_logits"]
    torch.onnx.export(
        network.eval(),
        (torch.zeros(2, 1, SIZE, SIZE),),
        path,
        input_names=["image"],
        output_names=names,
        dynamic_axes={name: {0: "batch"} for name in ["image", *names]},
        opset_version=17,
        dynamo=False,
    )


def run(out: Path, minutes: float, images: int, seed: int, compare: bool) -> dict[str, float]:
    """The whole recipe; returns the figures measured on the phantoms kept out."""
    torch.manual_seed(seed)
    phantoms, trained = out / "phantoms", {}
    held_out = load_pool(phantoms, HELD_OUT_SEED, HELD_OUT_IMAGES, paired=False)
    if minutes > 0:
        training = load_pool(phantoms, TRAINING_SEED, images, paired=True)
        patches = PatchNetwork()
        steps = train(patches, training, out / "patches.pt", seed, minutes=minutes)
        calibrate(patches, load_pool(phantoms, CALIBRATION_SEED, CALIBRATION_IMAGES, paired=False))
        export(patches, out / "1" / "model.onnx")
        trained = {"training_images": len(training.images), "steps": steps}
    figures = trained | report(out, held_out)
    if minutes > 0 and compare:
        whole = WholeNetwork()
        train(whole, training, out / "whole.pt", seed, steps=steps)
        figures |= measure_whole(whole, held_out)
    (out / "validation.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def report(out: Path, held_out: Pool) -> dict[str, float]:
    """Measure the graph that lies in `out`, and write its cases and an example beside it."""
    logits, maps = read(out / "1" / "model.onnx", held_out.images)
    write_predictions(out / "validation.csv", cases(held_out, logits, HELD_OUT_SEED))
    draw_example(logits, maps, held_out, out / "example.png")
    return measure_patches(logits, maps, held_out)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for everything the recipe makes")
    parser.add_argument("--minutes", type=float, default=20, help="training time (default 20)")
    parser.add_argument(
        "--images", type=int, default=4000, help="training radiographs, a multiple of 100 (default 4000)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="processor threads for training (default 1)")
    parser.add_argument("--compare", action="store_true", help="also train the backbone on whole images")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for name, value in run(given.out, given.minutes, given.images, given.seed, given.compare).items():
        print(f"{name}: {value:.4g}")


if __name__ == "__main__":
    main()
