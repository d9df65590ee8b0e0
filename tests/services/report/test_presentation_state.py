"""Findings over the images themselves: at their pixels, with the report's numbers, the image as its source shows it."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from services.report.facts import CannotBuild, ResultObject, RunFacts
from services.report.planes import images_with_regions
from services.report.source_display import read_displays
from services.report.source_files import read_sources
from shared.findings import Classification, Code, Landmark, Measurement, Region
from shared.imaging.display import display_pixels
from shared.imaging.frames import Frame, load_frames
from shared.result_profiles import PROFILES
from tests.images import write

Write = Callable[..., list[ResultObject]]
BOX = ((4.5, 4.0), (20.25, 4.0), (20.25, 12.0), (4.5, 12.0))
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
MADE_BY = {"package": "chest_opacity", "version": "1.2.0"}
MASS = Code(value="4147007", scheme="SCT", meaning="Mass")


def box_on(*frames: Frame) -> Classification:
    regions = tuple(Region(image=f.source, graphic_type="POLYLINE", points=BOX) for f in frames)
    return Classification(
        name="mass", code=MASS, present=True, probability=0.7, threshold=0.5, regions=regions,
        sources=tuple(f.source for f in frames), **MADE_BY,
    )  # fmt: skip


def over(base: RunFacts, paths: list[Path], *findings: Any) -> RunFacts:
    files = {f.source.sop_instance_uid: f.path for f in load_frames(paths)}
    displays = read_displays(images_with_regions(findings), files)
    return replace(base, sources=read_sources(paths), findings=list(findings), displays=displays)


def states(facts: RunFacts, written: Write) -> list[Dataset]:
    return [dcmread(BytesIO(made.content)) for made in written(facts, "GSPS")]


def points(graphic: Dataset) -> list[tuple[float, float]]:
    flat = [float(v) for v in graphic.GraphicData]
    return list(zip(flat[::2], flat[1::2], strict=True))


def test_regions_are_drawn_at_their_pixels_with_their_numbers(dx_facts: RunFacts, written: Write) -> None:
    finding = dx_facts.findings[0]
    assert isinstance(finding, Classification)
    (state,) = states(dx_facts, written)
    (annotation,) = state.GraphicAnnotationSequence
    assert [points(g) for g in annotation.GraphicObjectSequence] == [list(r.points) for r in finding.regions]
    assert {(g.GraphicType, g.GraphicAnnotationUnits) for g in annotation.GraphicObjectSequence} == {
        ("POLYLINE", "PIXEL")
    }
    rows, columns = (float(v) for v in dx_facts.sources[0].PixelSpacing)
    area = round(dx_facts.sources[0].Rows / 8 * dx_facts.sources[0].Columns / 8 * rows * columns, 2)
    said = [text.UnformattedTextValue for text in annotation.TextObjectSequence]
    assert said[:2] == [f"opacity 1, area: {area:g} mm²", f"opacity 2, area: {area:g} mm²"]
    assert said[2].split("\r\n") == [
        "Opacity of lung: present (probability 0.934, present from 0.5)", "Gates: completeness pass, geometry pass",
        "chest_opacity 1.2.0. Not for clinical use",
    ]  # fmt: skip
    (layer,) = state.GraphicLayerSequence
    assert layer.GraphicLayer == annotation.GraphicLayer == "CHEST_OPACITY"
    assert layer.GraphicLayerRecommendedDisplayCIELabValue[0] > 0.85 * 0xFFFF, "the yellow of the pictures"
    assert (state.Modality, state.SeriesNumber) == ("PR", 9009)


def test_a_landmark_is_a_point_that_is_seen_and_lines_stay_open(dx_facts: RunFacts, written: Write) -> None:
    image = dx_facts.findings[0].sources[0]
    edge = Region(image=image, graphic_type="POINT", points=((319.5, 7.25),), label="apex")
    line = Region(image=image, graphic_type="POLYLINE", points=((3.0, 3.0), (10.0, 6.0)), label="upper")
    lower = line.model_copy(update={"points": ((3.0, 9.0), (10.0, 9.0)), "label": "lower"})
    findings = [
        Landmark(name="place", code=MASS, regions=(edge,), sources=(image,), **MADE_BY),
        Measurement(
            name="cobb", code=MASS, value=23.1986, unit="deg", geometry="angle", regions=(line, lower),
            sources=(image,), **MADE_BY,
        ),
    ]  # fmt: skip
    (annotation,) = states(replace(dx_facts, findings=findings), written)[0].GraphicAnnotationSequence
    drawn = [(g.GraphicType, points(g)) for g in annotation.GraphicObjectSequence]
    assert drawn[0] == ("POINT", [(319.5, 7.25)])
    (kind, ((x, y), (rim, level))) = drawn[1]
    assert (kind, x, y, level) == ("CIRCLE", 319.5, 7.25, 7.25)
    assert 0 <= rim <= 320, "all coordinates are on the image (PS3.3 C.10.5.1.2)"
    assert drawn[2:] == [("POLYLINE", list(line.points)), ("POLYLINE", list(lower.points))]
    said = [text.UnformattedTextValue for text in annotation.TextObjectSequence][:3]
    assert said == ["place apex: column 319.5, row 7.25", "Mass: 23.2 °", "lower"]


def test_the_same_run_gives_the_same_bytes(dx_facts: RunFacts, written: Write) -> None:
    first, again = (written(dx_facts, "GSPS")[0].content for _ in range(2))
    state = dcmread(BytesIO(first))
    assert first == again
    assert (state.PresentationCreationDate, state.PresentationCreationTime) == (state.SeriesDate, state.SeriesTime)


def test_a_package_that_outlines_nothing_has_none(mr_facts: RunFacts, dx_facts: RunFacts, written: Write) -> None:
    absent = dx_facts.findings[0].model_copy(update={"present": False, "regions": ()})
    assert written(mr_facts, "GSPS") == written(replace(dx_facts, findings=[absent]), "GSPS") == []


def test_what_lies_beyond_its_image_is_not_drawn_elsewhere(dx_facts: RunFacts, written: Write) -> None:
    image = dx_facts.findings[0].sources[0]
    beyond = Region(image=image, graphic_type="POINT", points=((321.0, 7.0),))
    finding = Landmark(name="place", code=MASS, regions=(beyond,), sources=(image,), **MADE_BY)
    with pytest.raises(CannotBuild, match="a region of place lies beyond its image"):
        written(replace(dx_facts, findings=[finding]), "GSPS")


def test_colour_has_none(dx_facts: RunFacts, written: Write, tmp_path: Path) -> None:
    grey = np.full((64, 64, 3), 90, np.uint8)
    path = write(tmp_path, "colour", grey, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    facts = over(dx_facts, [path], box_on(*load_frames([path])))
    with pytest.raises(CannotBuild, match="grey images"):
        written(facts, "GSPS")


def test_a_run_that_was_released_says_so(dx_facts: RunFacts, written: Write) -> None:
    (state,) = states(replace(dx_facts, released="released by A: seen"), written)
    assert (
        "Held by a quality gate, released by A: seen"
        in state.GraphicAnnotationSequence[0].TextObjectSequence[-1].UnformattedTextValue
    )


def test_of_more_findings_than_a_text_holds_each_is_whole_or_left_out(dx_facts: RunFacts, written: Write) -> None:
    (first,) = [finding for finding in dx_facts.findings if isinstance(finding, Classification)]
    many = [first.model_copy(update={"name": f"opacity.{n}"}) for n in range(40)]
    (state,) = states(replace(dx_facts, findings=many), written)
    text = state.GraphicAnnotationSequence[0].TextObjectSequence[-1].UnformattedTextValue
    lines = text.splitlines()
    said = lines[: lines.index("More is in the report.")]
    assert 3 < len(said) < 40
    assert set(said) == {lines[0]}
    assert (len(text) <= 1024, lines[-1].endswith("Not for clinical use")) == (True, True)


def test_images_share_one_as_far_as_they_may(
    mr_facts: RunFacts, mr_paths: list[Path], written: Write, tmp_path: Path
) -> None:
    """Another window is another item; another rescale, size or series is another presentation state."""
    changes: list[dict[str, Any]] = [
        {}, {}, {"WindowCenter": 40, "WindowWidth": 80}, {"RescaleSlope": 2, "RescaleIntercept": 0},
        {"SeriesInstanceUID": "1.2.3.4"},
    ]  # fmt: skip
    paths = []
    for path, change in zip(mr_paths, changes, strict=False):
        ds = dcmread(path)
        for keyword, value in change.items():
            setattr(ds, keyword, value)
        ds.save_as(tmp_path / path.name)
        paths.append(tmp_path / path.name)
    of = {frame.path: frame for frame in load_frames(paths)}
    frames = [of[path] for path in paths]
    first, other, elsewhere = states(over(mr_facts, paths, box_on(*frames)), written)
    uids = [frame.source.sop_instance_uid for frame in frames]
    assert referenced(first) == uids[:3]
    assert [referenced(first), referenced(other), referenced(elsewhere)] == [uids[:3], uids[3:4], uids[4:]]
    assert elsewhere.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.4"
    windows = {
        float(item.WindowWidth): [r.ReferencedSOPInstanceUID for r in item.ReferencedImageSequence]
        for item in first.SoftcopyVOILUTSequence
    }
    assert windows.pop(80.0) == uids[2:3]
    assert list(windows.values()) == [uids[:2]]
    assert "ReferencedImageSequence" not in other.SoftcopyVOILUTSequence[0]
    assert len({s.SeriesInstanceUID for s in (first, other, elsewhere)}) == 1
    assert [s.InstanceNumber for s in (first, other, elsewhere)] == [1, 2, 3]


def referenced(state: Dataset) -> list[str]:
    return [str(item.ReferencedSOPInstanceUID) for item in state.ReferencedSeriesSequence[0].ReferencedImageSequence]


@pytest.mark.bench
def test_frames_are_named(bench: Path, build_facts: Callable[..., RunFacts], written: Write) -> None:
    path = bench / "data/dicom/enhanced_multiframe/MOVEKNEE.dcm"
    frames = load_frames([path])
    (state,) = states(over(build_facts([path]), [path], box_on(frames[2], frames[5])), written)
    assert sorted(state.ReferencedSeriesSequence[0].ReferencedImageSequence[0].ReferencedFrameNumber) == sorted(
        frame.source.frame for frame in (frames[2], frames[5])
    )
    said = [a.ReferencedImageSequence[0].ReferencedFrameNumber for a in state.GraphicAnnotationSequence]
    assert said == [frames[2].source.frame, frames[5].source.frame]


def table(first: int) -> list[Dataset]:
    """A VOI LUT of ten bits that bends."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [1024, first, 10])
    item.add_new("LUTData", "US", [int(1023 * (n / 1023) ** 2) for n in range(1024)])
    return [item]


