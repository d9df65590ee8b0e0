"""What is read in tiles is what MONAI's sliding window makes of the same network; numbers become one as declared."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from shared import tiling
from shared.packages.folder import Package
from shared.packages.manifest import Manifest
from shared.rows import Row, Unreadable
from shared.tiling import Tile, Together, read_tiles
from tests.volumes import stack

CODE = {"value": "x", "scheme": "99ISO", "meaning": "x"}
LABELS = [{"name": name, "code": CODE} for name in ("none", "some", "much")]
SEGMENT = {"name": "parts", "tensor": "scores", "kind": "segment", "labels": LABELS}
BINARY = {"name": "found", "tensor": "score", "kind": "binary", "activation": "sigmoid"}
Outputs = Mapping[str, NDArray[np.float32]]


def package(tiles: dict[str, Any], *outputs: dict[str, Any], axes: int = 3, **more: Any) -> Package:
    by = {2: "image", 3: "series"}[axes]
    manifest = {
        "schema": 2, "selector": {}, "grouping": {"by": by}, "tiles": tiles,
        "tensors": {"inputs": [{"name": "image", "shape": [1, *[-1] * axes]}]},
        "package": {"name": "tiny", "version": "1.0.0", "kind": "reader", "title": "t", "intended_use": "i"},
        "outputs": [{"code": CODE, **output} for output in outputs], **more,
    }  # fmt: skip
    return Package(Path("tiny"), Manifest.model_validate(manifest))


class Network:
    """A network of this process: `answer` gives the outputs for rows of pixels."""

    def __init__(self, answer: Callable[[NDArray[np.float32]], Outputs]) -> None:
        self.answer, self.asked = answer, list[tuple[int, ...]]()

    def __call__(self, inputs: Outputs, rows: int) -> Outputs:
        self.asked.append(inputs["image"].shape)
        assert len(inputs["image"]) == rows
        return self.answer(inputs["image"])


def read(of: Package, pixels: NDArray[np.float32], network: Any) -> Together:
    volume = stack(pixels if pixels.ndim == 3 else pixels[np.newaxis])
    return read_tiles(of, Row({"image": pixels[np.newaxis]}, {"": volume}, False), network)


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def torch() -> Any:
    pytest.importorskip("monai", reason="MONAI is installed where the recipes' tests run, and only there")
    return pytest.importorskip("torch")


def fixed_network(torch: Any, axes: int) -> Any:
    """Two layers that look around by three voxels, so that borders and neighbours count; its weights are fixed."""
    convolution = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[axes]
    torch.manual_seed(3)
    return torch.nn.Sequential(convolution(1, 4, 3, padding=1), torch.nn.Tanh(), convolution(4, 3, 5, padding=2)).eval()


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
@pytest.mark.parametrize(
    ("shape", "tile", "overlap", "at_once"),
    [
        ((14, 21, 17), (8, 8, 8), 0.25, 4),
        ((14, 21, 17), (8, 12, 9), (0.5, 0.625, 0.0), 3),
        ((5, 21, 17), (8, 8, 20), 0.5, 1),  # smaller than a tile along two axes, by odd counts
        ((6, 20, 30), (-1, 16, 16), 0.6, 7),
        ((40, 33), (16, 24), 0.25, 4),
        ((9, 33), (16, 24), (0.1, 0.8), 2),
    ],
)
def test_the_result_is_that_of_monai_s_sliding_window(
    torch: Any, shape: tuple[int, ...], tile: tuple[int, ...], overlap: Any, at_once: int, blend: str
) -> None:
    from monai.inferers import sliding_window_inference

    network, pixels = fixed_network(torch, len(shape)), noise(*shape)
    with torch.no_grad():
        theirs = sliding_window_inference(
            torch.from_numpy(pixels)[None, None], tile, at_once, network, overlap=overlap, mode=blend, cval=-1.5
        ).numpy()[0]
        tiles = {"shape": tile, "overlap": overlap, "blend": blend, "at_once": at_once, "value": -1.5}
        asked = Network(lambda rows: {"scores": network(torch.from_numpy(rows)).numpy()})
        ours = read(package(tiles, SEGMENT, axes=len(shape)), pixels, asked).outputs["scores"]
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert max(rows for rows, *_ in asked.asked) <= at_once


def test_no_more_is_sent_at_once_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "MOST_BYTES", 2 * 4 * 8**3)
    network = Network(lambda rows: {"scores": np.repeat(rows, 3, axis=1)})
    read(package({"shape": [8, 8, 8], "at_once": 64}, SEGMENT), noise(20, 20, 20), network)
    assert {shape[0] for shape in network.asked} <= {1, 2}


def test_a_coarser_answer_covers_its_tile() -> None:
    """Each cell of a tile in cells of four by four, where tiles meet at cells' borders."""
    pixels = np.kron(noise(6, 4), np.ones((4, 4), np.float32))
    network = Network(lambda rows: {"scores": np.repeat(rows[:, :, 2::4, 2::4], 3, axis=1)})
    ours = read(package({"shape": [8, 8], "overlap": 0.5}, SEGMENT, axes=2), pixels, network).outputs["scores"]
    np.testing.assert_allclose(ours, np.stack([pixels] * 3), rtol=1e-6)


def means(rows: NDArray[np.float32]) -> Outputs:
    return {"score": rows.mean(axis=tuple(range(1, rows.ndim)))[:, np.newaxis]}


