"""A run is read: radiographs through the real package on a real Triton, findings in the book."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless
from skimage.measure import points_in_poly
from sqlmodel import select

from services.infer.work import Reader
from shared.findings import Classification, load_findings
from shared.packages.installed import Installed
from shared.packages.settings import PackageSettings
from shared.phantoms.chest_dx import chest_radiograph
from shared.phantoms.dicom import Patient, Visit, dx_image
from shared.serving import Models, ModelUnavailable, open_models
from shared.settings import Core
from shared.stage import Retry, Stage, run_next
from shared.store import Book, Instance, Run
from shared.store.moves import move
from shared.study import RunEvent, RunState
from shared.uids import derived_uid
from tests.images import AXIAL, CORONAL, noise, write
from tests.served import REPOSITORY, gating, packages, run_of, triton

READER = ("chest_opacity", "reader")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, triton_environment: Path) -> Iterator[Models]:
    with triton(tmp_path_factory.mktemp("triton"), triton_environment) as served:
        yield served


def ready(book: Book, store: Path, paths: list[Path], chosen: tuple[str, str] = READER) -> Run:
    gating(book, store, paths, [chosen])
    run = run_of(book, chosen[0])
    with book.write() as session:
        move(session, session.merge(run), RunEvent.PASSED, "geometry: tilted")
    return run


def read(book: Book, store: Path, models: Models) -> Run:
    reader = Reader(book, Core(data_dir=store.parent), packages(), models, 20.0)
    assert run_next(book, Stage("infer", Run, (RunState.READY,), reader.work))
    with book.read() as session:
        return session.exec(select(Run)).one()


def radiograph(
    folder: Path, seed: int, opacities: int, monochrome1: bool = False
) -> tuple[Path, list[tuple[float, float]]]:
    """A made-up chest and the centres of what was planted in it, (column, row)."""
    made = chest_radiograph(seed, opacities, (700, 600))
    ds = dx_image(made.pixels, Visit(Patient("TEST^NOBODY", "X1"), "A1"), spacing_mm=made.spacing_mm)
    if monochrome1:
        ds.PhotometricInterpretation = "MONOCHROME1"
        ds.PixelData = (4095 - made.pixels).astype("<u2").tobytes()
    path = folder / "dx.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path, [(planted.column, planted.row) for planted in made.opacities]


def found(run: Run) -> Classification:
    (finding,) = load_findings(run.findings)
    assert isinstance(finding, Classification)
    return finding


def encloses(finding: Classification, point: tuple[float, float]) -> bool:
    return any(points_in_poly([point], region.points)[0] for region in finding.regions)


@pytest.mark.triton
@pytest.mark.parametrize("monochrome1", [False, True])
def test_an_opacity_is_found_where_it_was_planted(
    tmp_path: Path, book: Book, models: Models, monochrome1: bool
) -> None:
    path, planted = radiograph(tmp_path, 1, 1, monochrome1)
    ready(book, tmp_path / "store", [path])
    run = read(book, tmp_path / "store", models)
    assert (run.state, run.reason) == (RunState.READ, "geometry: tilted")
    finding = found(run)
    assert finding.present
    assert encloses(finding, planted[0])
    assert finding.patch_map is not None
    assert finding.patch_map.box == (-50.0, 0.0, 650.0, 700.0)


@pytest.mark.triton
def test_without_an_opacity_nothing_is_outlined_and_compression_changes_nothing(
    tmp_path: Path, book: Book, models: Models
) -> None:
    path, _ = radiograph(tmp_path, 1, 0)
    ds = pydicom.dcmread(path)
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    ds.save_as(path)
    ready(book, tmp_path / "store", [path])
    finding = found(read(book, tmp_path / "store", models))
    assert not finding.present
    assert finding.regions == ()


@pytest.mark.triton
def test_a_lateral_view_beside_the_frontal_one_is_not_read(tmp_path: Path, book: Book, models: Models) -> None:
    frontal, _ = radiograph(tmp_path, 1, 0)
    ds = pydicom.dcmread(frontal)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID + ".2"
    ds.save_as(tmp_path / "lateral.dcm")
    ready(book, tmp_path / "store", [frontal, tmp_path / "lateral.dcm"])
    with book.write() as session:
        for instance in session.exec(select(Instance)):
            lateral = instance.sop_instance_uid == ds.SOPInstanceUID
            instance.header = {"view_position": "LL" if lateral else "PA"}
            session.add(instance)
    finding = found(read(book, tmp_path / "store", models))
    assert finding.sources[0].sop_instance_uid != ds.SOPInstanceUID


@pytest.mark.triton
def test_pixels_that_cannot_be_decoded_end_the_run_with_the_reason(tmp_path: Path, book: Book, models: Models) -> None:
    path = write(tmp_path, "dx", noise(64, 64), Modality="DX")
    path.write_bytes(path.read_bytes()[:-100])
    ready(book, tmp_path / "store", [path])
    run = read(book, tmp_path / "store", models)
    assert (run.state, run.failure) == (RunState.FAILING, "undecodable")
    assert run.reason.startswith("an image can't be read: the pixel data can't be decoded: ")


def test_a_version_that_is_not_installed_ends_the_run(tmp_path: Path, book: Book) -> None:
    away = open_models("127.0.0.1:9", REPOSITORY)
    ready(book, tmp_path / "store", [write(tmp_path, "dx")], ("chest_old", "reader"))
    run = read(book, tmp_path / "store", away)
    assert (run.state, run.failure) == (RunState.FAILING, "no-package")
    assert (
        run.reason
        == "version 1.0.0 of chest_old is not installed: no version is: put it back, or use another, and replay"
    )
    away.close()


def test_without_triton_the_run_waits(tmp_path: Path, book: Book) -> None:
    away = open_models("127.0.0.1:9", REPOSITORY)
    waiting = ready(book, tmp_path / "store", [write(tmp_path, "dx", noise(64, 64))])
    with pytest.raises(Retry, match="does not answer"):
        Reader(book, Core(data_dir=tmp_path), packages(), away, 5.0).work(waiting.id)
    assert read(book, tmp_path / "store", away).state == RunState.READY
    away.close()


class Silent:
    """A server that never answers in time, and takes note of the time that it was given."""

    def __init__(self) -> None:
        self.given: list[float] = []

    def infer(self, model_name: str, inputs: Any, timeout_s: float = 0.0, **_: Any) -> dict[str, Any]:
        self.given.append(timeout_s)
        raise ModelUnavailable("DEADLINE_EXCEEDED: Deadline Exceeded")

    def live(self) -> bool:
        return True


def test_a_package_has_its_own_time_out_and_attempts(tmp_path: Path, book: Book) -> None:
    ready(book, tmp_path / "store", [write(tmp_path, "dx", noise(64, 64))])
    here = Installed(REPOSITORY, {"chest_opacity": PackageSettings(timeout_seconds=7.5, most_attempts=2)})
    silent = Silent()
    reader = Reader(book, Core(data_dir=tmp_path), here, silent, 20.0)  # type: ignore[arg-type]
    stage = Stage(
        "infer", Run, (RunState.READY,), reader.work, most_attempts_of=reader.most_attempts_of,
        first_delay=timedelta(0), most_attempts=10,
    )  # fmt: skip
    assert run_next(book, stage)
    assert run_of(book, "chest_opacity").state == RunState.READY
    assert run_next(book, stage)
    run = run_of(book, "chest_opacity")
    assert (run.state, run.failure) == (RunState.FAILING, "away")
    assert "chest_opacity does not answer: DEADLINE_EXCEEDED" in run.reason
    assert silent.given == [7.5, 7.5]


def test_where_the_package_is_not_sure_of_anything_the_run_is_held_with_that_reason(tmp_path: Path, book: Book) -> None:
    here = open_models("", REPOSITORY, in_process=True)
    ready(book, tmp_path / "store", [write(tmp_path, "dx", noise(64, 32), Modality="DX")], ("cobb_angle", "reader"))
    run = read(book, tmp_path / "store", here)
    assert (run.state, run.is_unsure) == (RunState.HOLDING, True), "on purpose, so it is no failure"
    assert run.reason == "cobb_angle is not sure enough of what it sees, so nothing is said"
    here.close()


class Slices:
    """A model that only takes note of the order in which slices come: the first pixel of each."""

    def __init__(self) -> None:
        self.came: list[list[float]] = []

    def infer(self, model_name: str, inputs: Any, outputs: Any = None, **_: Any) -> dict[str, Any]:
        self.came.append(inputs["slices"][0, 0, :, 0, 0].tolist())
        count = inputs["slices"].shape[2]
        weights = np.full((1, count), 1 / count, np.float32)
        return {"logit": np.zeros((1, 1), np.float32), "slice_weights": weights}


def test_each_series_of_a_run_is_read_in_the_order_of_its_own_slices(tmp_path: Path, book: Book) -> None:
    """Sorted together, series in different planes would come by instance number."""
    paths = []
    for name, orientation, axis in (("axial", AXIAL, 2), ("coronal", CORONAL, 1)):
        for n, place in enumerate([0.0, 10.0, 20.0, 30.0]):
            position = [0.0, 0.0, 0.0]
            position[axis] = place
            pixels = np.full((8, 8), -1000 + int(place) * 10, np.int16)
            pixels[4:] = 0
            paths.append(write(
                tmp_path, f"{name}{n}", pixels, Modality="CT", ImageOrientationPatient=orientation,
                ImagePositionPatient=position, PixelSpacing=(1, 1), InstanceNumber=4 - n,
                SeriesInstanceUID=derived_uid("test", name),
            ))  # fmt: skip
    ready(book, tmp_path / "store", paths, ("slice_transformer", "reader"))
    models = Slices()
    assert read(book, tmp_path / "store", models).state == RunState.READ
    assert len(models.came) == 2
    for came in models.came:
        assert came == sorted(came) or came == sorted(came, reverse=True), "by place, not by instance number"
    assert sorted(came == sorted(came) for came in models.came) == [True, True], "along the normal of its own plane"
