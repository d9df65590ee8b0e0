"""Made-up images, and packages at work whose books are closed after the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.phantoms.chest_dx import chest_radiograph
from shared.phantoms.dicom import CHEST_PATIENT, Visit, dx_image
from tests.at_work import AtWork


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    chest = chest_radiograph(5, opacities=1, size=(96, 80))
    image = dx_image(chest.pixels, Visit(CHEST_PATIENT, "ACC-DX"), spacing_mm=chest.spacing_mm)
    image.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    return [tmp_path / "film.dcm"]


@pytest.fixture
def opened() -> Iterator[list[AtWork]]:
    """Whose book is to be closed."""
    made: list[AtWork] = []
    yield made
    for work in made:
        work.book.close()