NAMED = {"PatientName": "A^B", "PatientID": "1"}
AS_SHOWN: dict[str, dict[str, Any]] = {
    "window": {"WindowCenter": 1000, "WindowWidth": 900},
    "inverse": {"WindowCenter": 1000, "WindowWidth": 900, "PhotometricInterpretation": "MONOCHROME1"},
    "rescale": {"WindowCenter": 40, "WindowWidth": 400, "RescaleSlope": 2, "RescaleIntercept": -1024, "Modality": "CT"},
    "nothing": {},
    "table": {"VOILUTSequence": table(300)},
}


@pytest.mark.parametrize("case", AS_SHOWN)
def test_others_show_the_image_as_its_source_does(
    case: str, dx_facts: RunFacts, written: Write, tmp_path: Path
) -> None:
    """dcmtk renders the image through the presentation state: grey by grey what the pictures show."""
    path = write(tmp_path, case, RAMP, BitsStored=12, HighBit=11, **NAMED, **AS_SHOWN[case])
    assert_shown_as(path, load_frames([path])[0], dx_facts, written, tmp_path)


@pytest.mark.bench
@pytest.mark.parametrize(
    "name",
    ["xray_2d/dx_image.dcm", "transfer_syntax/MR_small_bigendian.dcm", "transfer_syntax/vlut_04.dcm",
     "transfer_syntax/mlut_18.dcm", "enhanced_multiframe/MOVEKNEE.dcm"],
)  # fmt: skip
def test_others_show_real_images_as_their_sources_do(
    name: str, bench: Path, dx_facts: RunFacts, written: Write, tmp_path: Path
) -> None:
    path = bench / "data/dicom" / name
    assert_shown_as(path, load_frames([path])[-1], dx_facts, written, tmp_path)


