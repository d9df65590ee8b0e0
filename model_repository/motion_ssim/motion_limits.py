"""What limits the motion gate: measured on people kept out, on the moved slices of validation.csv.

`python model_repository/motion_ssim/motion_limits.py --data DIR [--model FILE]`; some 3 minutes of CPU. The label falls
also where the head lies elsewhere than in the reference, which one picture can't tell. Here every slice is labelled a
second time, by the pose of its motion in which the still slice is most like it.
"""

import argparse
import copy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from motion_figures import DRAWS, Vector, accuracy, generator_of, open_model, predict
from motion_pairs import HELD_OUT, Array, Pair, Series, draw_severity, load_series, make_pair, scale
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from shared.phantoms.motion import corrupt, still_in_each_pose


def pairs_of(series: Series) -> list[tuple[Pair, float]]:
    """The pairs that the figures are of, each with its second label."""
    rng, found = generator_of([series], series.name), []
    for one in series.slices:
        for _ in range(DRAWS):
            severity = draw_severity(rng)
            again = copy.deepcopy(rng)
            pair = make_pair(one, severity, rng)
            found.append((pair, ssim_to_best_pose(one, severity, again) if severity else pair.ssim))
    return found


def ssim_to_best_pose(one: Array, severity: float, rng: np.random.Generator) -> float:
    """The highest SSIM that the moved slice has to the still one in any pose of its motion."""
    moved = scale(corrupt(one, severity, copy.deepcopy(rng)), one)
    still = [scale(posed, one) for posed in still_in_each_pose(one, severity, rng)]
    return max(float(structural_similarity(posed, moved, data_range=1.0)) for posed in still)


def spread(residual: Vector) -> tuple[float, float]:
    """Sigma of the residuals among the moved versions of one slice, and of slices' own means (without the former)."""
    table: NDArray[np.float64] = residual.reshape(-1, DRAWS)
    within = float(table.var(1, ddof=1).mean())
    return within**0.5, max(0.0, float(table.mean(1).var(ddof=1)) - within / DRAWS) ** 0.5


def told(name: str, predicted: Vector, label: Vector) -> str:
    residual = predicted - label
    classes = ", ".join(f"{accuracy(label, predicted, n):.3f}" for n in (3, 5, 10))
    return f"{name}: mean {residual.mean():+.4f}, sigma {residual.std():.4f}, classes {classes}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Show what limits the motion gate.")
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.tsv and one folder a series")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent / "1" / "model.onnx")
    arguments = parser.parse_args()
    model = open_model(arguments.model)
    found = [pair for s in load_series(arguments.data) if s.subject in HELD_OUT for pair in pairs_of(s)]
    predicted = predict(model, [pair for pair, _ in found])
    label, second = np.array([pair.ssim for pair, _ in found]), np.array([best for _, best in found])
    print(told("label", predicted, label))
    print("sigma among moved versions of one slice, of slices: {:.4f}, {:.4f}".format(*spread(predicted - label)))
    print(told("label by the best pose", predicted, second))
    strong = label < 0.85
    for name, chosen in (("label under 0.85", strong), ("from 0.85 on", ~strong)):
        print(told(name, predicted[chosen], label[chosen]))
        print(told(f"{name}, by the best pose", predicted[chosen], second[chosen]))


if __name__ == "__main__":
    main()
