"""Rows reach the model in order and in bounded batches, and nonsense from it is refused."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared import inference, rows
from shared.imaging.frames import UndecodablePixels, load_frames
from shared.inference import Unreadable, read_images
from shared.outputs import number, scalar
from shared.packages.folder import Package
from shared.packages.manifest import Manifest
from tests.images import noise, write, write_slices

CODE = {"value": "x", "scheme": "99ISO", "meaning": "x"}


def package(shape: Sequence[int] = (1, -1, -1), **more: Any) -> Package:
    manifest = {
        "schema": 2,
        "package": {"name": "mean", "version": "1.0.0", "kind": "reader", "title": "t", "intended_use": "i"},
        "selector": {}, "tensors": {"inputs": [{"name": "image", "shape": list(shape)}]},
        "outputs": [{"name": "mean", "tensor": "mean", "kind": "regression", "code": CODE}], **more,
    }  # fmt: skip
    return Package(Path("mean"), Manifest.model_validate(manifest))


class Means:
    """The port of shared.serving, in this process: the mean of each row, or what `answer` makes of it."""

    def __init__(self, answer: Any = None) -> None:
        self.asked: list[tuple[int, ...]] = []
        self.answer = answer or (lambda mean: mean[:, np.newaxis])

    def infer(self, model_name: str, inputs: Any, outputs: Any = None, **_: Any) -> dict[str, Any]:
        self.asked.append(inputs["image"].shape)
        return {"mean": self.answer(inputs["image"].mean((1, 2, 3)))}


def test_every_frame_is_read_once_in_order_in_batches(tmp_path: Path) -> None:
    frames = load_frames(write_slices(tmp_path, list(range(40))))
    models = Means()
    readings = list(read_images(package(), frames, models, 5))
    assert [r.source for r in readings] == [f.source for f in frames]
    assert [scalar(package(), r, "mean") for r in readings] == pytest.approx([f.pixels().mean() for f in frames])
    assert [shape[0] for shape in models.asked] == [16, 16, 8]


def test_images_of_different_shape_are_not_put_together(tmp_path: Path) -> None:
    paths = [write(tmp_path, str(n), noise(8, 8 + n // 2), InstanceNumber=n) for n in range(4)]
    models = Means()
    assert len(list(read_images(package(), load_frames(paths), models, 5))) == 4
    assert models.asked == [(2, 1, 8, 8), (2, 1, 8, 9)]


def test_few_rows_are_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_BYTES", 4 * 80 * 3)
    frames = load_frames(write_slices(tmp_path, list(range(60))))
    alive, most, lock = [0], [0], threading.Lock()
    prepare = rows._image

    def counted(*facts: Any) -> Any:
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        return prepare(*facts)

    class Counting(Means):
        def infer(self, model_name: str, inputs: Any, outputs: Any = None, **more: Any) -> dict[str, Any]:
            with lock:
                alive[0] -= len(inputs["image"])
            return super().infer(model_name, inputs, outputs, **more)

    monkeypatch.setattr(rows, "_image", counted)
    models = Counting()
    assert len(list(read_images(package(), frames, models, 5))) == 60
    assert max(shape[0] for shape in models.asked) == 3
    assert most[0] <= 6 + 3 + 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda mean: mean[:, np.newaxis] * np.nan, "not finite"),
        (lambda mean: mean[:1, np.newaxis], r"has shape \[1, 1\] for 3 row"),
        (lambda mean: np.float32(1), r"has shape \[\]"),
    ],
)
def test_nonsense_from_the_model_is_refused(tmp_path: Path, answer: Any, words: str) -> None:
    frames = load_frames(write_slices(tmp_path, [0, 1, 2]))
    with pytest.raises(Unreadable, match=words):
        list(read_images(package(), frames, Means(answer), 5))


def test_one_number_is_one_number(tmp_path: Path) -> None:
    frames = load_frames(write_slices(tmp_path, [0]))
    reading = next(read_images(package(), frames, Means(lambda mean: np.zeros((1, 2))), 5))
    with pytest.raises(Unreadable, match="one number was due"):
        scalar(package(), reading, "mean")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (package((1, 512, 512)), r"shape \[1, 8, 10\], mean takes \[1, 512, 512\]"),
        (package(grouping={"by": "series"}), "whole series"),
        (package(preprocess=[{"step": "sharpen"}]), "no step 'sharpen'"),
        (package(outputs=[{"name": "n", "tensor": "other", "kind": "regression", "code": CODE}]), "no output 'other'"),
    ],
)
def test_a_package_that_does_not_fit_is_refused_in_words(tmp_path: Path, made: Package, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        list(read_images(made, load_frames(write_slices(tmp_path, [0])), Means(), 5))


def test_pixels_that_cannot_be_decoded_stop_the_reading(tmp_path: Path) -> None:
    paths = write_slices(tmp_path, [0, 1, 2])
    frames = load_frames(paths)
    paths[1].write_bytes(paths[1].read_bytes()[:-40])
    with pytest.raises(UndecodablePixels):
        list(read_images(package(), frames, Means(), 5))


def test_a_blank_image_is_marked(tmp_path: Path) -> None:
    paths = [write(tmp_path, "a", noise() * 0, InstanceNumber=1), write(tmp_path, "b", InstanceNumber=2)]
    assert [r.blank for r in read_images(package(), load_frames(paths), Means(), 5)] == [True, False]


SERIES = {"grouping": {"by": "series"}, "tensors": {"inputs": [
    {"name": "image", "shape": [1, -1, -1, -1]}, {"name": "mask", "shape": [-1], "source": "slice_mask"},
]}}  # fmt: skip


class Heights(Means):
    """The sum over all slices, and what it was asked."""

    def infer(self, model_name: str, inputs: Any, outputs: Any = None, **more: Any) -> dict[str, Any]:
        self.asked.append(inputs["image"].shape)
        self.mask = inputs["mask"]
        return {"mean": inputs["image"].sum(axis=(1, 2, 3, 4), keepdims=True)[:, 0, 0, 0]}


def test_a_series_is_one_row_in_the_order_of_its_slices(tmp_path: Path) -> None:
    frames = load_frames(write_slices(tmp_path, [5, 1, 3]))
    models = Heights()
    reading = inference.read_series(package(**SERIES), frames, models, 5)
    assert models.asked == [(1, 1, 3, 8, 10)]
    assert models.mask.tolist() == [[1.0, 1.0, 1.0]]
    assert reading.sources == tuple(frame.source for frame in frames)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tensors": {"inputs": [{"name": "image", "shape": [1, 4, -1, -1]}]}}, r"shape \[1, 3, 8, 10\]"),
        ({"grouping": {"by": "image"}}, "reads a whole image"),
        ({"tensors": {"inputs": [*SERIES["tensors"]["inputs"], {"name": "f", "shape": [2], "source": "features"}]}},
         "does not say what the numbers of input f are"),
    ],
)  # fmt: skip
def test_a_series_that_does_not_fit_is_refused_in_words(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    frames = load_frames(write_slices(tmp_path, [1, 2, 3]))
    with pytest.raises(Unreadable, match=said):
        inference.read_series(package(**SERIES | more), frames, Heights(), 5)


def test_a_prepared_volume_keeps_its_images(tmp_path: Path) -> None:
    frames = load_frames(write_slices(tmp_path, [5, 1, 3, 2, 4]))
    steps = [{"step": "modality_lut"}, {"step": "pick_slices", "every": 2}, {"step": "resize", "shape": [3, 4, 4]}]
    models = Heights()
    reading = inference.read_series(package(**SERIES, preprocess=steps), frames, models, 5)
    assert models.asked == [(1, 1, 3, 4, 4)]
    assert models.mask.shape == (1, 3)
    assert reading.sources == tuple(frame.source for frame in frames[::2])
    assert reading.grid.slice_images == reading.sources


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"step": "reorient", "axes": "RAS"}, "which way they run is not known"),
        ({"step": "pad", "shape": [3, 8, 10]}, "an image became 3 slices"),
    ],
)
def test_a_step_that_cannot_be_done_is_told(tmp_path: Path, step: dict[str, Any], words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        list(read_images(package(preprocess=[step]), load_frames([write(tmp_path, "a")]), Means(), 5))


FEATURES = {"name": "about", "shape": [2], "source": "features", "features": [
    {"tag": "PatientAge", "divide": 100.0}, {"tag": "PatientSex", "values": {"M": 0.0, "F": 1.0}, "missing": 0.5},
]}  # fmt: skip


class Features(Means):
    """The sum of each row's features."""

    def infer(self, model_name: str, inputs: Any, outputs: Any = None, **more: Any) -> dict[str, Any]:
        self.about = inputs["about"]
        return {"mean": inputs["about"].sum(axis=1, keepdims=True)}


