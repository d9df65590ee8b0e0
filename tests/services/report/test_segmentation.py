"""A sphere that is planted as regions comes back from the segmentation: same volume, same place, same directions."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom import Dataset

from services.report import segmentation
from services.report.facts import ResultObject, RunFacts
from services.report.planes import images_with_regions, read_planes
from services.report.rasters import mask_of
from services.report.source_files import read_sources
from shared.findings import Classification, Code, Region, SourceImage
from shared.imaging.frames import Frame, load_frames
from shared.uids import derived_uid
from tests.services.report.lies import LIES, STEP, Lie, write_series

Write = Callable[..., list[ResultObject]]
RADIUS = 21.0  # mm


@pytest.fixture
def place(tmp_path: Path) -> Callable[[Lie], list[Path]]:
    """A series of 20 slices that lies as it is told."""
    return partial(write_series, tmp_path)


def centre_mm(frames: list[Frame]) -> np.ndarray:
    """In the middle of the series, off the pixels' grid."""
    first, last = (np.asarray(f.position) for f in (frames[0], frames[-1]))
    orientation, spacing = np.asarray(frames[0].orientation), frames[0].pixel_spacing
    middle = 31.3 * spacing[1] * orientation[:3] + 33.8 * spacing[0] * orientation[3:]
    return (first + last) / 2 + middle


def plant(frames: list[Frame], centre: np.ndarray) -> Classification:
    """The sphere's outline on each slice that cuts it, as a finding's regions."""
    regions = []
    for frame in frames:
        orientation, spacing = np.asarray(frame.orientation), frame.pixel_spacing
        away = centre - np.asarray(frame.position)
        height = float(away @ np.cross(orientation[:3], orientation[3:]))
        if abs(height) < RADIUS:
            column, row = away @ orientation[:3] / spacing[1] + 0.5, away @ orientation[3:] / spacing[0] + 0.5
            radius = np.sqrt(RADIUS**2 - height**2)
            turns = np.linspace(0, 2 * np.pi, 181)
            points = zip(
                column + radius / spacing[1] * np.cos(turns), row + radius / spacing[0] * np.sin(turns), strict=True
            )
            outline = tuple((float(x), float(y)) for x, y in points)
            regions.append(Region(image=frame.source, graphic_type="POLYLINE", points=outline))
    return Classification(
        name="sphere", code=Code(value="4147007", scheme="SCT", meaning="Mass"), package="planted", version="1",
        present=True, probability=0.9, threshold=0.5, regions=tuple(regions), sources=(frames[0].source,),
    )  # fmt: skip


def facts_of(base: RunFacts, paths: list[Path], finding: Classification) -> RunFacts:
    files = {str(pydicom.dcmread(p, specific_tags=["SOPInstanceUID"]).SOPInstanceUID): p for p in paths}
    planes = read_planes(images_with_regions([finding]), files)
    return replace(base, findings=[finding], sources=read_sources(paths), planes=planes)


def volume_of(ds: Dataset) -> tuple[float, np.ndarray]:
    """Volume in mm3 and centre in mm, from the stored frames and their positions alone."""
    pixels = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    shared = ds.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing]
    positions = [
        np.array(f.PlanePositionSequence[0].ImagePositionPatient, float) for f in ds.PerFrameFunctionalGroupsSequence
    ]
    step = abs(float((positions[1] - positions[0]) @ np.cross(orientation[:3], orientation[3:])))
    found = []
    for layer, position in zip(pixels, positions, strict=True):
        rows, columns = np.nonzero(layer)
        found.append(
            position + np.outer(columns * spacing[1], orientation[:3]) + np.outer(rows * spacing[0], orientation[3:])
        )
    every = np.concatenate(found)
    return len(every) * spacing[0] * spacing[1] * step, every.mean(axis=0)


@pytest.mark.parametrize("lie", LIES)
def test_a_sphere_comes_back(lie: str, place: Callable[[Lie], list[Path]], mr_facts: RunFacts, written: Write) -> None:
    paths = place(LIES[lie])
    frames = load_frames(paths)
    centre = centre_mm(frames)
    facts = facts_of(mr_facts, paths, plant(frames, centre))
    (made,) = written(facts, "SEG")
    ds = hd.seg.segread(BytesIO(made.content))
    volume, middle = volume_of(ds)
    assert volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)
    assert middle == pytest.approx(centre, abs=0.35)
    assert ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient == pytest.approx(
        frames[0].orientation, abs=1e-6
    )
    sources = {s.sop_instance_uid for s in (r.image for r in facts.findings[0].regions)}
    assert {str(uid) for _, _, uid in ds.get_source_image_uids()} == sources
    assert ds.FrameOfReferenceUID == facts.sources[0].FrameOfReferenceUID


