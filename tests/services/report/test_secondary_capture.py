"""The picture is a valid Secondary Capture that shows the source as it is, with what was found beside it."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from services.report import secondary_capture
from services.report.drawing import page
from services.report.drawing.palette import BACKGROUND, YELLOW
from services.report.drawing.placed_picture import fit
from services.report.drawing.reading_page import _BAR, _CAPTION
from services.report.facts import CannotBuild, Picture, ResultObject, RunFacts
from services.report.result_kinds import build_objects
from shared.findings import Region
from shared.result_profiles import Flavour


def read(facts: RunFacts) -> Dataset:
    (result,) = build_objects(facts, "SC", {Flavour(): ()}, secondary_capture.build)
    return pydicom.dcmread(BytesIO(result.content))


def test_it_is_an_rgb_picture_of_the_same_patient(mr_facts: RunFacts) -> None:
    ds = read(mr_facts)
    assert ds.SOPClassUID == SecondaryCaptureImageStorage
    assert ds.pixel_array.shape == (page.HEIGHT, page.WIDTH, 3)
    assert ds.PatientID == mr_facts.sources[0].PatientID
    assert ds.StudyInstanceUID == mr_facts.study.study_instance_uid
    assert ds.SeriesNumber == 9002
    assert "not for clinical use" in ds.SeriesDescription
    assert ds.BurnedInAnnotation == "NO"


def test_a_replay_gives_the_same_bytes(dx_facts: RunFacts, written: Callable[..., list[ResultObject]]) -> None:
    assert written(dx_facts, "SC")[0].content == written(dx_facts, "SC")[0].content


def test_the_shown_images_are_named(mr_facts: RunFacts) -> None:
    finding = mr_facts.findings[0]
    ranked = sorted(finding.instances, key=lambda i: i.score)
    shown = [ranked[0], ranked[len(ranked) // 2], ranked[-1]]
    named = [item.ReferencedSOPInstanceUID for item in read(mr_facts).SourceImageSequence]
    assert named == [i.image.sop_instance_uid for i in shown]


@pytest.mark.parametrize(("keyword", "value"), [("BurnedInAnnotation", "YES"), ("LossyImageCompression", "01")])
def test_what_clings_to_pixels_is_carried_over(dx_facts: RunFacts, keyword: str, value: str) -> None:
    source = Dataset(dx_facts.sources[0])
    source[keyword] = pydicom.DataElement(keyword, "CS", value)
    assert read(replace(dx_facts, sources=[source]))[keyword].value == value


def places(facts: RunFacts) -> list[object]:
    """Where the reading page puts its two pictures."""
    half = (page.WIDTH - 2 * page.EDGE - 20) / 2
    low = page.BOTTOM - _BAR - 14 - _CAPTION + 8
    picture = next(iter(facts.pictures.values()))
    lefts = page.EDGE, page.EDGE + half + 20
    return [fit(picture, (left, page.TOP, left + half, low)) for left in lefts]


def test_nothing_covers_the_radiograph(dx_facts: RunFacts) -> None:
    drawn = np.asarray(secondary_capture.draw_page(dx_facts, dx_facts.findings[0]))
    placed = places(dx_facts)[0]
    picture = Image.fromarray(next(iter(dx_facts.pictures.values())).pixels).convert("RGB")
    wanted = np.asarray(picture.resize((placed.width, placed.height), Image.Resampling.BICUBIC))
    seen = drawn[placed.top : placed.top + placed.height, placed.left : placed.left + placed.width]
    assert (seen[:-1, :-1] == wanted[:-1, :-1]).all()


def test_nothing_stands_where_viewers_write(dx_facts: RunFacts, mr_facts: RunFacts) -> None:
    """OHIF 3.13 writes date and series over the picture, down to a twelfth of its height."""
    for facts in (dx_facts, mr_facts):
        drawn = np.asarray(secondary_capture.draw_page(facts, facts.findings[0]))
        assert (drawn[: page.HEIGHT // 13] == BACKGROUND).all()
        assert page.HEIGHT // 13 <= page.ABOVE


def test_a_region_is_outlined_at_its_place(dx_facts: RunFacts) -> None:
    finding = dx_facts.findings[0]
    drawn = np.asarray(secondary_capture.draw_page(dx_facts, finding))
    placed = places(dx_facts)[1]
    for region in finding.regions:
        for column, row in region.points:
            x, y = placed.point(column, row)
            near = drawn[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4].reshape(-1, 3)
            assert (near == YELLOW).all(axis=1).any()
    x, y = placed.point(*np.mean(finding.regions[0].points[:4], axis=0))
    assert tuple(drawn[round(y), round(x)]) != YELLOW


def test_a_point_is_circled(dx_facts: RunFacts) -> None:
    finding = dx_facts.findings[0]
    image = finding.regions[0].image
    marked = finding.model_copy(update={"regions": (Region(image=image, graphic_type="POINT", points=((100, 120),)),)})
    drawn = np.asarray(secondary_capture.draw_page(dx_facts, marked))
    x, y = places(dx_facts)[1].point(100, 120)
    assert (drawn[round(y) - 18 : round(y) + 19, round(x) - 18 : round(x) + 19] == YELLOW).all(axis=2).any()
    assert tuple(drawn[round(y), round(x)]) != YELLOW


def test_a_colour_source_is_drawn(dx_facts: RunFacts) -> None:
    (image,) = dx_facts.pictures
    colour = Picture(np.full((50, 60, 3), (10, 200, 30), np.uint8))
    drawn = np.asarray(secondary_capture.draw_page(replace(dx_facts, pictures={image: colour}), dx_facts.findings[0]))
    assert (drawn == (10, 200, 30)).all(axis=2).any()


def test_a_series_of_one_slice_is_drawn(mr_facts: RunFacts) -> None:
    finding = mr_facts.findings[0]
    one = finding.model_copy(update={"instances": finding.instances[-1:]})
    (image,) = secondary_capture.images_to_draw(one)
    facts = replace(mr_facts, findings=[one], pictures={image: next(iter(mr_facts.pictures.values()))})
    assert read(facts).Rows == page.HEIGHT


def test_a_page_tells_of_its_own_series(mr_facts: RunFacts) -> None:
    finding = mr_facts.findings[0]
    page_alone = np.asarray(secondary_capture.draw_page(mr_facts, finding))
    elsewhere = [g.model_copy(update={"series_instance_uid": "1.2.3"}) for g in mr_facts.gate_results]
    for gate in elsewhere:
        gate.verdict, gate.reason = "hold", "another series"
    beside = replace(mr_facts, gate_results=[*elsewhere, *mr_facts.gate_results])
    assert (np.asarray(secondary_capture.draw_page(beside, finding)) == page_alone).all()
    silent = np.asarray(secondary_capture.draw_page(replace(mr_facts, gate_results=elsewhere), finding))
    assert (silent != page_alone).any()


def test_what_it_was_made_without_stands_beside_what_was_found(dx_facts: RunFacts) -> None:
    finding = dx_facts.findings[0]
    plain = np.asarray(secondary_capture.draw_page(dx_facts, finding))
    without = finding.model_copy(update={"missing": ("lateral",)})
    rows, _ = np.nonzero((np.asarray(secondary_capture.draw_page(dx_facts, without)) != plain).any(axis=2))
    assert rows.size
    assert rows.max() < page.TOP - 27, "in the heading alone"


def test_who_released_it_stands_in_the_footer_alone(dx_facts: RunFacts, mr_facts: RunFacts) -> None:
    for facts in (dx_facts, mr_facts):
        plain = np.asarray(secondary_capture.draw_page(facts, facts.findings[0]))
        released = replace(facts, released="released by Dr. Who: " + "seen at the scanner, " * 9)
        differs = (np.asarray(secondary_capture.draw_page(released, facts.findings[0])) != plain).any(axis=2)
        rows, columns = np.nonzero(differs)
        assert rows.min() > page.BOTTOM + 58, "below the gates"
        assert rows.max() < page.HEIGHT - 4
        made_by = 600 + np.nonzero((plain[page.BOTTOM + 70 :, 600:] != plain[-1, -1]).any(axis=(0, 2)))[0].min()
        assert columns.max() < made_by - 20, "left of who made it"


def test_without_pixels_it_says_why_not(mr_facts: RunFacts) -> None:
    with pytest.raises(CannotBuild, match="can be drawn"):
        secondary_capture.build(replace(mr_facts, pictures={}))