def test_each_image_has_its_features_and_says_which_were_missing(tmp_path: Path) -> None:
    ages = {"a": {"PatientAge": "050Y", "PatientSex": "F"}, "b": {"PatientAge": "006M"}}
    paths = [write(tmp_path, name, InstanceNumber=n, **more) for n, (name, more) in enumerate(ages.items())]
    made = package(tensors={"inputs": [{"name": "image", "shape": [1, -1, -1]}, FEATURES]})
    models = Features()
    readings = list(read_images(made, load_frames(paths), models, 5))
    assert models.about == pytest.approx(np.array([[0.5, 1.0], [0.005, 0.5]]))
    assert [reading.missing for reading in readings] == [(), ("PatientSex",)]
    with pytest.raises(Unreadable, match="does not say PatientAge"):
        list(read_images(made, load_frames([write(tmp_path, "c", PatientSex="M")]), models, 5))


def test_a_series_has_the_features_of_its_first_slice(tmp_path: Path) -> None:
    paths = [write(tmp_path, f"{n}", InstanceNumber=n, PatientAge=f"0{n}0Y", PatientSex="M") for n in (3, 2)]
    made = package(grouping=SERIES["grouping"], tensors={"inputs": [SERIES["tensors"]["inputs"][0], FEATURES]})
    models = Features()
    inference.read_series(made, load_frames(paths), models, 5)
    assert models.about == pytest.approx(np.array([[0.2, 0.0]]))


