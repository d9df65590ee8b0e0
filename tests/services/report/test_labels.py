"""Segmented findings come back from the segmentation: same pixels, codes and colours; the report points there."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from services.report.drawing.page import BOTTOM, TOP
from services.report.drawing.reading_page import draw_page
from services.report.facts import Picture, RunFacts
from services.report.handlers import images_to_draw, report
from services.report.planes import images_with_places, read_planes
from services.report.result_kinds import BUILDERS, build_objects
from services.report.segmentation import LABEL_MAP
from shared.imaging.frames import load_frames
from shared.result_profiles import Flavour
from shared.settings import Destination
from shared.verify.segments import size_of_segment
from tests.services.report.findings_by_hand import Made, segmentation

PACS = {"name": "pacs", "kind": "dicom", "host": "h", "port": 104, "ae_title": "A"}
Pieces = tuple[RunFacts, Made]


@pytest.fixture
def pieces(mr_facts: RunFacts, mr_paths: list[Path]) -> Callable[..., Pieces]:
    """Facts of a run that found two labels, or one that fades."""

    def make(fractional: bool) -> Pieces:
        made, frames = Made([]), load_frames(mr_paths)
        made.findings = [segmentation(made, frames, (1.8, 1.8), fractional)]
        planes = read_planes(images_with_places(made.findings), {f.source.sop_instance_uid: f.path for f in frames})
        return replace(mr_facts, findings=made.findings, planes=planes, read=made.read), made

    return make


def seg(facts: RunFacts, flavour: Flavour) -> hd.seg.Segmentation:
    (made,) = build_objects(facts, "SEG", {flavour: ()}, BUILDERS["SEG"])
    return hd.seg.segread(BytesIO(made.content))


@pytest.mark.parametrize("flavour", ["binary", "label-map"])
def test_labels_come_back(pieces: Callable[..., Pieces], flavour: str) -> None:
    facts, made = pieces(False)
    ds = seg(facts, Flavour(seg_flavour=flavour))
    assert ds.SOPClassUID == (LABEL_MAP if flavour == "label-map" else "1.2.840.10008.5.1.4.1.1.66.4")
    uids = [image.sop_instance_uid for image in facts.findings[0].placed.images]
    back = ds.get_pixels_by_source_instance(uids, combine_segments=True, ignore_spatial_locations=True)
    assert np.array_equal(back, made.arrays["parts"])
    segments = [s for s in ds.SegmentSequence if int(s.SegmentNumber)]
    assert [s.SegmentLabel for s in segments] == ["mass", "cyst"]
    assert [s.SegmentedPropertyTypeCodeSequence[0].CodeValue for s in segments] == ["4147007", "441457006"]
    red, green, blue = hd.color.CIELabColor.from_rgb(238, 110, 50).to_rgb()
    assert (abs(red - 238), abs(green - 110), abs(blue - 50)) <= (2, 2, 2)
    for n, segment in enumerate(facts.findings[0].segments, start=1):
        assert size_of_segment(ds, n, "mm3") == pytest.approx(segment.volume_mm3)


@pytest.mark.parametrize("syntax", ["explicit", "jpeg-ls"])
def test_probabilities_come_back(pieces: Callable[..., Pieces], syntax: str) -> None:
    facts, made = pieces(True)
    ds = seg(facts, Flavour(transfer_syntax=syntax))
    assert (ds.SegmentationType, ds.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    uids = [image.sop_instance_uid for image in facts.findings[0].placed.images]
    back = ds.get_pixels_by_source_instance(uids, segment_numbers=[1], ignore_spatial_locations=True)[..., 0]
    assert back == pytest.approx(made.arrays["fading"], abs=1 / 255)
    assert size_of_segment(ds, 1, "mm3") == pytest.approx(facts.findings[0].segments[0].volume_mm3)


def test_a_viewer_that_draws_no_probabilities_gets_a_mask(pieces: Callable[..., Pieces]) -> None:
    facts, made = pieces(True)
    made.arrays["fading"][:, 3, 3] = 0.49
    ds = seg(facts, Flavour(seg_probabilities="thresholded"))
    assert ds.SegmentationType == "BINARY"
    uids = [image.sop_instance_uid for image in facts.findings[0].placed.images]
    back = ds.get_pixels_by_source_instance(uids, combine_segments=True, ignore_spatial_locations=True)
    assert np.array_equal(back, made.arrays["fading"] >= 0.5)
    assert ds.SegmentSequence[0].SegmentLabel == "mass, probability 0.5 or more"


def test_each_lies_in_a_series_of_its_own(pieces: Callable[..., Pieces]) -> None:
    (facts, made), (fading, other) = pieces(False), pieces(True)
    read = {**made.arrays, **other.arrays}
    both = replace(facts, findings=[*facts.findings, *fading.findings], read=lambda file: read[file.path])
    first, second = (dcmread(BytesIO(o.content)) for o in build_objects(both, "SEG", {Flavour(): ()}, BUILDERS["SEG"]))
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert (first.SeriesNumber, second.SeriesNumber) == (9005, 9105)
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 1)
    assert second.SeriesDescription.startswith("AI segmentation 2: ")
    references, _ = segment_references(both, objects=["SR", "SEG"])
    assert [r.value for r in references] == [1, 2, 1]


def segment_references(facts: RunFacts, **wanted: object) -> tuple[list[Dataset], list[Dataset]]:
    """The SR's references to segments, and the segmentations that were made."""
    objects = report(facts, [Destination(**(PACS | wanted))]).objects
    made = {kind: [dcmread(BytesIO(o.content)) for o in objects if o.kind == kind] for kind in ("SR", "SEG")}
    items = [item for item in made["SR"][0].iterall() if item.keyword == "ReferencedSegmentNumber"]
    return items, made["SEG"]


