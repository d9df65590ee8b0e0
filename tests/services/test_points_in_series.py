"""Points that a network gives in a whole series, to the report: on the nearest images, and in the patient."""

import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pypdf import PdfReader
from typer.testing import CliRunner

from shared.cli.main import app
from shared.findings import Landmark, Measurement, load_findings
from shared.geometry import angle_between_lines
from shared.imaging.planes import Plane
from shared.phantoms.dicom import BRAIN_PATIENT, Visit, mr_series
from shared.result_profiles import DICOM_KINDS
from shared.settings import Destination
from shared.study import RunState
from tests.at_work import CODE, DESTINATIONS, AtWork, agrees, tiny_package, words_of
from tests.networks import of_points
from tests.services.report.test_objects_are_valid import assert_valid

ENDS = ((4.0, 5.0, 0.75), (20.0, 14.0, 2.6))
IN_PLANE = ((4.0, 5.0, 2.25), (20.0, 5.0, 2.75))
BY_SERIES: dict[str, Any] = {
    "grouping": {"by": "series"}, "image": (1, -1, -1, -1),
    "preprocess": [{"step": "reorient", "axes": "RAS"}],
}  # fmt: skip
IN_PATIENT = [
    Destination(
        name="pacs", kind="dicom", host="h", port=104, ae_title="A", objects=list(DICOM_KINDS),
        region_coordinates="SCOORD3D",
    ),
    DESTINATIONS[1],
]  # fmt: skip
OUTPUTS: dict[str, dict[str, Any]] = {
    "landmark": {"name": "place", "kind": "landmark"},
    "length": {"name": "size", "kind": "measurement", "geometry": "length", "unit": "mm"},
    "angle": {"name": "angle", "kind": "measurement", "geometry": "angle", "unit": "deg"},
}


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    """Four slices of 24 rows and 32 columns, 5 mm apart, with pixels of 2 mm, turned out of the scanner's axes."""
    made = mr_series(np.ones((4, 24, 32), np.float32), Visit(BRAIN_PATIENT, "ACC-MR"), spacing_mm=(5.0, 2.0))
    turn = np.linalg.qr(np.array([[0.9, -0.3, 0.2], [0.3, 0.95, -0.1], [-0.2, 0.1, 0.98]]))[0]
    for number, ds in enumerate(made):
        along, down = (turn @ np.array(ds.ImageOrientationPatient[n : n + 3], float) for n in (0, 3))
        ds.ImageOrientationPatient = [f"{value:.10f}" for value in (*along, *down)]
        ds.ImagePositionPatient = [f"{v:.8f}" for v in turn @ np.array(ds.ImagePositionPatient, float)]
        ds.save_as(tmp_path / f"slice{number}.dcm", enforce_file_format=True)
    return sorted(tmp_path.glob("slice*.dcm"))


def given(slices: list[Path], points: Any) -> list[list[float]]:
    """Points (column, row, slice) of the source as those of the model's input, which is turned."""
    from shared.imaging.frames import load_frames
    from shared.imaging.volume import Volume
    from tests.volumes import apply

    grid = apply(Volume.of(load_frames(slices)), ("reorient", {"axes": "RAS"})).grid
    assert not np.array_equal(grid.to_source, np.eye(4))
    return [np.linalg.solve(grid.to_source, (*point, 1.0))[:3].tolist() for point in points]


def at_work(home: Path, kind: str, slices: list[Path], points: Any, **more: Any) -> AtWork:
    inside = given(slices, points)
    network = of_points("points", inside, ("s", "h", "w"))
    output = {"tensor": "points", "code": CODE | {"value": kind, "meaning": kind.title()}} | OUTPUTS[kind]
    package = tiny_package(home / "packages", network, {"points": [len(inside), 3]}, [output], **BY_SERIES)
    return AtWork(home, package, slices, **more)


def in_patient(slices: list[Path], points: Any) -> np.ndarray:
    """By the header of the first slice and the way to the next."""
    first, second = (pydicom.dcmread(path) for path in slices[:2])
    position = tuple(map(float, first.ImagePositionPatient))
    plane = Plane(position, tuple(map(float, first.ImageOrientationPatient)), (2.0, 2.0))  # type: ignore[arg-type]
    step = np.array(second.ImagePositionPatient, float) - position
    return np.array([plane.points_mm([(x, y)])[0] + (z - 0.5) * step for x, y, z in points])


def report_of(work: AtWork) -> tuple[Path, Any]:
    run = work.read()
    assert run.state == RunState.READ, run.reason
    folder = work.report()
    return folder, hd.sr.srread(next(folder.glob("SR*.dcm")))


def coordinates(report: Any) -> list[tuple[str, str, np.ndarray]]:
    """Value type, graphic type and points of all that was measured or marked."""
    found = []

    def walk(items: Any) -> None:
        for item in items:
            if item.ValueType in ("SCOORD", "SCOORD3D"):
                size = 3 if item.ValueType == "SCOORD3D" else 2
                points = np.array(item.GraphicData, float).reshape(-1, size)
                found.append((item.ValueType, item.GraphicType, points))
            walk(item.get("ContentSequence") or [])

    walk(report.ContentSequence)
    return found


