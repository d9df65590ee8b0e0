"""A bundle's sliding window becomes [tiles] that cut as MONAI does; what does not map is told, and nothing is run."""

import tomllib
from typing import Any

import numpy as np
import pytest

from shared.packages.making.monai_inferer import map_inferer
from tests.shared.test_tiling import BINARY, SEGMENT, Network, fixed_network, noise, package, read, torch

__all__ = ["torch"]
FREE = (1, -1, -1, -1)


def inferer(page: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    return {
        "inferer": {"_target_": "monai.inferers.SlidingWindowInferer", "roi_size": [8, 6, 4], **given},
        **(page or {}),
    }


def tiles(page: dict[str, Any], combine: bool = False, pixels: tuple[int, ...] = FREE) -> dict[str, Any]:
    mapped = map_inferer(page, pixels, combine)
    assert mapped.notes == ()
    return dict(tomllib.loads(mapped.tiles)["tiles"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"shape": [4, 6, 8], "overlap": 0.25, "blend": "constant", "at_once": 1}),
        ({"roi_size": "@window", "sw_batch_size": "$1+1"}, {"shape": [4, 6, 8], "overlap": 0.25, "blend": "constant"}),
        ({"roi_size": 16, "overlap": [0.5, 0.25, 0], "mode": "gaussian", "sigma_scale": 0.25, "cval": -1},
         {"shape": [16] * 3, "overlap": [0, 0.25, 0.5], "blend": "gaussian", "sigma": 0.25, "value": -1, "at_once": 1}),
        ({"roi_size": [8, None, -1]}, {"shape": [-1, -1, 8], "overlap": 0.25, "blend": "constant", "at_once": 1}),
    ],
)  # fmt: skip
def test_a_window_becomes_tiles(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert tiles(inferer({"window": [8, 6, 4]}, **given)) == expected
    assert package(expected, SEGMENT).manifest.tiles is not None
    assert package(tiles(inferer({"window": [8, 6, 4]}, **given), combine=True), BINARY).manifest.tiles is not None


@pytest.mark.parametrize(
    ("given", "pixels", "said"),
    [
        ({"_target_": "monai.inferers.SliceInferer"}, FREE, "there is no such reading"),
        ({"roi_size": "$@patch * 2"}, FREE, "expressions are not run"),
        ({"roi_size": [8, 8]}, FREE, "3 numbers are needed"),
        ({"roi_size": [8, 8, 8.5]}, FREE, "whole numbers are needed"),
        ({"overlap": "$0.5"}, FREE, "overlap '\\$0.5': a number is needed"),
        ({"overlap": 1.0}, FREE, "0 to less than 1"),
        ({"mode": "$BlendMode.GAUSSIAN"}, FREE, "there are constant and gaussian"),
        ({"roi_size": [8, 8, 8]}, (1, 4, 8, 8), "does not fit the network's input"),
    ],
)
def test_what_does_not_map_is_told(given: dict[str, Any], pixels: tuple[int, ...], said: str) -> None:
    mapped = map_inferer(inferer(**given), pixels, False)
    assert mapped.tiles == ""
    (note,) = mapped.notes
    assert note.endswith("here the whole prepared volume goes in at once")
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(note)


def test_another_padding_is_told_and_the_rest_maps() -> None:
    mapped = map_inferer(inferer(padding_mode="reflect"), FREE, False)
    assert "[tiles]" in mapped.tiles
    assert "stands one value, not 'reflect'" in mapped.notes[0]


@pytest.mark.parametrize("page", [{}, {"inferer": None}, {"inferer": {"_target_": "SimpleInferer"}}, {"inferer": {}}])
def test_where_there_is_no_window_there_are_no_tiles(page: dict[str, Any]) -> None:
    assert map_inferer(page, FREE, False) == map_inferer({}, FREE, False)


def test_what_is_mapped_gives_what_monai_s_inferer_gives(torch: Any) -> None:
    """MONAI's arrays run x, y, z: the same volume turned, through the same network turned."""
    from monai.inferers import SlidingWindowInferer

    given = {"roi_size": [8, 6, 4], "overlap": [0.5, 0.25, 0.0], "mode": "gaussian", "sw_batch_size": 3}
    network, volume = fixed_network(torch, 3), noise(7, 13, 21)
    with torch.no_grad():
        theirs = SlidingWindowInferer(**given)(torch.from_numpy(volume.T.copy())[None, None], network)
        ours = read(
            package(tiles(inferer(**given)), SEGMENT), volume,
            Network(lambda rows: {"scores": _turned(network(torch.from_numpy(_turned(rows)))).numpy()}),
        ).outputs["scores"]  # fmt: skip
    np.testing.assert_allclose(ours, theirs.numpy()[0].transpose(0, 3, 2, 1), atol=1e-4)


def _turned(rows: Any) -> Any:
    return rows.transpose(0, 1, 4, 3, 2).copy() if isinstance(rows, np.ndarray) else rows.permute(0, 1, 4, 3, 2)
