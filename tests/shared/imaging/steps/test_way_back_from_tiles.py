"""What was read in tiles leads back to its source image, pixel and place in the patient, whatever steps came before.

The network gives back what it is given: a volume whose channels hold the coordinates of their own source.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.imaging.volume import Volume
from shared.rows import Row
from shared.tiling import read_tiles
from tests.shared.imaging.stacks import STACKS
from tests.shared.imaging.steps.test_way_back_in_3d import EXACT, PICKS, check, coordinates, through
from tests.shared.test_tiling import LABELS, package

COORDINATES = {"name": "parts", "tensor": "same", "kind": "segment", "labels": [*LABELS, LABELS[0] | {"name": "one"}]}
TILES = st.builds(
    lambda shape, overlap, blend: {"shape": shape, "overlap": overlap, "blend": blend},
    st.tuples(*[st.sampled_from([-1, 4, 7, 12, 20])] * 3), st.sampled_from([0.0, 0.25, 0.625]),
    st.sampled_from(["constant", "gaussian"]),
)  # fmt: skip


def in_tiles(volume: Volume, tiles: dict[str, Any]) -> Volume:
    of = package(tiles, COORDINATES, tensors={"inputs": [{"name": "image", "shape": [4, -1, -1, -1]}]})
    same = lambda inputs, _: {"same": inputs["image"]}  # noqa: E731
    return volume.with_array(read_tiles(of, Row({"image": volume.array}, {"": volume}, False), same).outputs["same"])


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(STACKS)), PICKS, st.lists(EXACT, max_size=3), TILES)
def test_each_voxel_of_what_was_put_together_leads_back(
    name: str, pick: tuple[str, dict[str, Any]], steps: list[tuple[str, dict[str, Any]]], tiles: dict[str, Any]
) -> None:
    volume, inside = through(coordinates(name), [pick, *steps])
    check(in_tiles(volume, tiles), name, inside, 1e-3, pick[1].get("every", 1))


def test_the_check_finds_a_tile_that_lies_a_voxel_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from shared import tiling

    volume, inside = through(coordinates("oblique"), [("reorient", {"axes": "RAS"})])
    tiles = {"shape": (7, 7, 7), "overlap": 0.0}
    check(in_tiles(volume, tiles), "oblique", inside, 1e-3)
    monkeypatch.setattr(tiling._Input, "_at", lambda self, spans: np.roll(self.values, 1, 2)[(slice(None), *spans)])
    with pytest.raises(AssertionError):
        check(in_tiles(volume, tiles), "oblique", inside, 1e-3)
