"""Planning images are told from images to be read."""

import pytest

from shared.dicom.planning import is_planning

IMAGE = ("ORIGINAL", "PRIMARY", "AXIAL")


@pytest.mark.parametrize(
    ("description", "planning"),
    [
        ("3-Plane Localizer", True), ("T/S/C RF FAST PILOT", True), ("Survey", True), ("Scout", True), ("LOC", True),
        ("3 PLANE LOC", True), ("Sagittal, temporal position, ext loc ref", False), ("t1_mprage", False), ("", False),
        ("locus coeruleus", False),
    ],
)  # fmt: skip
def test_the_description_says_so(description: str, planning: bool) -> None:
    assert is_planning([IMAGE, IMAGE], description) is planning


def test_the_image_type_of_every_image_says_so() -> None:
    localizer = ("ORIGINAL", "PRIMARY", "Localizer")
    assert is_planning([localizer, localizer], "")
    assert not is_planning([localizer, IMAGE], "")
    assert not is_planning([], "")
