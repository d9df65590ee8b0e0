"""The way from a stack to the patient, held against highdicom's and SimpleITK's own."""

from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest
import SimpleITK

from shared.imaging.planes import Plane, stack_to_patient
from tests.shared.imaging.stacks import SHAPE, SPACING, STACKS, STEP, frames_of


@pytest.mark.parametrize("name", STACKS)
def test_every_slice_of_a_stack_lies_where_its_own_plane_does(name: str) -> None:
    frames = frames_of(STACKS[name])
    matrix = stack_to_patient(frames)
    assert matrix is not None
    points = [(0.5, 0.5), (3.25, 7.0), (9.0, 12.0)]
    for index, frame in enumerate(frames):
        of_highdicom = hd.spatial.ImageToReferenceTransformer(frame.position, frame.orientation, SPACING)
        homogeneous = np.array([[*point, index + 0.5, 1.0] for point in points])
        assert (homogeneous @ matrix.T)[:, :3] == pytest.approx(of_highdicom(np.array(points)))
        plane = Plane.of(frame)
        assert plane is not None
        assert plane.points_mm(points) == pytest.approx(of_highdicom(np.array(points)))


@pytest.mark.parametrize("name", ["straight", "oblique", "decubitus", "sagittal"])
def test_a_stack_agrees_with_simpleitk(name: str) -> None:
    frames = frames_of(STACKS[name])
    image = SimpleITK.Image([*SHAPE[::-1]], SimpleITK.sitkFloat32)
    image.SetSpacing([SPACING[1], SPACING[0], STEP])
    image.SetOrigin(frames[0].position)
    image.SetDirection((STACKS[name] / np.linalg.norm(STACKS[name], axis=0)).ravel().tolist())
    matrix = stack_to_patient(frames)
    assert matrix is not None
    for index in [(0, 0, 0), (4, 7, 3), (8, 11, 6)]:
        place = matrix @ (*(np.array(index) + 0.5), 1.0)
        assert place[:3] == pytest.approx(image.TransformIndexToPhysicalPoint(index))


def test_what_is_no_even_stack_has_no_way_to_the_patient() -> None:
    frames = frames_of(STACKS["straight"])
    moved = replace(frames[3], position=(10.0, -20.0, 30.0 + 3 * STEP + 0.2))
    turned = replace(frames[3], orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
    coarser = replace(frames[3], pixel_spacing=(0.8, 0.7))
    for other in (moved, turned, coarser, replace(frames[3], position=None)):
        assert stack_to_patient([*frames[:3], other, *frames[4:]]) is None
    assert stack_to_patient([frames[0], frames[0]]) is None
    assert stack_to_patient([*frames[:3], *frames[4:]]) is None
    rounded = replace(frames[3], position=(10.0, -20.0, 30.0 + 3 * STEP + 0.04))
    assert stack_to_patient([*frames[:3], rounded, *frames[4:]]) is not None


def test_a_single_slice_is_as_thick_as_it_says() -> None:
    (frame,) = frames_of(STACKS["gantry tilt"], (1, 4, 4), slice_thickness=5.0)
    matrix = stack_to_patient([frame])
    assert matrix is not None
    assert matrix[:3, 2] == pytest.approx([0, 0, 5])
