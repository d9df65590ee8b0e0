"""Measures chest_opacity on phantoms kept out of training: does it tell them apart, and does its map point right?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from cases import THRESHOLD, cases
from network import PatchNetwork, WholeNetwork
from numpy.typing import NDArray
from pool import SIZE, Opacity, Pool
from scipy.special import expit
from training import predict

from shared.packages.validation.figures import auroc, figures_of, platt


def calibrate(network: PatchNetwork, pool: Pool) -> None:
    """Fold Platt's slope and intercept into the patch logits, so that their mean stays the image's logit."""
    logits, _ = predict(network, pool.images)
    slope, intercept = platt(pool.labels, logits)
    network.scale.mul_(slope)
    network.shift.mul_(slope).add_(intercept)


def read(model: Path, images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Logits (n,) and maps (n, 8, 8) that the exported file gives for images (n, 512, 512)."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rows = (images[start : start + 1, None].astype(np.float32) / 255 for start in range(len(images)))
    said = [session.run(["logit", "patch_logits"], {"image": row}) for row in rows]
    logits, maps = (np.concatenate(part) for part in zip(*said, strict=True))
    return logits[:, 0].astype(np.float64), maps


def hit(saliency: NDArray[np.floating], planted: Sequence[Opacity]) -> bool:
    """Whether the cell of highest `saliency` (k, k) touches a planted opacity."""
    cell = SIZE / len(saliency)
    row, column = np.unravel_index(int(saliency.argmax()), saliency.shape)
    return any(
        np.hypot(
            max(abs((row + 0.5) * cell - opacity.row) - cell / 2, 0),
            max(abs((column + 0.5) * cell - opacity.column) - cell / 2, 0),
        )
        <= opacity.radius_px
        for opacity in planted
    )


def hit_rate(maps: NDArray[np.floating], pool: Pool) -> float:
    """Share of the images with something planted whose map (n, k, k) peaks on it."""
    return float(np.mean([hit(image, planted) for image, planted in zip(maps, pool.opacities, strict=True) if planted]))


def chance_rate(pool: Pool) -> float:
    """Share of an 8 x 8 map's cells that would count as a hit, over images with something planted."""
    cells = np.eye(64).reshape(64, 8, 8)
    return float(np.mean([hit(cell, planted) for planted in pool.opacities if planted for cell in cells]))


def attributions(network: WholeNetwork, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Grad-CAM and HiResCAM, each (n, 32, 32), of the whole-image network at its last features.

    Grad-CAM weighs a channel by its mean slope; HiResCAM, slope by slope, does not mix places, and so also suits a
    head that takes maxima.
    """
    grad_cam, hires_cam = [], []
    for image in images:
        logit, features = network(torch.from_numpy(image.astype(np.float32) / 255)[None, None])
        (slopes,) = torch.autograd.grad(logit.sum(), features)
        grad_cam.append((slopes.mean((2, 3), keepdim=True) * features).sum(1).relu()[0].detach().numpy())
        hires_cam.append((slopes * features).sum(1).relu()[0].detach().numpy())
    return np.stack(grad_cam), np.stack(hires_cam)


def measure_patches(logits: NDArray[np.float64], maps: NDArray[np.float32], pool: Pool) -> dict[str, float]:
    """Figures of the package on `pool`."""
    return {
        **figures_of(cases(pool, logits, 0), THRESHOLD),
        "hit_rate": hit_rate(maps, pool),
        "hit_rate_by_chance": chance_rate(pool),
        "additivity_error": float(np.abs(maps.mean((1, 2), dtype=np.float64) - logits).max()),
        **_measure_strata(logits, maps, pool),
    }


def _measure_strata(logits: NDArray[np.float64], maps: NDArray[np.floating], pool: Pool) -> dict[str, float]:
    """The same where it is hard: one opacity alone, by its peak contrast in cm of water; and where it says positive."""
    counts = np.array([len(planted) for planted in pool.opacities])
    contrast = np.array([planted[0].contrast if planted else 0 for planted in pool.opacities])
    found, alone = expit(logits) >= THRESHOLD, counts == 1
    called, single, free_or_single = found & (counts > 0), pool.only(alone), counts <= 1
    return {
        "hit_rate_where_found": hit_rate(maps[called], pool.only(called)),
        "auroc_one_opacity": auroc(pool.labels[free_or_single], logits[free_or_single]),
        "sensitivity_one_opacity": float(found[alone].mean()),
        "hit_rate_one_opacity": hit_rate(maps[alone], single),
        "sensitivity_under_2_cm": float(found[alone & (contrast < 2)].mean()),
        "sensitivity_2_to_3_cm": float(found[alone & (contrast >= 2) & (contrast < 3)].mean()),
        "sensitivity_over_3_cm": float(found[alone & (contrast >= 3)].mean()),
    }


def measure_whole(network: WholeNetwork, pool: Pool) -> dict[str, float]:
    """Figures of the same backbone on whole images, its maps at 32 x 32 and averaged to the patches' 8 x 8."""
    logits, _ = predict(network, pool.images)
    figures = {"whole_image_auroc": auroc(pool.labels, logits)}
    for name, maps in zip(("grad_cam", "hires_cam"), attributions(network, pool.images), strict=True):
        figures[f"{name}_hit_rate"] = hit_rate(maps, pool)
        figures[f"{name}_hit_rate_8x8"] = hit_rate(maps.reshape(-1, 8, 4, 8, 4).mean((2, 4)), pool)
    return figures


def draw_example(logits: NDArray[np.float64], maps: NDArray[np.float32], pool: Pool, path: Path) -> None:
    """One radiograph with its planted opacities circled, beside its patch map, as a small PNG."""
    import matplotlib.pyplot as plt

    row = next(index for index, planted in enumerate(pool.opacities) if len(planted) == 2)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4.3), dpi=80)
    for axes in (left, right):
        axes.imshow(pool.images[row], cmap="gray")
        axes.axis("off")
    for opacity in pool.opacities[row]:
        left.add_patch(plt.Circle((opacity.column, opacity.row), opacity.radius_px * 1.3, fill=False, color="cyan"))
    reach = float(np.abs(maps[row]).max()) / 64
    extent = (-0.5, SIZE - 0.5, SIZE - 0.5, -0.5)
    shown = right.imshow(maps[row] / 64, cmap="RdBu_r", vmin=-reach, vmax=reach, alpha=0.45, extent=extent)
    figure.colorbar(shown, ax=right, shrink=0.8, label="share of the image's logit")
    left.set_title("planted")
    right.set_title(f"patch map, probability {expit(logits[row]):.2f}")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
