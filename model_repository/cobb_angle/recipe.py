"""Trains, measures and exports cobb_angle from drawn spines.

    python model_repository/cobb_angle/recipe.py --out DIR --minutes 20 [--spines 800]

DIR gets the phantoms, the checkpoints (an interrupted run goes on from them), 1/model.onnx, golden/rows.npz,
validation.csv, validation.json and example.png. Of the minutes, two parts in five train the finder
and three the outliner; they are minutes of one processor core, however busy it is.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from network import Finder, Outliner
from pool import COLUMNS, HELD_OUT_SEED, ROWS, TRAINING_SEED, load_pool, preprocess
from reader import CobbNetwork
from training import train_finder, train_outliner
from validation import draw_example, film_of, measure, open_session

from shared.packages.validation.predictions import write_predictions
from shared.phantoms.spine_dx import spine_radiograph

KEPT_OUT, TURNED = 300, 100
OUTPUTS = ["landmarks", "cobb_lines", "confidence"]
GOLDEN_SEED, GREYS = 200, 32
EXAMPLES = (900_003, 900_011, 900_024, 900_030)


def export(network: CobbNetwork, path: Path) -> None:
    """Write the whole graph as ONNX, opset 17, with a free batch dimension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network.eval(),
        (torch.rand(2, 1, ROWS, COLUMNS),),
        path,
        input_names=["image"],
        output_names=OUTPUTS,
        dynamic_axes={name: {0: "batch"} for name in ["image", *OUTPUTS]},
        opset_version=17,
        dynamo=False,
    )


def write_golden(out: Path) -> None:
    """A spine in a few greys, which half precision holds exactly, and what the exported graph says of it."""
    pixels = preprocess(*film_of(spine_radiograph(GOLDEN_SEED, 40.0, "thoracic"))).array[0, 0]
    image = (np.round(pixels * GREYS) / GREYS).astype(np.float16)[None, None]
    said = open_session(out / "1" / "model.onnx").run(OUTPUTS, {"image": image.astype(np.float32)})
    (out / "golden").mkdir(exist_ok=True)
    np.savez_compressed(out / "golden" / "rows.npz", image=image, **dict(zip(OUTPUTS, said, strict=True)))


def run(out: Path, minutes: float, spines: int, seed: int) -> dict[str, float]:
    """The whole recipe; returns the figures measured on the spines kept out."""
    pool = load_pool(out / "phantoms", TRAINING_SEED, spines)
    torch.manual_seed(seed)
    finder, outliner = Finder(), Outliner()
    steps = train_finder(finder, pool, out / "finder.pt", seed, minutes * 2 / 5)
    steps_too = train_outliner(outliner, pool, out / "outliner.pt", seed, minutes * 3 / 5)
    export(CobbNetwork(finder, outliner), out / "1" / "model.onnx")
    write_golden(out)
    trained = {"training_spines": spines, "finder_steps": steps, "outliner_steps": steps_too}
    return trained | report(out)


def report(out: Path) -> dict[str, float]:
    """Measure the graph that lies in `out`, and write figures and pictures beside it."""
    session = open_session(out / "1" / "model.onnx")
    figures, cases = measure(session, range(HELD_OUT_SEED, HELD_OUT_SEED + KEPT_OUT), TURNED)
    write_predictions(out / "validation.csv", cases)
    (out / "validation.json").write_text(json.dumps(figures, indent=2) + "\n")
    draw_example(session, EXAMPLES, out / "example.png")
    return figures


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for everything the recipe makes")
    parser.add_argument("--minutes", type=float, default=20, help="training time of one core (default 20)")
    parser.add_argument("--spines", type=int, default=800, help="training radiographs, a multiple of 20 (default 800)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="processor threads for training (default 1)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    for name, value in run(given.out, given.minutes, given.spines, given.seed).items():
        print(f"{name}: {value:.4g}")


if __name__ == "__main__":
    main()
