"""The step that turns a volume so that its axes run as a model expects them."""

from itertools import permutations
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from shared.imaging.grid import Matrix, NoVolume
from shared.imaging.steps.register import step
from shared.imaging.volume import Volume

# Patient axis and sign of each letter: x runs to the left, y to the back, z to the head (PS3.3 C.7.6.2.1.1).
_LETTERS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}


def _axes(letters: str) -> str:
    if len(letters) != 3 or {_LETTERS.get(letter, (3, 0))[0] for letter in letters} != {0, 1, 2}:
        raise ValueError('write three letters, one of R and L, one of A and P, one of S and I, as "RAS"')
    return letters


@step(by_slice=lambda _: False)
def reorient(volume: Volume, axes: Annotated[str, AfterValidator(_axes)]) -> Volume:
    """Slices, rows and columns run to `axes`, by exchanging and turning axes only: no value is made up.

    In the order of `shape`: "SPL" is an axial series as viewers show it, "RAS" the array that nibabel and MONAI make in
    that orientation. An oblique volume runs as nearly so as it can.

    Raises:
        NoVolume: the slices have no even places in the patient.
    """
    if volume.grid.orientation is None:
        raise NoVolume("the slices don't say where they lie, or lie unevenly: which way they run is not known")
    towards = _nearest(volume.grid.orientation)
    runs = {patient: (axis, sign) for axis, (patient, sign) in enumerate(towards)}
    moves = [(runs[patient][0], sign == runs[patient][1]) for patient, sign in (_LETTERS[letter] for letter in axes)]
    if moves == [(0, True), (1, True), (2, True)]:
        return volume
    array = volume.array.transpose(0, *(1 + axis for axis, _ in moves))
    array = np.flip(array, tuple(1 + place for place, (_, straight) in enumerate(moves) if not straight))
    return volume.turned(array, _step(moves, volume.shape))


def _nearest(orientation: Matrix) -> list[tuple[int, int]]:
    """Patient axis and sign of slices, rows and columns: each one's own, all together as near as can be."""
    cosines = orientation[:, ::-1]
    best = max(permutations(range(3)), key=lambda order: sum(abs(cosines[p, axis]) for axis, p in enumerate(order)))
    return [(patient, 1 if cosines[patient, axis] > 0 else -1) for axis, patient in enumerate(best)]


def _step(moves: list[tuple[int, bool]], shape: tuple[int, int, int]) -> Matrix:
    """4 × 4 from points (column, row, slice) of the turned volume to those of this one."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    for place, (axis, straight) in enumerate(moves):
        matrix[2 - axis, 2 - place] = 1.0 if straight else -1.0
        matrix[2 - axis, 3] = 0.0 if straight else float(shape[axis])
    return matrix