def assert_shown_as(path: Path, frame: Frame, base: RunFacts, written: Write, folder: Path) -> None:
    if not shutil.which("dcmp2pgm"):
        pytest.skip("dcmp2pgm (dcmtk) is not installed")
    (made,) = written(over(base, [path], box_on(frame)), "GSPS")
    state, shown = folder / "state.dcm", folder / "shown.pgm"
    state.write_bytes(made.content)
    checked = subprocess.run(["dcmpschk", state], capture_output=True, text=True, check=False)
    assert "Test passed" in checked.stdout + checked.stderr
    command = ["dcmp2pgm", "--frame", str(frame.source.frame or 1), "-p", state, path, shown]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = display_pixels(frame).astype(int)
    assert np.ptp(expected) > 50
    assert np.abs(np.asarray(Image.open(shown), int) - expected).max() <= 2


def test_the_windows_function_is_kept(dx_facts: RunFacts, written: Write, tmp_path: Path) -> None:
    """dcmtk 3.6.7 takes no notice of it in a presentation state."""
    path = write(tmp_path, "bent", RAMP, WindowCenter=1000, WindowWidth=900, VOILUTFunction="SIGMOID")
    (state,) = states(over(dx_facts, [path], box_on(*load_frames([path]))), written)
    assert state.SoftcopyVOILUTSequence[0].VOILUTFunction == "SIGMOID"


