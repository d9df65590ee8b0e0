"""The rectangle of a deciding tile lies where its voxels are: on the image, and in the patient."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.infer.answer import Answer
from services.infer.tile_regions import deciding_tiles
from shared.findings import Region
from shared.imaging.grid import step_matrix
from shared.imaging.planes import Plane
from shared.imaging.volume import Volume
from shared.inference import Reading
from shared.tiling import Tile
from tests.shared.imaging.stacks import STACKS, frames_of
from tests.shared.imaging.steps.test_way_back_in_3d import EXACT, SHAPE, coordinates, through
from tests.shared.test_tiling import BINARY, package

STRAIGHT = EXACT.filter(lambda step: step[0] != "reorient")


def region_of(volume: Volume, tile: Tile) -> Region | None:
    of = package({"shape": [4, 4, 4], "combine": "max"}, BINARY)
    reading = Reading(volume.grid, False, {"score": np.ones(1, np.float32)}, decided={"score": ((tile,),)})
    regions = deciding_tiles(Answer(of, of.manifest.outputs[0], reading))
    return regions[0] if regions else None


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(STACKS)), st.lists(STRAIGHT, max_size=3), st.data())
def test_a_deciding_tile_lies_where_its_voxels_are(
    name: str, steps: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    """Its corners on the image are, but for what is cut off at the border and for the way along the slices, the tile's
    own corners in the patient; none is further along than the tile reaches."""
    volume, _ = through(coordinates(name), steps)
    sizes = [data.draw(st.integers(1, have)) for have in volume.shape]
    start = [data.draw(st.integers(0, have - size)) for have, size in zip(volume.shape, sizes, strict=True)]
    tile = Tile((start[0], start[1], start[2]), (sizes[0], sizes[1], sizes[2]))
    grid = volume.grid.moved(tile.shape, step_matrix(shift=(float(start[0]), float(start[1]), float(start[2]))))
    region, (left, top, right, bottom) = region_of(volume, tile), grid.box
    seen = any(grid.slice_images) and left < SHAPE[2] and top < SHAPE[1] and right > 0 and bottom > 0
    assert (region is not None) == seen
    if region is None:
        return
    sides = max(left, 0.0), max(top, 0.0), min(right, float(SHAPE[2])), min(bottom, float(SHAPE[1]))
    assert [*region.points[0], *region.points[2]] == list(sides)
    plane = Plane.of(next(frame for frame in frames_of(STACKS[name], SHAPE) if frame.source == region.image))
    assert plane is not None
    assert grid.to_patient is not None
    for x, y in region.points:
        inside = np.linalg.inv(grid.to_source) @ (x, y, grid.source_point(0, 0, sizes[0] / 2)[2], 1.0)
        away = (grid.to_patient @ inside)[:3] - plane.points_mm([(x, y)])[0]
        along = float(away @ STACKS[name][:, 2] / (STACKS[name][:, 2] @ STACKS[name][:, 2]))
        assert np.abs(away - along * STACKS[name][:, 2]).max() < 1e-6
        assert abs(along) <= 0.5 + abs(grid.to_source[2, 2]) * sizes[0] / 2


def test_no_rectangle_is_drawn_of_what_is_turned() -> None:
    volume, _ = through(coordinates("oblique"), [("reorient", {"axes": "RAS"})])
    assert region_of(volume, Tile((0, 0, 0), (4, 4, 4))) is None
    assert region_of(coordinates("oblique"), Tile((0, 0, 0), (4, 4, 4))) is not None