@pytest.mark.parametrize(
    ("combine", "value", "decided"),
    [("max", 7.0, [5]), ("top:2", 6.5, [5, 3]), ("top:99", np.mean([0, 1, 2, 6, 4, 7]), [5, 3, 4, 2, 1, 0]),
     ("mean", np.mean([0, 1, 2, 6, 4, 7]), None)],
)  # fmt: skip
def test_numbers_of_tiles_become_one(combine: str, value: float, decided: list[int] | None) -> None:
    """Six tiles of 4 by 4, two rows of three."""
    pixels = np.kron(np.array([[0, 1, 2], [6, 4, 7]], np.float32), np.ones((4, 4), np.float32))
    of = package({"shape": [4, 4], "overlap": 0.0, "combine": combine}, BINARY, axes=2)
    together = read(of, pixels, Network(means))
    assert together.outputs["score"] == pytest.approx(np.array([value]))
    places = [Tile((0, 4 * (n // 3), 4 * (n % 3)), (1, 4, 4)) for n in decided or []]
    assert together.decided["score"] == ((tuple(places),) if decided else ())


def test_each_label_has_its_own_tile_and_a_grade_one_for_all() -> None:
    tiles = np.array([[5.0, 1.0, 0.0], [0.0, 4.0, 3.0], [0.0, 5.0, 2.0]], np.float32)

    def answer(rows: NDArray[np.float32]) -> Outputs:
        return {"scores": tiles[rows[:, 0, 0, 0].astype(int)]}

    pixels = np.kron(np.arange(3, dtype=np.float32)[np.newaxis], np.ones((4, 4), np.float32))
    labels = {"name": "l", "tensor": "scores", "kind": "multilabel", "activation": "sigmoid", "labels": LABELS}
    grade = {**labels, "kind": "ordinal", "activation": "softmax"}
    cut = {"shape": [4, 4], "overlap": 0.0, "combine": "max"}
    each = read(package(cut, labels, axes=2), pixels, Network(answer))
    assert each.outputs["scores"].tolist() == [5.0, 5.0, 3.0]
    assert [[tile.start[2] for tile in one] for one in each.decided["scores"]] == [[0], [8], [4]]
    one = read(package(cut, grade, axes=2), pixels, Network(answer))
    expected = softmax(tiles, axis=1) @ np.arange(3)
    assert one.outputs["scores"].tolist() == tiles[int(expected.argmax())].tolist()
    assert [[tile.start[2] for tile in one] for one in one.decided["scores"]] == [[4 * int(expected.argmax())]]
    two = read(package(cut | {"combine": "top:2"}, grade, axes=2), pixels, Network(answer))
    assert two.outputs["scores"].tolist() == tiles[1:].mean(axis=0).tolist()


def test_a_cumulative_grade_is_of_the_tile_that_lies_furthest() -> None:
    tiles = np.array([[0.75, 0.0], [0.5, 0.5]], np.float32)

    def answer(rows: NDArray[np.float32]) -> Outputs:
        return {"scores": tiles[rows[:, 0, 0, 0].astype(int)]}

    pixels = np.kron(np.arange(2, dtype=np.float32)[np.newaxis], np.ones((4, 4), np.float32))
    output = {"name": "g", "tensor": "scores", "kind": "ordinal", "labels": LABELS}
    of = package({"shape": [4, 4], "overlap": 0.0, "combine": "max"}, output, axes=2)
    assert read(of, pixels, Network(answer)).outputs["scores"].tolist() == [0.5, 0.5]


def test_mask_and_features_go_with_each_tile() -> None:
    inputs = [
        {"name": "image", "shape": [1, -1, -1, -1]}, {"name": "mask", "shape": [-1], "source": "slice_mask"},
        {"name": "about", "shape": [1], "source": "features", "features": [{"tag": "PatientAge"}]},
    ]  # fmt: skip
    seen = []

    def network(given: Outputs, rows: int) -> Outputs:
        seen.append((given["mask"].tolist(), given["about"].tolist()))
        return {"scores": np.repeat(given["image"], 3, axis=1)}

    of = package({"shape": [4, 4, 4], "overlap": 0.0}, SEGMENT, tensors={"inputs": inputs})
    pixels = noise(2, 4, 8)
    row = Row(
        {"image": pixels[np.newaxis], "mask": np.ones(2, np.float32), "about": np.array([7.0], np.float32)},
        {"": stack(pixels)}, False,
    )  # fmt: skip
    assert np.allclose(read_tiles(of, row, network).outputs["scores"], pixels)
    assert seen == [([[0.0, 1.0, 1.0, 0.0]] * 2, [[7.0]] * 2)]


@pytest.mark.parametrize(
    ("most", "tiles", "answer", "said"),
    [
        ({"MOST_TILES": 26}, {"shape": [4, 4, 4]}, None, "27 tiles would be read; at most 26"),
        ({"MOST_VALUES": 2999}, {"shape": [4, 4, 4]}, None, r"\[3, 10, 10, 10\] values would be put together"),
        ({}, {"shape": [4, 4, 4]}, lambda rows: {"scores": rows}, r"has shape \[1, 4, 4, 4\] a tile; 3 × n"),
        ({}, {"shape": [4, 4, 4]}, lambda rows: {"scores": np.ones((len(rows), 3, 8, 8, 8), np.float32)}, "is finer"),
    ],
)
def test_what_cannot_be_put_together_is_told(
    monkeypatch: pytest.MonkeyPatch, most: dict[str, int], tiles: dict[str, Any], answer: Any, said: str
) -> None:
    for name, value in most.items():
        monkeypatch.setattr(tiling, name, value)
    network = Network(answer or (lambda rows: {"scores": np.repeat(rows, 3, axis=1)}))
    with pytest.raises(Unreadable, match=said):
        read(package(tiles, SEGMENT), noise(10, 10, 10), network)
