"""Measures the exported cobb_angle on spines kept out: how far off, how steady when a film is turned, how it fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pool import preprocess, to_source
from scipy.ndimage import affine_transform, zoom
from strangers import KINDS, strange_films

from shared.geometry import angle_between_lines
from shared.packages.validation.figures import figures_of
from shared.packages.validation.predictions import Prediction
from shared.phantoms.spine_dx import SpineRadiograph, spine_radiograph

MINIMUM_CONFIDENCE = 0.5
Pixels = NDArray[np.float32]
Spacing = tuple[float, float]
Film = tuple[Pixels, Spacing]


@dataclass(frozen=True)
class Reading:
    """What the package says of one film: degrees, confidence, and points in pixels of that film."""

    degrees: float
    confidence: float
    lines: NDArray[np.float64]
    landmarks: NDArray[np.float64]


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """The exported graph on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def read(session: onnxruntime.InferenceSession, film: Film) -> Reading:
    """The package's own steps, the graph, and the angle between the lines once they are back on the film, in mm."""
    pixels, spacing = film
    image = preprocess(pixels, spacing)
    landmarks, lines, confidence = session.run(None, {"image": image.array})
    on_film = to_source(image, lines[0])
    return Reading(degrees(on_film, spacing), float(confidence[0, 0]), on_film, to_source(image, landmarks[0, :, :2]))


def degrees(lines: NDArray[np.float64], spacing: Spacing) -> float:
    """The angle between two lines, (4, 2) column and row, on pixels of this size."""
    in_mm = lines * np.array(spacing)[::-1]
    return angle_between_lines(in_mm[:2], in_mm[2:])


def turned(film: Film, by_degrees: float, scale: float = 1.0, about: tuple[float, float] | None = None) -> Film:
    """The film turned and scaled, in millimetres, about its middle or a point (column, row); black where it was not."""
    pixels, spacing = film
    angle, middle = np.radians(by_degrees), (np.array(pixels.shape) - 1) / 2
    if about is not None:
        middle = np.array(about)[::-1] - 0.5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    matrix = turn * np.array(spacing)[None, :] / np.array(spacing)[:, None]
    moved = affine_transform(pixels, matrix, middle - matrix @ middle, order=3, mode="constant")
    return np.clip(moved, 0, 4095).astype(np.float32), spacing


def resized(film: Film, factor: float) -> Film:
    """The same film in more or fewer pixels."""
    pixels, spacing = film
    other = zoom(pixels, factor, order=3 if factor > 1 else 1, grid_mode=True, mode="nearest")
    sizes = (step * before / after for step, before, after in zip(spacing, pixels.shape, other.shape, strict=True))
    return np.clip(other, 0, 4095).astype(np.float32), tuple(sizes)


def changes(radiograph: SpineRadiograph) -> dict[str, list[Callable[[Film], Film]]]:
    """What must not change the angle, by name."""
    column, row = radiograph.corners.mean((0, 1))
    return {
        "turned": [lambda film, by=by: turned(film, by) for by in (-10, 10)],
        "mirrored": [lambda film: (film[0][:, ::-1].copy(), film[1])],
        "rescaled": [lambda film, by=by: turned(film, 0, by, (column, row)) for by in (0.8, 1.25)],
        "resampled": [lambda film, by=by: resized(film, by) for by in (0.8, 1.25)],
    }


def film_of(radiograph: SpineRadiograph) -> Film:
    """Its pixels and their size."""
    return radiograph.pixels.astype(np.float32), radiograph.spacing_mm


def predictions(session: onnxruntime.InferenceSession, seeds: Sequence[int]) -> tuple[list[Prediction], list[float]]:
    """Truth and answer for the spine of each seed, with its strata, and the confidences."""
    cases, sure = [], []
    for number, seed in enumerate(seeds):
        radiograph = spine_radiograph(seed)
        reading = read(session, film_of(radiograph))
        strata = {
            "curve": radiograph.curve,
            "severity": severity(radiograph.cobb_degrees),
            "pixels": _pixels(radiograph),
        }
        cases.append(Prediction("cobb_angle", str(seed), radiograph.cobb_degrees, reading.degrees, strata))
        sure.append(reading.confidence)
        if number % 50 == 49:
            print(f"read {number + 1} of {len(seeds)} kept out", flush=True)
    return cases, sure


def severity(cobb_degrees: float) -> str:
    """The usual bounds of what is watched, braced and operated on."""
    return next(name for name, end in (("0-10", 10), ("10-25", 25), ("25-40", 40), ("40-70", 91)) if cobb_degrees < end)


def _pixels(radiograph: SpineRadiograph) -> str:
    rows, columns = radiograph.spacing_mm
    return "square" if abs(rows - columns) < 1e-6 else "unequal"


