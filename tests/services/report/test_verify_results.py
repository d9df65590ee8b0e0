"""A folder of results that agrees passes; one number, outline or reference that was changed is found and named."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from typer.testing import CliRunner

from services.report.facts import RunFacts
from services.report.handlers import report
from services.report.planes import images_with_places, read_planes
from services.report.result_files import write_results
from shared.arrays import write_array
from shared.cli.main import app
from shared.imaging.frames import load_frames
from shared.result_profiles import DICOM_KINDS
from shared.settings import Destination
from shared.verify.report_numbers import code_of, items_of
from tests.services.report.findings_by_hand import Made, derived

DESTINATIONS = [
    Destination(name="all", kind="dicom", host="h", port=104, ae_title="A", objects=list(DICOM_KINDS)),
    Destination(name="old", kind="dicom", host="h", port=104, ae_title="O", profile="reporting"),
    Destination(name="ris", kind="mllp", host="h", port=2575),
]
Verify = Callable[..., tuple[int, str]]


def results(facts: RunFacts, folder: Path) -> Path:
    made = report(facts, DESTINATIONS)
    assert made.missing == []
    write_results(folder / "results" / "study" / "run", made.objects)
    return folder / "results"


@pytest.fixture
def verify() -> Verify:
    def run(*arguments: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["verify-results", *map(str, arguments)])
        return done.exit_code, done.output

    return run


def change(path: Path, how: Callable[[Dataset], None]) -> None:
    ds = dcmread(path)
    how(ds)
    ds.save_as(path)


@pytest.mark.parametrize("kind", ["mr", "dx"])
def test_what_we_make_agrees(kind: str, request: pytest.FixtureRequest, tmp_path: Path, verify: Verify) -> None:
    facts, sources = request.getfixturevalue(f"{kind}_facts"), request.getfixturevalue(f"{kind}_paths")
    code, said = verify(results(facts, tmp_path), "--images", sources[0].parent)
    assert code == 0, said
    assert "1 of 1 runs agree" in said
    assert " 0 compared" not in said
    assert " 0 references" not in said
    assert (" 0 recomputed" in said) is (kind == "mr")  # a score has no outline


def test_without_images_references_are_held_against_the_evidence_and_that_is_said(
    dx_facts: RunFacts, tmp_path: Path, verify: Verify
) -> None:
    code, said = verify(results(dx_facts, tmp_path))
    assert code == 0
    assert "no images: references were held against the reports' evidence" in said


def _move_a_corner(ds: Dataset) -> None:
    outline = next(item for item in items_of(ds) if item.get("ValueType") == "SCOORD")
    points = list(outline.GraphicData)
    points[2] += 4.0
    outline.GraphicData = points


def _another_area(ds: Dataset) -> None:
    item = next(item for item in items_of(ds) if code_of(item) == ("42798000", "SCT"))
    item.MeasuredValueSequence[0].NumericValue = "12.5"


def _another_probability(ds: Dataset) -> None:
    for item in items_of(ds):
        if code_of(item) == ("122157", "DCM"):
            item.MeasuredValueSequence[0].NumericValue = "0.931"


def _another_image(ds: Dataset) -> None:
    next(i for i in items_of(ds) if "ReferencedSOPSequence" in i).ReferencedSOPSequence[
        0
    ].ReferencedSOPInstanceUID = "1.2.3"


def _draw_elsewhere(ds: Dataset) -> None:
    graphic = ds.GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    graphic.GraphicData = [v + 4.0 for v in graphic.GraphicData]


def _say(ds: Dataset, number: int, before: str, after: str) -> None:
    text = ds.GraphicAnnotationSequence[0].TextObjectSequence[number]
    text.UnformattedTextValue, was = re.sub(before, after, text.UnformattedTextValue), text.UnformattedTextValue
    assert was != text.UnformattedTextValue


def _say_another_area(ds: Dataset) -> None:
    _say(ds, 0, r": [\d.]+", ": 12.5")


def _say_another_probability(ds: Dataset) -> None:
    _say(ds, -1, "0.934", "0.931")


def _leave_one_out(ds: Dataset) -> None:
    annotation = ds.GraphicAnnotationSequence[0]
    del annotation.GraphicObjectSequence[-1], annotation.TextObjectSequence[1]


def _draw_on_another(ds: Dataset) -> None:
    ds.GraphicAnnotationSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


@pytest.mark.parametrize(
    ("name", "how", "said"),
    [
        ("SR_1.dcm", _move_a_corner, "but its outline gives"),
        ("SR_1.dcm", _another_area, "Area 12.5 mm2, but its outline gives"),
        ("SR_1.dcm", _another_area, "PDF_1.dcm: Area 12.5 of SR_1.dcm is not on the page"),
        ("SR_1.dcm", _another_probability, "probability of Opacity of lung 0.934 is not in SR_1.dcm"),
        ("SR_1.dcm", _another_probability, "PDF_1.dcm: Probability 0.931 of SR_1.dcm is not on the page"),
        ("SR_enhanced_1.dcm", _move_a_corner, "SR_enhanced_1.dcm"),
        ("SR_1.dcm", _move_a_corner, "GSPS_1.dcm: opacity 1: what is drawn is no outline of SR_1.dcm"),
        ("GSPS_1.dcm", _draw_elsewhere, "GSPS_1.dcm: opacity 1: what is drawn is no outline of SR_1.dcm"),
        ("GSPS_1.dcm", _say_another_area, "GSPS_1.dcm: 12.5 is not in SR_1.dcm, but in 'opacity 1, area: 12.5 mm²'"),
        ("GSPS_1.dcm", _say_another_probability, "GSPS_1.dcm: 0.931 is not in SR_1.dcm, but in 'Opacity of lung"),
        ("GSPS_1.dcm", _leave_one_out, "GSPS_1.dcm: opacity 2 of SR_1.dcm is not drawn"),
        ("GSPS_1.dcm", _draw_on_another, "GSPS_1.dcm: points to 1.2.3, which is not here"),
        ("KOS_1.dcm", _another_image, "KOS_1.dcm: points to 1.2.3, which is not here"),
    ],
)
def test_what_was_changed_is_found(
    name: str, how: Callable[[Dataset], None], said: str, dx_facts: RunFacts, dx_paths: list[Path], tmp_path: Path,
    verify: Verify,
) -> None:  # fmt: skip
    folder = results(dx_facts, tmp_path)
    change(folder / "study" / "run" / name, how)
    code, words = verify(folder, "--images", dx_paths[0].parent)
    assert code == 1
    assert said in " ".join(words.split())


def test_a_changed_message_is_found(mr_facts: RunFacts, tmp_path: Path, verify: Verify) -> None:
    folder = results(mr_facts, tmp_path)
    (path,) = folder.rglob("*.hl7")
    value = f"{mr_facts.findings[0].value:.6f}".rstrip("0").encode()
    assert value in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(value, b"0.123"))
    code, words = verify(folder)
    assert code == 1
    assert "Predicted SSIM to the motion-free image 0.123 is not in SR_1.dcm" in " ".join(words.split())


def test_another_patients_image_is_found(
    dx_facts: RunFacts, dx_paths: list[Path], tmp_path: Path, verify: Verify
) -> None:
    folder = results(dx_facts, tmp_path)
    other = dcmread(dx_paths[0])
    other.PatientID = "SOMEONE ELSE"
    (tmp_path / "images").mkdir()
    other.save_as(tmp_path / "images" / "image.dcm")
    code, words = verify(folder, "--images", tmp_path / "images")
    assert code == 1
    assert "is of another patient or study" in words


def test_an_older_held_message_is_no_difference(mr_facts: RunFacts, tmp_path: Path, verify: Verify) -> None:
    gates = [mr_facts.gate_results[0].model_copy(update={"score": 0.42})]
    held = replace(mr_facts, outcome="held", findings=[], pictures={}, gate_results=gates)
    folder = results(mr_facts, tmp_path)
    write_results(folder / "study" / "run", report(held, DESTINATIONS).objects)
    assert len(list(folder.rglob("*.hl7"))) == 2
    assert verify(folder)[0] == 0


def test_nothing_is_not_right(tmp_path: Path, verify: Verify) -> None:
    code, said = verify(tmp_path)
    assert code == 1
    assert "no results of Isocenter's" in said
    assert verify(tmp_path / "away")[0] == 2


def test_a_code_of_more_than_16_characters_is_read() -> None:
    concept, item = Dataset(), Dataset()
    concept.LongCodeValue, concept.CodingSchemeDesignator = "sage-reconstruction", "99ISO"
    item.ConceptNameCodeSequence = [concept]
    assert code_of(item) == ("sage-reconstruction", "99ISO")


@pytest.fixture
def derived_results(mr_facts: RunFacts, mr_paths: list[Path], tmp_path: Path) -> Path:
    """Derived images of twelve slices, with the array that they were made of beside them."""
    made, frames = Made([]), load_frames(mr_paths)
    made.findings = [derived(made, frames)]
    made.arrays["ramp"] += np.arange(12, dtype=np.float32)[:, None, None]
    finding = made.findings[0].model_copy(update={"range": None})
    planes = read_planes(images_with_places([finding]), {f.source.sop_instance_uid: f.path for f in frames})
    facts = replace(mr_facts, findings=[finding], read=made.read, planes=planes)
    done = report(facts, [Destination(name="d", kind="dicom", host="h", port=104, ae_title="A", objects=["DERIVED"])])
    folder = tmp_path / "results" / "study" / "run"
    write_results(folder, done.objects)
    write_array(tmp_path, folder, "ramp_1", made.arrays["ramp"])
    return tmp_path / "results"


def test_derived_images_hold_their_arrays_and_lie_on_their_sources(
    derived_results: Path, mr_paths: list[Path], verify: Verify
) -> None:
    code, said = verify(derived_results, "--images", mr_paths[0].parent)
    assert code == 0, said
    assert " 12 recomputed" in said


def _another_value(ds: Dataset) -> None:
    pixels = ds.pixel_array.copy()
    pixels[5, 7] += 2
    ds.PixelData = pixels.tobytes()


def _another_place(ds: Dataset) -> None:
    ds.ImagePositionPatient = [*ds.ImagePositionPatient[:2], ds.ImagePositionPatient[2] + 1.0]


def _another_spacing(ds: Dataset) -> None:
    ds.PixelSpacing = [1.9, 1.8]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (_another_value, "DERIVED_4.dcm: 1 values are more than half a step off those of its array"),
        (_another_place, "DERIVED_4.dcm: ImagePositionPatient is not that of"),
        (_another_spacing, "DERIVED_4.dcm: PixelSpacing is not that of"),
    ],
)
def test_a_derived_image_that_was_changed_is_found(
    how: Callable[[Dataset], None], said: str, derived_results: Path, mr_paths: list[Path], verify: Verify
) -> None:
    change(derived_results / "study" / "run" / "DERIVED_4.dcm", how)
    code, words = verify(derived_results, "--images", mr_paths[0].parent)
    assert code == 1
    assert said in " ".join(words.split())


def test_derived_images_in_each_others_places_are_found(
    derived_results: Path, mr_paths: list[Path], verify: Verify
) -> None:
    one, other = (derived_results / "study" / "run" / f"DERIVED_{n}.dcm" for n in (2, 9))
    pixels = [dcmread(path).PixelData for path in (other, one)]
    for path, taken in zip((one, other), pixels, strict=True):
        change(path, lambda ds, taken=taken: setattr(ds, "PixelData", taken))
    code, words = verify(derived_results)
    assert code == 1
    assert "DERIVED_2.dcm" in words
    assert "DERIVED_9.dcm" in words
