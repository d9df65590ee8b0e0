"""Made-up runs over generated and real images: facts as report reads them from the book."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from services.report.facts import ResultObject, RunFacts
from services.report.planes import images_with_regions, read_planes
from services.report.result_kinds import BUILDERS, build_objects
from services.report.secondary_capture import images_to_draw
from services.report.source_display import read_displays
from services.report.source_files import read_pictures, read_sources
from shared.findings import (
    Classification,
    Code,
    Finding,
    InstanceScore,
    PatchMap,
    QualityScore,
    Region,
    SourceImage,
)
from shared.imaging.frames import Frame, load_frames
from shared.phantoms import dicom
from shared.phantoms.brain_mr import brain_volume
from shared.phantoms.chest_dx import chest_radiograph
from shared.result_profiles import Flavour
from shared.store import GateResult, Run, Study

READ_AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"
OPACITY = Code(value="125146000", scheme="SCT", meaning="Opacity of lung")
SSIM = Code(value="motion-ssim", scheme="99ISO", meaning="Predicted SSIM to the motion-free image")


def quality(frames: list[Frame], verdict: str = "warn") -> QualityScore:
    """A score that falls towards the last slice."""
    scores = np.linspace(0.97, 0.78, len(frames))
    series = frames[0].source.series_instance_uid
    return QualityScore(
        name="ssim", code=SSIM, package="motion_ssim", version="1.2.0", series_instance_uid=series,
        value=float(np.percentile(scores, 10)), unit="1", range=(0.0, 1.0), verdict=verdict, warn_below=0.9,
        hold_below=0.8, sources=tuple(f.source for f in frames),
        instances=tuple(InstanceScore(image=f.source, score=float(s)) for f, s in zip(frames, scores, strict=True)),
    )  # fmt: skip


def opacity(header: Dataset) -> Classification:
    """Two patches of eight by eight that speak for an opacity, each outlined."""
    width, height = header.Columns / 8, header.Rows / 8
    image = SourceImage(
        series_instance_uid=header.SeriesInstanceUID, sop_instance_uid=header.SOPInstanceUID,
        sop_class_uid=header.SOPClassUID,
    )  # fmt: skip
    logits = np.full((8, 8), -2.0)
    regions = []
    for row, column in ((2, 1), (5, 6)):
        logits[row, column] = 6.0
        left, top, right, bottom = column * width, row * height, (column + 1) * width, (row + 1) * height
        corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
        regions.append(Region(image=image, graphic_type="POLYLINE", points=corners))
    return Classification(
        name="opacity", code=OPACITY, package="chest_opacity", version="1.2.0", present=True, probability=0.934,
        threshold=0.5, regions=tuple(regions), sources=(image,),
        patch_map=PatchMap(
            image=image, logits=tuple(map(tuple, logits.tolist())), box=(0, 0, header.Columns, header.Rows)
        ),
    )  # fmt: skip


def facts_of(paths: list[Path], kind: str = "quality", run_id: str = "run-1") -> RunFacts:
    """Facts of a run of `kind` (quality or opacity) over `paths`."""
    sources, frames = read_sources(paths), load_frames(paths)
    finding: Finding = quality(frames) if kind == "quality" else opacity(sources[0])
    study_uid = str(sources[0].StudyInstanceUID)
    series = str(sources[0].SeriesInstanceUID)
    gates = [
        GateResult(study_instance_uid=study_uid, revision=1, name=name, series_instance_uid=series, verdict="pass")
        for name in ("completeness", "geometry")
    ]
    if kind == "quality":
        gates.append(
            GateResult(
                study_instance_uid=study_uid, revision=1, name=finding.package, series_instance_uid=series,
                verdict="warn", reason="slices 9 to 12 look blurred",
            )
        )  # fmt: skip
    facts = RunFacts(
        study=Study(study_instance_uid=study_uid),
        run=Run(
            id=run_id, study_instance_uid=study_uid, revision=1, package=finding.package, version=finding.version,
            kind="reader", series=[series], verdict="pass", read_at=READ_AT,
        ),
        outcome="read", at=READ_AT, findings=[finding],
        title="Motion in brain MR" if kind == "quality" else "Opacity on chest radiograph", gate_results=gates,
        sources=sources, institution_name="Test Hospital",
    )  # fmt: skip
    pictures, missing = read_pictures(images_to_draw(finding), {f.source.sop_instance_uid: f.path for f in frames})
    assert all("no pixel data" in reason or not frames for reason in missing)  # an image class without pixels
    files = {f.source.sop_instance_uid: f.path for f in frames}
    with_regions = images_with_regions([finding])
    return replace(
        facts, pictures=pictures, planes=read_planes(with_regions, files), displays=read_displays(with_regions, files)
    )


@pytest.fixture
def written() -> Callable[..., list[ResultObject]]:
    """A kind's objects as files, in one flavour."""

    def write(facts: RunFacts, kind: str, flavour: Flavour | None = None) -> list[ResultObject]:
        return build_objects(facts, kind, {flavour or Flavour(): ()}, BUILDERS[kind])

    return write


@pytest.fixture(scope="session")
def build_facts() -> Callable[..., RunFacts]:
    """`facts_of`, for tests that bring their own files."""
    return facts_of


@pytest.fixture(scope="session")
def mr_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A generated axial brain series of 12 slices."""
    folder = tmp_path_factory.mktemp("mr")
    visit = dicom.Visit(dicom.BRAIN_PATIENT, "ACC-MR")
    volume = brain_volume(3, slices=12, size=128, spacing_mm=(10.0, 1.8))
    return [_saved(ds, folder) for ds in dicom.mr_series(volume, visit, spacing_mm=(10.0, 1.8))]


@pytest.fixture(scope="session")
def dx_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A generated chest radiograph."""
    chest = chest_radiograph(5, opacities=1, size=(384, 320))
    visit = dicom.Visit(dicom.CHEST_PATIENT, "ACC-DX")
    return [_saved(dicom.dx_image(chest.pixels, visit, spacing_mm=chest.spacing_mm), tmp_path_factory.mktemp("dx"))]


def _saved(ds: Dataset, folder: Path) -> Path:
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def japanese_facts(tmp_path: Path) -> RunFacts:
    """An opacity in a radiograph whose name is written in ISO 2022 IR 87, as Japanese scanners do."""
    chest = chest_radiograph(6, opacities=1, size=(96, 96))
    ds = dicom.dx_image(chest.pixels, dicom.Visit(dicom.CHEST_PATIENT, "ACC-JP"), spacing_mm=chest.spacing_mm)
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    ds.PatientName, ds.StudyDescription = JAPANESE, "胸部正面"
    return facts_of([_saved(ds, tmp_path)], "opacity")


@pytest.fixture
def mr_facts(mr_paths: list[Path]) -> RunFacts:
    """A quality score over the generated series."""
    return facts_of(mr_paths)


@pytest.fixture
def dx_facts(dx_paths: list[Path]) -> RunFacts:
    """An opacity in the generated radiograph."""
    return facts_of(dx_paths, "opacity")


@pytest.fixture
def dciodvfy(tmp_path: Path) -> Callable[[bytes], list[str]]:
    """David Clunie's validator: the errors that it finds in a DICOM file of this content."""
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy (dicom3tools) is not installed")

    def errors(content: bytes) -> list[str]:
        path = tmp_path / "asked.dcm"
        path.write_bytes(content)
        run = subprocess.run(["dciodvfy", "-new", path], capture_output=True, encoding="latin-1", check=False)
        path.unlink()
        return [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]

    return errors
