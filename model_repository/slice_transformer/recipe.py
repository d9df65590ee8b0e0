"""Trains, calibrates, measures and exports slice_transformer from generated phantoms.

    python model_repository/slice_transformer/recipe.py --out DIR --minutes 9 [--series 240] [--compare 3]

DIR gets the phantoms, the checkpoints (an interrupted run goes on from them), 1/model.onnx, golden/rows.npz,
validation.csv, validation.json and example.png. `--compare N` also trains the transformer and a 3D ResNet of as many
parameters on few series, with N seeds, for the same CPU time.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from comparison import compare_on_few
from example import draw_example
from network import SIZE, SliceTransformer
from pool import CALIBRATION_SEED, HELD_OUT_SEED, TRAINING_SEED, Scan, load_pool
from training import predict, train
from validation import calibrate, cases, measure
from warm_up import warm_up

from shared.packages.validation.predictions import write_predictions

CALIBRATION_SERIES, HELD_OUT_SERIES = 100, 300
WARM_UP_SHARE = 1 / 3  # of the training time
GOLDEN_SLICES = (4, 6)


def export(network: SliceTransformer, path: Path) -> None:
    """Write the network as ONNX, opset 17, with free batch and slice dimensions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network.eval(),
        (torch.zeros(2, 1, 3, SIZE, SIZE), torch.ones(2, 3)),
        path,
        input_names=["slices", "slice_mask"],
        output_names=["logit", "slice_weights"],
        dynamic_axes={
            "slices": {0: "batch", 2: "slices"},
            "slice_mask": {0: "batch", 1: "slices"},
            "logit": {0: "batch"},
            "slice_weights": {0: "batch", 1: "slices"},
        },
        opset_version=17,
        dynamo=False,
    )


def write_golden(model: Path, scans: list[Scan], folder: Path) -> None:
    """Two rows, the shorter padded, as float16, and what the exported file says of them."""
    folder.mkdir(parents=True, exist_ok=True)
    slices, mask = np.zeros((2, 1, max(GOLDEN_SLICES), SIZE, SIZE), np.float16), np.zeros((2, max(GOLDEN_SLICES)))
    for row, (count, scan) in enumerate(zip(GOLDEN_SLICES, (s for s in scans if s.positive), strict=False)):
        first = int(np.clip(np.flatnonzero(scan.shows)[0] - count // 2, 0, len(scan.slices) - count))
        slices[row, 0, :count], mask[row, :count] = scan.slices[first : first + count] / 255, 1
    rows = {"slices": slices.astype(np.float32), "slice_mask": mask.astype(np.float32)}
    names = ["logit", "slice_weights"]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    said = dict(zip(names, session.run(names, rows), strict=True))
    np.savez_compressed(folder / "rows.npz", slices=slices, slice_mask=mask.astype(np.float16), **said)


def run(out: Path, minutes: float, series: int, seed: int, seeds: int) -> dict[str, float]:
    """The whole recipe; returns the figures measured on the phantoms kept out."""
    torch.manual_seed(seed)
    phantoms = out / "phantoms"
    training = load_pool(phantoms, TRAINING_SEED, series, paired=True)
    calibration = load_pool(phantoms, CALIBRATION_SEED, CALIBRATION_SERIES)
    held_out = load_pool(phantoms, HELD_OUT_SEED, HELD_OUT_SERIES)
    network = SliceTransformer()
    warm_up(network, training, out / "warm_up.pt", seed, WARM_UP_SHARE * minutes)
    steps, _ = train(network, training, out / "transformer.pt", seed, (1 - WARM_UP_SHARE) * minutes)
    calibrate(network, calibration)
    export(network, out / "1" / "model.onnx")
    write_golden(out / "1" / "model.onnx", held_out, out / "golden")
    figures = {"training_series": len(training), "steps": steps, "cpu_minutes": minutes, **measure(network, held_out)}
    write_predictions(out / "validation.csv", cases(held_out, predict(network, held_out)[0], HELD_OUT_SEED))
    draw_example(network, held_out, out / "example.png")
    if seeds:
        figures |= compare_on_few(training, held_out, out, seeds)
    (out / "validation.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for everything the recipe makes")
    parser.add_argument("--minutes", type=float, default=9, help="CPU minutes of training (default 9)")
    parser.add_argument("--series", type=int, default=240, help="training series, a multiple of 20 (default 240)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="processor threads for training (default 1)")
    parser.add_argument("--compare", type=int, default=0, metavar="N", help="seeds of the comparison on few series")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for name, value in run(given.out, given.minutes, given.series, given.seed, given.compare).items():
        print(f"{name}: {value:.4g}")


if __name__ == "__main__":
    main()