@pytest.mark.bench
@pytest.mark.viewer
def test_a_viewer_draws_an_outline_where_it_was_planted(
    bench: Path, dx_paths: list[Path], build_facts: Callable[..., RunFacts], written: Write, tmp_path: Path
) -> None:
    """DICOMscope draws all graphics one to two pixels to the upper left of their place; by more nothing may be off."""
    if missing := [name for name in ("dicomscope", "Xvfb", "xdotool", "scrot", "dcmqridx") if not shutil.which(name)]:
        pytest.skip(f"{', '.join(missing)} can't be found: apt-get install dicomscope dcmtk xvfb xdotool scrot")
    ds, image = dcmread(dx_paths[0]), tmp_path / "image.dcm"
    planted = np.full((ds.Rows, ds.Columns), 600, np.uint16)
    planted[192:240, 120:200] = 2400
    ds.PixelData = planted.tobytes()
    ds.save_as(image)
    box = ((120.0, 192.0), (200.0, 192.0), (200.0, 240.0), (120.0, 240.0))
    (frame,) = load_frames([image])
    region = Region(image=frame.source, graphic_type="POLYLINE", points=box)
    facts = over(build_facts([image]), [image], box_on(frame).model_copy(update={"regions": (region,)}))
    (tmp_path / "state.dcm").write_bytes(written(facts, "GSPS")[0].content)
    command = [bench / "hospital/dicomscope_shot.sh", image, tmp_path / "state.dcm", tmp_path / "shot.png"]
    subprocess.run(command, check=True, capture_output=True, timeout=150)
    shot = np.asarray(Image.open(tmp_path / "shot.png").convert("L"), int)
    grey = int(display_pixels(frame).max())
    left, top, right, bottom = around(np.abs(shot - grey) <= 1, least=100)  # the square
    zoom = (right - left) / 80
    assert zoom > 1
    assert abs((bottom - top) / zoom - 48) < 1
    near = np.zeros_like(shot)
    near[top - 20 : bottom + 20, left - 20 : right + 20] = 1
    outline = around((shot == 255) & (near == 1), least=round(40 * zoom))
    off = (np.array(outline) - (left, top, right, bottom)) / zoom
    assert np.abs(off).max() < 3, off


def around(mask: Any, least: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the rows and columns that have at least so many of the mask's pixels."""
    columns, rows = (np.flatnonzero(mask.sum(axis=axis) >= least) for axis in (0, 1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def test_no_profile_asks_for_it_unasked() -> None:
    """AIR's encodings don't name it, and OHIF 3.13 draws none."""
    assert not [name for name, settings in PROFILES.items() if "GSPS" in settings["objects"]]