def test_the_report_points_to_the_segments_that_go_along(pieces: Callable[..., Pieces]) -> None:
    facts, _ = pieces(False)
    references, (ds,) = segment_references(facts, objects=["SR", "SEG"])
    assert [r.value for r in references] == [1, 2]
    assert ds.SegmentSequence[0].TrackingUID != ds.SegmentSequence[1].TrackingUID


@pytest.mark.parametrize("wanted", [{"objects": ["SR"]}, {"objects": ["SR", "SEG"], "seg_flavour": "label-map"}])
def test_it_points_to_nothing_that_is_not_there_or_can_not_be_read(
    pieces: Callable[..., Pieces], wanted: dict[str, object]
) -> None:
    references, _ = segment_references(pieces(False)[0], **wanted)
    assert references == []


def test_nothing_found_makes_no_segmentation(pieces: Callable[..., Pieces]) -> None:
    facts, made = pieces(False)
    made.arrays["parts"][:] = 0
    assert build_objects(facts, "SEG", {Flavour(): ()}, BUILDERS["SEG"]) == []


def test_the_page_shows_the_segments_in_their_colours(pieces: Callable[..., Pieces]) -> None:
    facts, made = pieces(False)
    images = images_to_draw(facts.findings, made.read)
    first = next(n for n, plane in enumerate(made.arrays["parts"]) if plane.any())
    assert images == [facts.findings[0].placed.images[first]], "the plane with the most in it"
    grey = Picture(np.full(made.arrays["parts"].shape[1:], 100, np.uint8))
    page = np.asarray(draw_page(replace(facts, pictures={images[0]: grey}), facts.findings[0]))
    colours = {tuple(c) for c in page[TOP + 28 : BOTTOM - 162].reshape(-1, 3)}
    assert {(169, 105, 75), (93, 140, 167)} <= colours, "half mass or cyst, half grey"
    keys = {tuple(c) for c in page[BOTTOM - 122 : BOTTOM - 72].reshape(-1, 3)}
    assert {(238, 110, 50), (86, 180, 233)} <= keys, "below it, what each colour is"


def test_a_file_that_is_broken_stops_only_its_page(pieces: Callable[..., Pieces]) -> None:
    facts, made = pieces(False)
    made.arrays.clear()
    assert len(images_to_draw(facts.findings, made.read)) == 1
    done = report(facts, [Destination(**PACS, objects=["SR", "SEG"])])
    assert {o.kind for o in done.objects} == {"SR"}
    assert [reason[:6] for reason in done.missing] == ["no SEG", "no SC:"]