@pytest.mark.triton
def test_a_length_between_images_from_triton_to_the_report(
    tmp_path: Path, slices: list[Path], opened: list[AtWork], triton_environment: Path
) -> None:
    opened.append(work := at_work(tmp_path, "length", slices, ENDS, triton=triton_environment))
    folder, report = report_of(work)
    (size,) = load_findings(work.run().findings)
    assert isinstance(size, Measurement)
    mm = in_patient(slices, ENDS)
    assert size.value == pytest.approx(float(np.linalg.norm(mm[1] - mm[0])), abs=1e-3)
    assert [(kind, graphic) for kind, graphic, _ in coordinates(report)] == [("SCOORD", "POINT")] * 2
    assert [points[0].tolist() for _, _, points in coordinates(report)] == [
        pytest.approx(point[:2], abs=1e-3) for point in ENDS
    ]  # fmt: skip
    assert "no single image shows it" in words_of(folder)
    assert "end 1 near image 1, end 2 near image 3" in " ".join(text_of_pages(folder).split())
    agrees(folder)
    spoilt_is_told(folder, size.value, by=7.0)


def spoilt_is_told(folder: Path, value: float, by: float) -> None:
    """Another number in the report is found by who computes it again."""
    path = next(folder.glob("SR*.dcm"))
    ds = pydicom.dcmread(path)

    def spoil(items: Any) -> None:
        for item in items:
            for measured in item.get("MeasuredValueSequence") or []:
                if abs(float(measured.NumericValue) - value) < 1e-3:
                    measured.NumericValue = f"{value + by:.4f}"
                    if "FloatingPointValue" in measured:
                        measured.FloatingPointValue = value + by
            spoil(item.get("ContentSequence") or [])

    spoil(ds.ContentSequence)
    ds.save_as(path)
    done = CliRunner().invoke(app, ["verify-results", str(folder)])
    assert done.exit_code == 1
    assert "its points give" in done.output or "its outline gives" in done.output, done.output


@pytest.mark.parametrize("kind", ["length", "angle"])
def test_in_the_patient_s_coordinates_it_is_computed_again_exactly(
    tmp_path: Path, slices: list[Path], opened: list[AtWork], kind: str
) -> None:
    points = ENDS if kind == "length" else (*ENDS, *IN_PLANE)
    opened.append(work := at_work(tmp_path, kind, slices, points, destinations=IN_PATIENT))
    folder, report = report_of(work)
    (found,) = load_findings(work.run().findings)
    assert isinstance(found, Measurement)
    mm = in_patient(slices, points)
    lines = [
        line for value_type, graphic, line in coordinates(report) if (value_type, graphic) == ("SCOORD3D", "POLYLINE")
    ]
    assert len(lines) == len(points) // 2
    assert lines[0] == pytest.approx(mm[:2], abs=1e-3)
    if kind == "angle":
        assert found.value == pytest.approx(angle_between_lines(*lines), abs=1e-3)
    assert "no single image shows it" not in words_of(folder)
    agrees(folder)
    spoilt_is_told(folder, found.value, by=0.1)


def test_an_angle_of_which_one_line_lies_on_an_image(tmp_path: Path, slices: list[Path], opened: list[AtWork]) -> None:
    opened.append(work := at_work(tmp_path, "angle", slices, (*IN_PLANE, *ENDS)))
    folder, report = report_of(work)
    assert [graphic for _, graphic, _ in coordinates(report)] == ["POLYLINE", "POINT", "POINT"]
    agrees(folder)
    (found,) = load_findings(work.run().findings)
    assert isinstance(found, Measurement)
    spoilt_is_told(folder, found.value, by=40.0)


def test_a_line_on_one_image_is_drawn_there(tmp_path: Path, slices: list[Path], opened: list[AtWork]) -> None:
    opened.append(work := at_work(tmp_path, "length", slices, IN_PLANE))
    folder, report = report_of(work)
    (found,) = load_findings(work.run().findings)
    assert isinstance(found, Measurement)
    assert found.value == pytest.approx(32.0)
    assert [graphic for _, graphic, _ in coordinates(report)] == ["POLYLINE"]
    assert "no single image shows it" not in words_of(folder)
    agrees(folder)


@pytest.mark.parametrize("destinations", [DESTINATIONS, IN_PATIENT], ids=["SCOORD", "SCOORD3D"])
def test_landmarks_lie_on_the_nearest_images_and_in_the_patient(
    tmp_path: Path, slices: list[Path], opened: list[AtWork], destinations: Any
) -> None:
    opened.append(work := at_work(tmp_path, "landmark", slices, ENDS, destinations=destinations))
    folder, report = report_of(work)
    (found,) = load_findings(work.run().findings)
    assert isinstance(found, Landmark)
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in slices]
    assert [uids.index(region.image.sop_instance_uid) for region in found.regions] == [0, 2]
    mm = in_patient(slices, ENDS)
    told = [points[0] for _, _, points in coordinates(report)]
    expected = mm if destinations is IN_PATIENT else np.array(ENDS)[:, :2]
    assert np.array(told) == pytest.approx(expected, abs=1e-3)
    text = text_of_pages(folder)
    assert "image 1" in text
    assert "image 3" in text
    agrees(folder)


def text_of_pages(folder: Path) -> str:
    document = pydicom.dcmread(next(folder.glob("PDF*.dcm"))).EncapsulatedDocument
    return "".join(page.extract_text() for page in PdfReader(BytesIO(document)).pages)


@pytest.mark.parametrize("destinations", [DESTINATIONS, IN_PATIENT], ids=["SCOORD", "SCOORD3D"])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_validator_finds_no_error(
    tmp_path: Path, slices: list[Path], opened: list[AtWork], kind: str, destinations: Any
) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed")
    points = (*ENDS, *IN_PLANE) if kind == "angle" else ENDS
    opened.append(work := at_work(tmp_path, kind, slices, points, destinations=destinations))
    folder, _ = report_of(work)
    assert_valid(sorted(folder.glob("*.dcm")))
