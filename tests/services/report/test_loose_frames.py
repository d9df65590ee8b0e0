"""Segmentations of images that make no stack in one frame of reference: each frame lies over its own image."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from services.report.facts import ResultObject, RunFacts
from services.report.placed_arrays import step_of
from services.report.planes import images_with_places, read_planes
from services.report.source_files import read_sources
from shared.imaging.frames import load_frames
from shared.uids import derived_uid
from tests.images import AXIAL, CORONAL, dataset, noise, write_enhanced
from tests.services.report.findings_by_hand import Made, segmentation

Write = Callable[..., list[ResultObject]]
Errors = Callable[[bytes], list[str]]
FRAME = derived_uid("test", "frame of reference")
SHAPE = 24, 32


def segmented(base: RunFacts, paths: list[Path]) -> tuple[RunFacts, Made]:
    """Two boxes on the middle third of the images."""
    made, frames = Made([]), load_frames(paths)
    made.findings = [segmentation(made, frames, None)]
    planes = read_planes(images_with_places(made.findings), {f.source.sop_instance_uid: f.path for f in frames})
    return replace(base, findings=made.findings, sources=read_sources(paths), planes=planes, read=made.read), made


def lies_over(item: Dataset) -> tuple[str, int | None]:
    """The instance, and frame, that a frame names as its source."""
    (source,) = item.DerivationImageSequence[0].SourceImageSequence
    return str(source.ReferencedSOPInstanceUID), source.get("ReferencedFrameNumber")


def assert_covers(ds: Dataset, facts: RunFacts, made: Made) -> None:
    """Every frame holds what the finding says of its source, and no two have the same dimensions."""
    (finding,) = facts.findings
    images = {(i.sop_instance_uid, i.frame): n for n, i in enumerate(finding.placed.images)}
    items, seen = ds.PerFrameFunctionalGroupsSequence, []
    for item, pixels in zip(items, ds.pixel_array.reshape(-1, ds.Rows, ds.Columns), strict=True):
        number = item.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        assert np.array_equal(pixels == 1, made.arrays["parts"][images[lies_over(item)]] == number)
        seen.append((number, lies_over(item)))
    dimensions = {tuple(item.FrameContentSequence[0].DimensionIndexValues) for item in items}
    assert len(set(seen)) == len(dimensions) == len(items)
    assert {len(values) for values in dimensions} == {len(ds.DimensionIndexSequence)}


def test_a_series_without_a_frame_of_reference_is_covered_pixel_by_pixel(
    mr_facts: RunFacts, mr_paths: list[Path], written: Write, dciodvfy: Errors
) -> None:
    facts, made = segmented(mr_facts, mr_paths)
    for source in facts.sources:
        del source.FrameOfReferenceUID
    (result,) = written(facts, "SEG")
    assert dciodvfy(result.content) == []
    ds = hd.seg.segread(BytesIO(result.content))
    assert_covers(ds, facts, made)
    assert "FrameOfReferenceUID" not in ds
    assert not {"PixelMeasuresSequence", "PlaneOrientationSequence"} & set(ds.SharedFunctionalGroupsSequence[0].dir())
    assert "PlanePositionSequence" not in ds.PerFrameFunctionalGroupsSequence[0]
    images = [i.sop_instance_uid for i in facts.findings[0].placed.images]
    back = ds.get_pixels_by_source_instance(
        images, ignore_spatial_locations=True, assert_missing_frames_are_empty=True, combine_segments=True
    )
    assert np.array_equal(back, made.arrays["parts"])


def test_frames_that_are_taken_again_in_the_same_place(
    mr_facts: RunFacts, tmp_path: Path, written: Write, dciodvfy: Errors
) -> None:
    places = [(z, t) for t in (1, 2, 3) for z in (0.0, 4.0, 8.0)]
    path = write_enhanced(tmp_path, places, shape=SHAPE, FrameOfReferenceUID=FRAME)
    facts, made = segmented(mr_facts, [path])
    (result,) = written(facts, "SEG")
    assert dciodvfy(result.content) == []
    ds = hd.seg.segread(BytesIO(result.content))
    assert_covers(ds, facts, made)
    assert ds.FrameOfReferenceUID == FRAME
    for item in ds.PerFrameFunctionalGroupsSequence:
        _, frame = lies_over(item)
        assert item.PlanePositionSequence[0].ImagePositionPatient == [0, 0, places[frame - 1][0]]
    (measures,) = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert (list(measures.PixelSpacing), measures.SpacingBetweenSlices) == ([0.5, 0.75], 4.0)
    assert step_of(facts, facts.findings[0].placed) == pytest.approx(4.0)  # not the mean over repeats
    back = ds.get_pixels_by_source_frame(
        facts.sources[0].SOPInstanceUID, [i.frame for i in facts.findings[0].placed.images],
        ignore_spatial_locations=True, assert_missing_frames_are_empty=True, combine_segments=True,
    )  # fmt: skip
    assert np.array_equal(back, made.arrays["parts"])


def test_frames_in_several_directions_are_apart(mr_facts: RunFacts, tmp_path: Path, written: Write) -> None:
    path = write_enhanced(tmp_path, [(0.0, 1), (4.0, 1), (8.0, 1), (12.0, 1)], shape=SHAPE, FrameOfReferenceUID=FRAME)
    ds = dcmread(path)
    del ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    for item, orientation in zip(ds.PerFrameFunctionalGroupsSequence, (AXIAL, CORONAL) * 2, strict=True):
        item.PlaneOrientationSequence = [Dataset()]
        item.PlaneOrientationSequence[0].ImageOrientationPatient = list(orientation)
    ds.save_as(path)
    facts, made = segmented(mr_facts, [path])
    made.arrays["parts"][:] = made.arrays["parts"].max(axis=0)
    read = [hd.seg.segread(BytesIO(result.content)) for result in written(facts, "SEG")]
    for one, orientation, frames in zip(read, (AXIAL, CORONAL), ({1, 3}, {2, 4}), strict=True):
        assert_covers(one, facts, made)
        assert {lies_over(item)[1] for item in one.PerFrameFunctionalGroupsSequence} == frames
        (plane,) = one.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
        assert tuple(plane.ImageOrientationPatient) == orientation


def test_frames_that_lie_nowhere_are_covered_pixel_by_pixel(mr_facts: RunFacts, tmp_path: Path, written: Write) -> None:
    pixels = np.stack([noise(*SHAPE, seed=n) for n in range(5)])
    path = tmp_path / "cine.dcm"
    cine = dataset(pixels, "cine", SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1", Modality="US", NumberOfFrames=5)
    cine.save_as(path, enforce_file_format=True)
    facts, made = segmented(mr_facts, [path])
    (result,) = written(facts, "SEG")
    ds = hd.seg.segread(BytesIO(result.content))
    assert_covers(ds, facts, made)
    assert "FrameOfReferenceUID" not in ds
    (series,) = ds.ReferencedSeriesSequence
    (instance,) = series.ReferencedInstanceSequence
    assert instance.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.3.1"
