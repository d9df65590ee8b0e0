"""[tiles] of a manifest: what can't be put together again is told, with what to write."""

from typing import Any

import pytest

from tests.shared.test_tiling import BINARY, LABELS, SEGMENT, package

CUT = {"shape": [8, 8], "combine": "max"}
MULTI = {"name": "l", "tensor": "scores", "kind": "multilabel", "labels": LABELS}
MASK = {"kind": "attribution_map", "tensor": "map"}


@pytest.mark.parametrize(
    ("tiles", "outputs", "more", "said"),
    [
        ({"shape": [4, 8, 8]}, [SEGMENT], {}, "grouping by image takes 2 sizes: rows, columns"),
        ({"shape": [8, 8], "overlap": [0.5, 0.5, 0.5]}, [SEGMENT], {}, "takes 2 sizes"),
        ({"shape": [8, 0]}, [SEGMENT], {}, "or -1 for all there is"),
        ({"shape": [8, 8], "overlap": 1.0}, [SEGMENT], {}, "less than 1"),
        (
            {"shape": [8, 8]},
            [SEGMENT],
            {"grouping": {"by": "study", "series": [{"name": "a"}]}},
            "or group by one of these",
        ),
        (CUT, [SEGMENT], {"tensors": {"inputs": [{"name": "image", "shape": [1, 8, 16]}]}}, "does not fit the pixels"),
        ({"shape": [8, 8]}, [BINARY], {}, 'say how .* combine = "max", "mean" or "top:3"'),
        ({"shape": [8, 8], "combine": "top:0"}, [BINARY], {}, "combine"),
        (CUT, [MULTI | {"activation": "softmax"}], {}, 'combine = "mean" alone'),
        (CUT, [MULTI, MULTI | {"name": "g", "kind": "ordinal"}], {}, "can't be of one tensor"),
        (CUT, [{"name": "p", "tensor": "points", "kind": "landmark"}], {}, "as landmark can't be put together"),
        (CUT, [{"name": "p", "tensor": "p", "kind": "measurement", "geometry": "length", "unit": "mm"}], {}, "length"),
        (CUT, [{"name": "e", "tensor": "e", "kind": "embedding"}], {}, "as embedding can't be put together"),
        (CUT, [BINARY | {"confidence_tensor": "sure"}], {}, "remove confidence_tensor"),
        (CUT, [BINARY], {"explanation": {"kind": "additive_patches", "tensor": "map"}}, "it is of one row"),
    ],
)
def test_what_cannot_be_put_together_is_told(
    tiles: dict[str, Any], outputs: list[dict[str, Any]], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        package(tiles, *outputs, axes=2, **more)


@pytest.mark.parametrize(
    ("tiles", "outputs", "more"),
    [
        ({"shape": [8, -1]}, [SEGMENT], {}),
        (CUT | {"combine": "mean"}, [MULTI | {"activation": "softmax"}], {}),
        (CUT, [BINARY, SEGMENT], {"tensors": {"inputs": [{"name": "image", "shape": [1, 8, 8]}]}}),
        (CUT, [BINARY], {"explanation": MASK}),
    ],
)
def test_what_can_be_is_taken(tiles: dict[str, Any], outputs: list[dict[str, Any]], more: dict[str, Any]) -> None:
    assert package(tiles, *outputs, axes=2, **more).manifest.tiles is not None