@pytest.mark.parametrize("lie", ["axial", "sagittal", "oblique", "decubitus"])
def test_another_reader_finds_it_where_it_was_planted(
    lie: str, place: Callable[[Lie], list[Path]], mr_facts: RunFacts, written: Write, tmp_path: Path
) -> None:
    paths = place(LIES[lie])
    frames = load_frames(paths)
    centre = centre_mm(frames)
    (made,) = written(facts_of(mr_facts, paths, plant(frames, centre)), "SEG")
    path = tmp_path / made.file_name
    path.write_bytes(made.content)
    image = SimpleITK.ReadImage(str(path))
    array = SimpleITK.GetArrayFromImage(image)
    index = np.argwhere(array > 0).mean(axis=0)[::-1]
    assert image.TransformContinuousIndexToPhysicalPoint(index.tolist()) == pytest.approx(centre, abs=0.35)
    volume = float((array > 0).sum()) * float(np.prod(image.GetSpacing()))
    assert volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)


def test_frames_of_an_enhanced_image(
    place: Callable[[Lie], list[Path]], mr_facts: RunFacts, written: Write, tmp_path: Path
) -> None:
    path = tmp_path / "enhanced.dcm"
    enhanced([pydicom.dcmread(p) for p in place(LIES["oblique"])]).save_as(path, enforce_file_format=True)
    frames = load_frames([path])
    assert [f.source.frame for f in frames] == list(range(1, 21))
    centre = centre_mm(frames)
    facts = facts_of(mr_facts, [path], plant(frames, centre))
    (made,) = written(facts, "SEG")
    ds = hd.seg.segread(BytesIO(made.content))
    volume, middle = volume_of(ds)
    assert volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)
    assert middle == pytest.approx(centre, abs=0.35)
    derived = [f.DerivationImageSequence[0].SourceImageSequence[0] for f in ds.PerFrameFunctionalGroupsSequence]
    assert {d.ReferencedFrameNumber for d in derived} == {r.image.frame for r in facts.findings[0].regions}


def enhanced(series: list[Dataset]) -> Dataset:
    """The series as one instance with frames."""
    ds = Dataset()
    ds.file_meta = series[0].file_meta
    for element in series[0]:
        if element.keyword not in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "PixelData"):
            ds[element.tag] = element
    ds.SOPInstanceUID, ds.SOPClassUID = derived_uid("enhanced"), "1.2.840.10008.5.1.4.1.1.4.1"
    ds.file_meta.MediaStorageSOPInstanceUID, ds.file_meta.MediaStorageSOPClassUID = ds.SOPInstanceUID, ds.SOPClassUID
    ds.NumberOfFrames, ds.PixelData = len(series), b"".join(one.PixelData for one in series)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = series[0].PixelSpacing, STEP
    orientation.ImageOrientationPatient = series[0].ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], []
    for one in series:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = one.ImagePositionPatient
        frame.PlanePositionSequence = [position]
        ds.PerFrameFunctionalGroupsSequence.append(frame)
    return ds


def test_a_radiograph_is_covered_pixel_by_pixel(dx_facts: RunFacts, written: Write) -> None:
    (made,) = written(dx_facts, "SEG")
    ds = hd.seg.segread(BytesIO(made.content))
    (finding,) = dx_facts.findings
    expected = mask_of(finding.regions[0], ds.Rows, ds.Columns) | mask_of(finding.regions[1], ds.Rows, ds.Columns)
    assert (ds.Rows, ds.Columns) == (dx_facts.sources[0].Rows, dx_facts.sources[0].Columns)
    assert np.array_equal(ds.pixel_array.astype(bool), expected)
    assert list(ds.PatientOrientation) == list(dx_facts.sources[0].PatientOrientation)
    (segment,) = ds.SegmentSequence
    assert segment.SegmentLabel == "opacity"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert ds.ContentLabel == "AI_SEGMENTATION"
    assert ds.PatientName == dx_facts.sources[0].PatientName


def test_pixels_are_in_when_their_centre_is() -> None:
    image = SourceImage(series_instance_uid="1", sop_instance_uid="2", sop_class_uid="3")
    square = Region(image=image, graphic_type="POLYLINE", points=((1.4, 2.0), (4.0, 2.0), (4.0, 3.6), (1.4, 3.6)))
    assert np.argwhere(mask_of(square, 6, 6)).tolist() == [[2, 1], [2, 2], [2, 3], [3, 1], [3, 2], [3, 3]]
    point = Region(image=image, graphic_type="POINT", points=((2.9, 4.1),))
    assert np.argwhere(mask_of(point, 6, 6)).tolist() == [[4, 2]]


def test_without_regions_there_is_none(dx_facts: RunFacts, mr_facts: RunFacts) -> None:
    bare = dx_facts.findings[0].model_copy(update={"regions": ()})
    assert segmentation.build(replace(dx_facts, findings=[bare])) == []
    assert segmentation.build(mr_facts) == []


def test_a_replay_gives_the_same_bytes(dx_facts: RunFacts, written: Write) -> None:
    assert written(dx_facts, "SEG") == written(dx_facts, "SEG")
