"""Trains short equal runs on 1, 2, 4 and 6 people: what does another person bring? Writes learning_curve.png.

`python model_repository/motion_ssim/motion_curve.py --data DIR --cache DIR/pairs --out DIR` on the pairs that the
recipe has made; some 75 s of CPU a point.
"""

import argparse
import copy
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import recipe
import torch
from motion_cache import Cache
from motion_figures import Scored, figures, merged, open_model, score_series
from motion_network import MotionNet, export
from motion_pairs import HELD_OUT, Series, load_series

STEPS = 1200
PEOPLE = (
    "brain_t1_sag_siemens_skyra", "studyforrest", "brain_b0_ax_siemens_prisma", "brain_b0_ax_philips_achieva_2008",
    "galan", "brain_gre_ax_ge_architect",
)  # fmt: skip
"""In the order in which they join; test objects and generated heads take part at every point."""


def one_point(people: int, cache_folder: Path, out: Path) -> Path:
    """The exported network of one run, half the recipe's batch."""
    cache = Cache(cache_folder, PEOPLE[people:])
    cache.refresh()
    torch.manual_seed(0)
    net = MotionNet(16).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), recipe.LEARNING_RATE, weight_decay=1e-3)
    run = recipe.Run(net, copy.deepcopy(net), optimiser)
    for _ in recipe.steps(run, cache, argparse.Namespace(steps=STEPS, seed=0, minutes=0)):
        pass
    path = out / f"{people}_people" / "model.onnx"
    export(run.average, path)
    return path


def scored(model: Path, series: list[Series], name: str) -> Scored:
    session = open_model(model)
    return merged([score_series(session, [one], one.name, 1) for one in series], name)


def draw(points: dict[int, dict[str, dict[str, float]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.2), dpi=90)
    for group, label in (("kept_out", "people kept out"), ("in_training", "people in training, moved anew")):
        axes.plot(list(points), [p[group]["sigma"] for p in points.values()], "o-", label=label)
    axes.set(xlabel="people in training", ylabel="residual sigma", ylim=(0, 0.12), xticks=list(points))
    axes.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the learning curve by number of people.")
    for name in ("data", "cache", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe.PIXELS_PER_BATCH //= 2
    recipe.CUT_SHARE, recipe.EMA = 0.8, 0.99
    series = load_series(arguments.data)
    points = {}
    for people in (1, 2, 4, 6):
        model = one_point(people, arguments.cache, arguments.out)
        known = [s for s in series if s.subject in PEOPLE[:people]]
        kept_out = [s for s in series if s.subject in HELD_OUT]
        points[people] = {
            "kept_out": figures(scored(model, kept_out, "kept out")),
            "in_training": figures(scored(model, known, "in training")),
        }
        print(people, points[people], flush=True)
    (arguments.out / "learning_curve.json").write_text(json.dumps(points, indent=1) + "\n", encoding="utf-8")
    draw(points, arguments.out / "learning_curve.png")


if __name__ == "__main__":
    main()
