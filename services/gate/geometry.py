"""The gate `geometry`: do the slices make up one straight, even volume?"""

from collections.abc import Sequence

import numpy as np

from services.gate.completeness import SLICE_MODALITIES, is_localizer
from services.gate.judgement import Judgement, Verdict, strictest
from services.gate.settings import Settings
from services.gate.stacks import Stack, stacks_of
from shared.imaging.frames import Frame

NAME = "geometry"
HOLD_ABOVE = 0.5
"""A deviation of more than half the usual spacing distorts a volume beyond what a reader forgives."""

Problem = tuple[Verdict, str]


def judge_geometry(frames: Sequence[Frame], settings: Settings) -> Judgement:
    """The gate's word on one series; its score is the largest deviation from even spacing, in mm."""
    if not frames:
        return Judgement(NAME, "hold", "there is no image in this series", unit="mm")
    if len(frames) == 1:
        return Judgement(NAME, "pass", "a single image: there is no volume to be uneven", unit="mm")
    if is_localizer(frames):
        return Judgement(NAME, "pass", "localizer images: their planes differ on purpose", unit="mm")
    stacks = stacks_of(frames)
    unplaced = len(frames) - sum(len(stack.frames) for stack in stacks)
    if not stacks:
        return _without_places(frames)
    problems = [*_mixed(frames, stacks, unplaced), *(p for stack in stacks for p in _in_stack(stack, settings))]
    verdict = strictest(verdict for verdict, _ in problems)
    reason = "; ".join(words for _, words in problems) or _good(stacks[0])
    return Judgement(NAME, verdict, reason, _score(stacks), "mm")


def _without_places(frames: Sequence[Frame]) -> Judgement:
    modality = str(frames[0].header.get("modality", ""))
    if modality in SLICE_MODALITIES:
        reason = f"{len(frames)} {modality} images say neither where they lie nor in which plane"
        return Judgement(NAME, "warn", reason, unit="mm")
    reason = f"{modality or 'these'} images are not slices: they have no place in the patient"
    return Judgement(NAME, "pass", reason, unit="mm")


def _mixed(frames: Sequence[Frame], stacks: Sequence[Stack], unplaced: int) -> list[Problem]:
    """What differs between images that should be alike."""
    problems: list[Problem] = []
    if len(stacks) > 1:
        sizes = ", ".join(str(len(stack.frames)) for stack in stacks[:5])
        problems.append(("hold", f"the images lie in {len(stacks)} planes ({sizes} images): no volume"))
    if unplaced:
        problems.append(("hold", f"{unplaced} of {len(frames)} images say neither where they lie nor in which plane"))
    matrices = {(f.rows, f.columns) for f in frames}
    if len(matrices) > 1:
        sizes = ", ".join(f"{rows} × {columns}" for rows, columns in sorted(matrices)[:5])
        problems.append(("hold", f"the images differ in matrix: {sizes}"))
    spacings = {f.pixel_spacing for f in frames}
    known = np.array([s for s in spacings if s])
    if (None in spacings and len(spacings) > 1) or (len(known) and np.ptp(known, axis=0).max() > 1e-3 * known.min()):
        problems.append(("hold", "the images differ in pixel spacing"))
    return problems


def _in_stack(stack: Stack, settings: Settings) -> list[Problem]:
    problems: list[Problem] = []
    tilt = tilt_degrees(stack)
    if tilt > settings.tilt_tolerance_degrees:
        said = stack.frames[0].header.get("gantry_detector_tilt")
        note = f"; the header says {said:g}°" if isinstance(said, float) and said else ""
        problems.append(("warn", f"the stack is sheared by {tilt:.1f}°, as by a tilted gantry{note}"))
    usual, deviation = stack.usual_step, _deviation(stack)
    if deviation > settings.uneven_tolerance * max(usual, 1e-6):
        low, high = float(stack.steps.min()), float(stack.steps.max())
        verdict: Verdict = "hold" if deviation > HOLD_ABOVE * usual else "warn"
        words = f"slices lie {low:.2f} to {high:.2f} mm apart, most of them {usual:.2f} mm"
        problems.append((verdict, f"uneven spacing: {words}"))
    return problems


def tilt_degrees(stack: Stack) -> float:
    """The angle between the line of the slices' corners and their normal; the median over neighbours."""
    if len(stack.places) < 2:
        return 0.0
    lines = np.diff(stack.positions, axis=0)
    lengths = np.linalg.norm(lines, axis=1)
    cosines = np.abs(lines @ stack.normal) / np.maximum(lengths, 1e-9)
    return float(np.median(np.degrees(np.arccos(np.clip(cosines, 0.0, 1.0)))))


def _deviation(stack: Stack) -> float:
    """Largest deviation of a distance from the usual one, mm; missing slices are another gate's business."""
    missing = {index for index, _ in stack.gaps()}
    steps = np.array([step for index, step in enumerate(stack.steps) if index not in missing])
    return float(np.abs(steps - stack.usual_step).max()) if len(steps) else 0.0


def _score(stacks: Sequence[Stack]) -> float:
    return round(max(_deviation(stack) for stack in stacks), 4)


def _good(stack: Stack) -> str:
    if len(stack.places) == 1:
        return f"{len(stack.frames)} images of one place"
    return f"{len(stack.places)} slices in one plane, evenly {stack.usual_step:.2f} mm apart, straight"
