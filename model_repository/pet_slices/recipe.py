"""Trains, calibrates, measures and exports pet_slices from generated phantoms.

    python model_repository/pet_slices/recipe.py --out DIR --minutes 2.5 [--people 160] [--compare 9]

DIR gets the phantoms, the checkpoints (an interrupted run goes on from them), 1/model.onnx, golden/rows.npz,
validation.csv and validation.json. `--compare N` also shows, on N people, what splitting by slice does to the figures.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from leakage import compare_splits
from network import SIZE, SliceNetwork
from pool import CALIBRATION_SEED, HELD_OUT_SEED, TRAINING_SEED, Slices, load_pool
from scipy.special import expit
from training import predict, train

from shared.packages.validation.figures import figures_of, platt
from shared.packages.validation.predictions import Prediction, write_predictions

CALIBRATION_PEOPLE, HELD_OUT_PEOPLE, VALIDATION_PEOPLE = 30, 60, 20
THRESHOLD = 0.05  # where flags begin
COMPARISON_MINUTES = 0.4  # of each of six networks


def export(network: SliceNetwork, path: Path) -> None:
    """Write the network as ONNX, opset 17, with a free batch dimension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {"slice": {0: "batch"}, "logit": {0: "batch"}}
    torch.onnx.export(
        network.eval(), (torch.zeros(2, 1, SIZE, SIZE),), path, input_names=["slice"], output_names=["logit"],
        dynamic_axes=axes, opset_version=17, dynamo=False,
    )  # fmt: skip


def write_golden(model: Path, slices: Slices, folder: Path) -> None:
    """Two slices with a lesion and two without, as float16, and what the exported file says of them."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [*np.flatnonzero(slices.shows)[:2], *np.flatnonzero(~slices.shows)[40:42]]
    rows = (slices.pixels[chosen].astype(np.float32) / 255)[:, None].astype(np.float16)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    [logit] = session.run(["logit"], {"slice": rows.astype(np.float32)})
    np.savez_compressed(folder / "rows.npz", slice=rows, logit=logit)


def calibrate(network: SliceNetwork, slices: Slices) -> None:
    """Fold Platt's slope and intercept into the logit."""
    slope, intercept = platt(slices.shows.astype(np.float64), predict(network, slices))
    with torch.no_grad():
        network.platt.weight.fill_(slope)
        network.platt.bias.fill_(intercept)


def cases(slices: Slices, logits: np.ndarray) -> list[Prediction]:
    """What was true and what was said of each slice; the part of the body is a stratum."""
    numbers = np.concatenate([np.arange(count) / count for count in np.unique(slices.person, return_counts=True)[1]])
    parts = np.select([numbers < 0.25, numbers < 0.5, numbers < 0.8], ["thigh and pelvis", "abdomen", "chest"], "head")
    return [
        Prediction("lesion", f"{person}-{n}", float(shows), float(said), {"part": str(part)})
        for n, (person, shows, said, part) in enumerate(
            zip(slices.person, slices.shows, expit(logits), parts, strict=True)
        )
    ]


def run(out: Path, minutes: float, people: int, seed: int, compare: int) -> dict[str, float]:
    """The whole recipe; returns the figures measured on the people kept out."""
    torch.manual_seed(seed)
    phantoms = out / "phantoms"
    training = load_pool(phantoms, TRAINING_SEED, people)
    held_out = load_pool(phantoms, HELD_OUT_SEED, HELD_OUT_PEOPLE)
    network = SliceNetwork()
    steps = train(network, training, out / "network.pt", seed, minutes)
    calibrate(network, load_pool(phantoms, CALIBRATION_SEED, CALIBRATION_PEOPLE))
    export(network, out / "1" / "model.onnx")
    write_golden(out / "1" / "model.onnx", held_out, out / "golden")
    kept = held_out.of(held_out.person < HELD_OUT_SEED + VALIDATION_PEOPLE)  # a csv of all slices would be large
    written = cases(kept, predict(network, kept))
    write_predictions(out / "validation.csv", written)
    on_all = figures_of(cases(held_out, predict(network, held_out)), THRESHOLD)
    figures = {
        "people": float(people), "steps": float(steps), "cpu_minutes": minutes,
        **figures_of(written, THRESHOLD), **{f"{name}_of_all": value for name, value in on_all.items()},
    }  # fmt: skip
    if compare:
        few = load_pool(phantoms, TRAINING_SEED, compare)
        figures |= compare_splits(few, out, COMPARISON_MINUTES, seed)
    (out / "validation.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for everything the recipe makes")
    parser.add_argument("--data", type=Path, help="not taken: there are no labels but the phantoms' own")
    parser.add_argument("--minutes", type=float, default=2.5, help="CPU minutes of training (default 2.5)")
    parser.add_argument("--people", type=int, default=160, help="people to train on (default 160)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", type=int, default=0, metavar="N", help="people of the comparison of splits")
    given = parser.parse_args()
    if given.data:
        parser.error("--data: pet_slices learns from phantoms only; see its card")
    torch.set_num_threads(1)
    for name, value in run(given.out, given.minutes, given.people, given.seed, given.compare).items():
        print(f"{name}: {value:.4g}")


if __name__ == "__main__":
    main()
