"""Numbers from headers, and what a manifest may not ask of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from shared.imaging.features import FeatureReader, NoFeature
from shared.imaging.frames import load_frames
from shared.packages.input_tables import Feature
from shared.packages.manifest import Tensor
from tests.images import write


def number(folder: Path, header: dict[str, Any], **feature: Any) -> float:
    (frame,) = load_frames([write(folder, "a", **header)])
    read, missing = FeatureReader([Feature.model_validate({"missing": -1.0, **feature})]).read(frame)
    assert missing == ((feature["tag"],) if read[0] == -1 else ())
    return float(read[0])


@pytest.mark.parametrize(
    ("header", "feature", "expected"),
    [
        ({"PatientAge": "063Y"}, {"tag": "PatientAge"}, 63),
        ({"PatientAge": "018M"}, {"tag": "PatientAge"}, 1.5),
        ({"PatientAge": "010D"}, {"tag": "PatientAge", "divide": 10}, 10 / 3652.5),
        ({"PatientAge": "old"}, {"tag": "PatientAge"}, -1),
        ({"PatientAge": ""}, {"tag": "PatientAge"}, -1),
        ({}, {"tag": "PatientAge"}, -1),
        ({"PatientWeight": "1e39"}, {"tag": "PatientWeight"}, -1),
        ({"KVP": "120"}, {"tag": "KVP", "subtract": 100, "divide": 40}, 0.5),
        ({"PixelSpacing": [0.5, 0.25]}, {"tag": "PixelSpacing"}, 0.5),
        ({"PatientSex": "f "}, {"tag": "PatientSex", "values": {"M": 0, "F": 1}}, 1),
        ({"PatientSex": "O"}, {"tag": "PatientSex", "values": {"M": 0, "F": 1}}, -1),
        ({"MagneticFieldStrength": 3.0}, {"tag": "MagneticFieldStrength", "values": {"3.0": 7}}, 7),
        ({"ImageType": ["ORIGINAL", "PRIMARY"]}, {"tag": "ImageType", "values": {"original": 4}}, 4),
    ],
)  # fmt: skip
def test_a_header_says_numbers(
    tmp_path: Path, header: dict[str, Any], feature: dict[str, Any], expected: float
) -> None:
    assert number(tmp_path, header, **feature) == pytest.approx(expected)


def test_a_value_that_breaks_its_own_vr_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, "a", PatientWeight="70")
    assert path.read_bytes().count(b"DS\x02\x0070") == 1
    path.write_bytes(path.read_bytes().replace(b"DS\x02\x0070", b"DS\x02\x00x!"))
    (frame,) = load_frames([path])
    assert FeatureReader([Feature(tag="PatientWeight", missing=3)]).read(frame)[0].tolist() == [3]


def test_what_the_model_cannot_do_without_is_told(tmp_path: Path) -> None:
    (frame,) = load_frames([write(tmp_path, "a", PatientWeight=70)])
    features = [Feature(tag="PatientAge"), Feature(tag="PatientWeight"), Feature(tag="PatientSize")]
    with pytest.raises(NoFeature, match="does not say PatientAge, PatientSize in"):
        FeatureReader(features).read(frame)


def test_a_file_is_read_once_for_all_of_its_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((3, 4, 5), np.uint16)
    frames = load_frames([write(tmp_path, "a", pixels, NumberOfFrames=3, PatientWeight=70)])
    reader = FeatureReader([Feature(tag="PatientWeight")])
    reader.read(frames[0])
    frames[0].path.unlink()
    assert [float(reader.read(frame)[0][0]) for frame in frames] == [70, 70, 70]


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        ({"tag": "PatientsAge"}, "write a DICOM keyword"),
        ({"tag": "PatientName"}, "holds PN: neither a number"),
        ({"tag": "PatientSex"}, "is text: write values"),
        ({"tag": "KVP", "divide": 0}, "divided by zero"),
        ({"tag": "PatientSex", "values": {"M": 1}, "divide": 2}, "without subtract and divide"),
    ],
)
def test_a_manifest_is_told_what_a_feature_takes(feature: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Feature.model_validate(feature)


def test_features_fill_their_input() -> None:
    with pytest.raises(ValidationError, match=r"1 features fill shape = \[1\], not \[2\]"):
        Tensor.model_validate({"name": "f", "shape": [2], "source": "features", "features": [{"tag": "KVP"}]})
    with pytest.raises(ValidationError, match='source = "features"'):
        Tensor.model_validate({"name": "f", "shape": [1], "features": [{"tag": "KVP"}]})