def steadiness(
    session: onnxruntime.InferenceSession, seeds: Sequence[int]
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """By how many degrees each change of the film changes the angle, by name; and the share that still gets one.

    Films that get no angle, before or after the change, count in the share alone.
    """
    apart: dict[str, list[float]] = {}
    given: list[bool] = []
    for number, seed in enumerate(seeds):
        radiograph = spine_radiograph(seed)
        film = film_of(radiograph)
        before = read(session, film)
        for name, kinds in changes(radiograph).items():
            after = [read(session, change(film)) for change in kinds]
            told = [min(one.confidence, before.confidence) >= MINIMUM_CONFIDENCE for one in after]
            given += told
            moved = [abs(one.degrees - before.degrees) for one, is_told in zip(after, told, strict=True) if is_told]
            apart.setdefault(name, []).extend(moved)
        if number % 20 == 19:
            print(f"turned {number + 1} of {len(seeds)}", flush=True)
    return {name: np.array(values) for name, values in apart.items()}, float(np.mean(given))


def cut(radiograph: SpineRadiograph, level: int, *, above: bool) -> Film:
    """The film cut through the middle of vertebra `level` (0 is T1): what is above it kept, or what is below."""
    row = int(radiograph.corners[level, :, 1].mean())
    pixels, spacing = film_of(radiograph)
    return (pixels[:row] if above else pixels[row:]).copy(), spacing


def failures(session: onnxruntime.InferenceSession, seeds: Sequence[int], strange: int) -> dict[str, float]:
    """Share of films that wrongly get an angle: spines cut at L3 or T4, and films without a spine, by kind."""
    cuts: dict[str, list[bool]] = {"cut_below_l3": [], "cut_above_t4": []}
    for seed in seeds:
        radiograph = spine_radiograph(seed)
        for name, level, above in (("cut_below_l3", 14, True), ("cut_above_t4", 3, False)):
            cuts[name].append(read(session, cut(radiograph, level, above=above)).confidence >= MINIMUM_CONFIDENCE)
    films = strange_films(7_000, strange)
    sure = [
        session.run(["confidence"], {"image": film[None, None].astype(np.float32) / 255})[0][0, 0] for film in films
    ]
    kinds = {
        f"angle_of_{kind}": list(np.array(sure[at :: len(KINDS)]) >= MINIMUM_CONFIDENCE)
        for at, kind in enumerate(KINDS)
    }
    return {name: float(np.mean(values)) for name, values in {**cuts, **kinds}.items()}


def measure(session: onnxruntime.InferenceSession, seeds: Sequence[int], turns: int) -> tuple[dict, list[Prediction]]:
    """All figures, on the spines of `seeds`; the first `turns` of them are also turned, mirrored and rescaled."""
    cases, sure = predictions(session, seeds)
    figures = dict(figures_of(cases, None))
    residual = np.array([case.score - case.truth for case in cases])
    figures["limits_of_agreement"] = 1.96 * float(residual.std(ddof=1))
    told = np.array(sure) >= MINIMUM_CONFIDENCE
    figures["given_an_angle"] = float(told.mean())
    if told.any():  # after a minute's training there may be none
        figures["mean_absolute_error_given"] = float(np.abs(residual[told]).mean())
        figures["largest_error_given"] = float(np.abs(residual[told]).max())
    moved, figures["changed_given_an_angle"] = steadiness(session, seeds[:turns])
    for name, apart in moved.items():
        if not apart.size:
            continue
        figures[f"{name}_median"] = float(np.median(apart))
        figures[f"{name}_95th"] = float(np.percentile(apart, 95))
        figures[f"{name}_largest"] = float(apart.max())
    return figures | failures(session, seeds[:40], 100), cases


def draw_example(session: onnxruntime.InferenceSession, seeds: Sequence[int], path: Path) -> None:
    """Four spines with the outlined vertebrae and the two lines, as a small PNG."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(seeds), figsize=(2.6 * len(seeds), 5.2), dpi=80)
    for seed, panel in zip(seeds, panels, strict=True):
        radiograph = spine_radiograph(seed)
        reading = read(session, film_of(radiograph))
        panel.imshow(radiograph.pixels, cmap="gray", aspect=radiograph.spacing_mm[0] / radiograph.spacing_mm[1],
                     extent=(0, radiograph.pixels.shape[1], radiograph.pixels.shape[0], 0))  # fmt: skip
        for corners in reading.landmarks.reshape(-1, 4, 2)[:, (0, 1, 3, 2, 0)]:
            panel.plot(*corners.T, color="#56b4e9", linewidth=0.5)
        for line in reading.lines.reshape(2, 2, 2):
            panel.plot(*line.T, color="#e69f00", linewidth=1.6)
        panel.set_title(f"{reading.degrees:.1f}° (true {radiograph.cobb_degrees:.1f}°)", fontsize=10)
        panel.axis("off")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