def test_a_series_too_large_to_send_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_SERIES_BYTES", 500)
    with pytest.raises(Unreadable, match="are more than"):
        inference.read_series(package(**SERIES), load_frames(write_slices(tmp_path, [1, 2, 3])), Heights(), 5)


def test_a_calibration_comes_before_the_activation(tmp_path: Path) -> None:
    output = {"name": "mean", "tensor": "mean", "kind": "binary", "activation": "sigmoid", "code": CODE}
    made = package(outputs=[output | {"calibration": {"slope": 2.0, "intercept": -3.0}}])
    reading = next(read_images(made, load_frames(write_slices(tmp_path, [0])), Means(lambda _: np.ones((1, 1))), 5))
    assert number(made, made.manifest.outputs[0], reading) == pytest.approx(1 / (1 + np.exp(1.0)))


def test_a_model_is_asked_for_the_version_that_the_package_is(tmp_path: Path) -> None:
    class Versions(Means):
        def infer(self, model_name: str, inputs: Any, outputs: Any = None, **more: Any) -> dict[str, Any]:
            self.version = more["version"]
            return super().infer(model_name, inputs, outputs)

    models = Versions()
    older = package()
    list(read_images(Package(older.folder, older.manifest, 2), load_frames(write_slices(tmp_path, [0])), models, 5))
    assert models.version == "2"
