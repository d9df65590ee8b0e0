"""Where a destination wants it, every image that shows a finding is a frame of its picture, to be scrolled."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, SecondaryCaptureImageStorage

from services.report.drawing.pages import MOST_PAGES, images_of_pages
from services.report.facts import ResultObject, RunFacts
from services.report.handlers import images_to_draw
from services.report.key_images import key_images
from services.report.result_kinds import BUILDERS, build_objects
from services.report.secondary_capture import FRAME_SIZE, draw_page
from services.report.source_files import read_pictures
from shared.findings import Finding, SourceImage
from shared.imaging.frames import load_frames
from shared.result_profiles import Flavour
from shared.settings import Destination
from tests.services.report.findings_by_hand import Made, heat_map, segmentation

SEVERAL = Flavour(sc_flavour="multi-frame")
PACS = Destination(name="p", kind="dicom", host="h", port=104, ae_title="A", sc_flavour="multi-frame")


def showing(base: RunFacts, paths: list[Path], find: Callable[[Made], Finding] | None = None) -> RunFacts:
    """`base` with what `find` finds (else its own finding), and all the pictures that a multi-frame capture needs."""
    made, files = Made([]), {frame.source.sop_instance_uid: frame.path for frame in load_frames(paths)}
    findings = [find(made)] if find else base.findings
    pictures, _ = read_pictures(images_to_draw(findings, made.read, [PACS]), files)
    return replace(base, findings=findings, pictures=pictures, read=made.read)


def written(facts: RunFacts, flavour: Flavour = SEVERAL) -> ResultObject:
    (result,) = build_objects(facts, "SC", {flavour: ()}, BUILDERS["SC"])
    return result


def opened(result: ResultObject) -> Dataset:
    return dcmread(BytesIO(result.content))


def sources_of(ds: Dataset) -> list[str]:
    return [str(item.ReferencedSOPInstanceUID) for item in ds.SourceImageSequence]


@pytest.fixture
def segmented(mr_facts: RunFacts, mr_paths: list[Path]) -> RunFacts:
    """Two segments in four of twelve slices."""
    frames = load_frames(mr_paths)
    return showing(mr_facts, mr_paths, lambda made: segmentation(made, frames, frames[0].pixel_spacing))


def test_each_slice_with_a_segment_is_a_frame_in_the_order_of_the_slices(
    segmented: RunFacts, dciodvfy: Callable[[bytes], list[str]]
) -> None:
    result, (finding,) = written(segmented), segmented.findings
    ds = opened(result)
    images = finding.placed.images[4:8]
    assert (ds.SOPClassUID, ds.NumberOfFrames) == (MultiFrameTrueColorSecondaryCaptureImageStorage, 4)
    assert list(ds.PageNumberVector) == [1, 2, 3, 4]
    assert ds.FrameIncrementPointer == 0x00182001
    assert sources_of(ds) == [image.sop_instance_uid for image in images]
    for frame, image in zip(ds.pixel_array, images, strict=True):
        page = draw_page(segmented, finding, image).resize(FRAME_SIZE, Image.Resampling.LANCZOS)
        assert (frame == np.asarray(page)).all()
    assert dciodvfy(result.content) == []
    assert result.file_name == "SC_multi-frame_1.dcm"


def test_the_default_is_one_picture_as_before(segmented: RunFacts) -> None:
    ds = opened(written(segmented, Flavour()))
    assert ds.SOPClassUID == SecondaryCaptureImageStorage
    assert "NumberOfFrames" not in ds
    assert len(sources_of(ds)) == 1


def test_one_image_is_one_picture(dx_facts: RunFacts, dx_paths: list[Path]) -> None:
    assert opened(written(showing(dx_facts, dx_paths))).SOPClassUID == SecondaryCaptureImageStorage


def test_the_worst_slices_of_a_score_come_first(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    facts = showing(mr_facts, mr_paths)
    ds, worst = opened(written(facts)), key_images(facts.findings[0])
    assert ds.NumberOfFrames == len(worst) > 1
    assert sources_of(ds)[0] == worst[0].sop_instance_uid
    assert set(sources_of(ds)) >= {image.sop_instance_uid for image in worst}


def test_of_many_planes_those_with_the_most_are_shown_in_their_order(mr_paths: list[Path]) -> None:
    made, frames = Made([]), load_frames(mr_paths)
    finding = heat_map(made, frames)
    many = MOST_PAGES + 20
    images = tuple(
        SourceImage(series_instance_uid="1.2", sop_instance_uid=f"1.3.{n}", sop_class_uid="1.4") for n in range(many)
    )
    array = np.ones((many, 4, 4), np.float32)
    array[3], array[10:29] = 0, 0.5  # nothing, and less
    made.arrays["heat"] = array
    finding = finding.model_copy(update={"placed": finding.placed.model_copy(update={"images": images, "boxes": ()})})
    shown = [images.index(image) for image in images_of_pages(finding, made.read, several=True)]
    assert shown == [n for n in range(many) if n != 3 and not 10 <= n < 29]
    assert len(shown) == MOST_PAGES


def test_pictures_of_all_frames_are_read_only_where_a_destination_wants_them(segmented: RunFacts) -> None:
    plain = PACS.model_copy(update={"sc_flavour": "single"})
    read = segmented.read
    assert len(images_to_draw(segmented.findings, read, [plain])) == 1
    assert len(set(images_to_draw(segmented.findings, read, [plain, PACS]))) == 4
    assert len(images_to_draw(segmented.findings, read, [PACS.model_copy(update={"objects": ["SR"]})])) == 1


def test_an_array_that_cant_be_read_stops_nothing(mr_facts: RunFacts, mr_paths: list[Path]) -> None:
    made, frames = Made([]), load_frames(mr_paths)
    finding = heat_map(made, frames)
    made.arrays.clear()
    assert images_of_pages(finding, made.read, several=True) == [finding.placed.images[0]]


@pytest.mark.parametrize("syntax", ["rle", "jpeg-ls"])
def test_transfer_syntaxes_keep_every_frame(syntax: str, segmented: RunFacts) -> None:
    packed = written(segmented, Flavour(sc_flavour="multi-frame", transfer_syntax=syntax))
    plain = written(segmented)
    assert len(packed.content) < len(plain.content) / 2
    assert (opened(packed).pixel_array == opened(plain).pixel_array).all()


def test_a_replay_gives_the_same_bytes(segmented: RunFacts) -> None:
    assert written(segmented) == written(segmented)
