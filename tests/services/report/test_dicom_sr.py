"""The structured report says what the findings say, where they say it, and can be computed again."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from io import BytesIO

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from services.report import dicom_sr
from services.report.facts import CannotBuild, Predecessor, ResultObject, RunFacts
from services.report.identity import sop_instance_uid_of
from services.report.regions import area_pixels
from services.report.result_kinds import build_objects
from shared.findings import Classification, Measurement
from shared.result_profiles import Flavour
from shared.store import Order
from shared.uids import is_valid_uid


def read(facts: RunFacts) -> Dataset:
    (result,) = build_objects(facts, "SR", {Flavour(): ()}, dicom_sr.build)
    return pydicom.dcmread(BytesIO(result.content))


def groups(report: Dataset) -> list[Dataset]:
    root = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in report.ContentSequence}
    beside = root.get("Qualitative Evaluations")
    return [*root["Imaging Measurements"].ContentSequence, *(beside.ContentSequence if beside else [])]


def rows(group: Dataset) -> dict[str, Dataset]:
    return {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in group.ContentSequence}


def named(report: Dataset, identifier: str) -> dict[str, Dataset]:
    """The rows of the group with this tracking identifier."""
    return next(r for r in map(rows, groups(report)) if r["Tracking Identifier"].TextValue == identifier)


def number(item: Dataset) -> float:
    return float(item.MeasuredValueSequence[0].NumericValue)


def test_identity_comes_from_the_source(dx_facts: RunFacts) -> None:
    report = read(dx_facts)
    source = dx_facts.sources[0]
    assert report.SOPClassUID == Comprehensive3DSRStorage
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber", "StudyDate"):
        assert report[keyword].value == source[keyword].value
    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert report.Modality == "SR"
    assert report.SeriesInstanceUID != source.SeriesInstanceUID
    assert "not for clinical use" in report.SeriesDescription
    assert len(report.SeriesDescription) <= 64
    assert is_valid_uid(report.SOPInstanceUID)


def test_a_replay_gives_the_same_bytes(mr_facts: RunFacts, written: Callable[..., list[ResultObject]]) -> None:
    assert written(mr_facts, "SR")[0].content == written(mr_facts, "SR")[0].content


def test_another_run_gives_other_uids(dx_facts: RunFacts) -> None:
    other = replace(dx_facts, run=dx_facts.run.model_copy(update={"id": "run-2"}))
    first, second = read(dx_facts), read(other)
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID


def test_a_classification_says_present_with_its_probability(dx_facts: RunFacts) -> None:
    whole = named(read(dx_facts), "opacity")
    assert whole["Opacity of lung"].ConceptCodeSequence[0].CodeMeaning == "Present"
    assert number(whole["Probability"]) == 0.934
    assert number(whole["Threshold Value"]) == 0.5
    assert whole["Use mark"].ConceptCodeSequence[0].CodeMeaning == "Not for clinical use"
    assert whole["Algorithm Name"].TextValue == "chest_opacity"
    assert whole["Algorithm Version"].TextValue == "1.2.0"


def test_imaging_measurements_are_regions_alone_where_there_are_any(dx_facts: RunFacts) -> None:
    root = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in read(dx_facts).ContentSequence}
    assert ["Image Region" in rows(group) for group in root["Imaging Measurements"].ContentSequence] == [True, True]
    assert ["Image Region" in rows(group) for group in root["Qualitative Evaluations"].ContentSequence] == [False] * 3


def test_absent_is_said_too(dx_facts: RunFacts) -> None:
    finding = dx_facts.findings[0].model_copy(update={"present": False, "regions": ()})
    whole = rows(groups(read(replace(dx_facts, findings=[finding])))[0])
    assert whole["Opacity of lung"].ConceptCodeSequence[0].CodeMeaning == "Absent"


def test_an_area_can_be_computed_again_from_the_report_and_its_source(dx_facts: RunFacts) -> None:
    regions = [rows(g) for g in groups(read(dx_facts)) if "Image Region" in rows(g)]
    assert len(regions) == 2
    for region, found in zip(regions, dx_facts.findings[0].regions, strict=True):
        scoord = region["Image Region"]
        assert "Probability" not in region, "that is the image's, and stands once"
        assert scoord.ValueType == "SCOORD"
        data = [float(v) for v in scoord.GraphicData]
        points = tuple(zip(data[::2], data[1::2], strict=True))
        assert np.allclose(points, found.points)
        source = scoord.ContentSequence[0]
        assert source.RelationshipType == "SELECTED FROM"
        assert source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == found.image.sop_instance_uid
        keyword = region["Spacing that the area rests on"].ConceptCodeSequence[0].CodeMeaning
        row, column = (float(v) for v in dx_facts.sources[0][keyword].value)
        assert number(region["Area"]) == pytest.approx(area_pixels(points) * row * column, abs=0.01)


def test_without_any_spacing_no_area_is_claimed(dx_facts: RunFacts) -> None:
    source = Dataset(dx_facts.sources[0])
    del source.PixelSpacing
    del source.ImagerPixelSpacing
    regions = [rows(g) for g in groups(read(replace(dx_facts, sources=[source]))) if "Image Region" in rows(g)]
    assert len(regions) == 2
    assert all("Area" not in region and "Probability" in region for region in regions)


def test_the_detector_spacing_is_named_where_it_is_used(dx_facts: RunFacts) -> None:
    source = Dataset(dx_facts.sources[0])
    del source.PixelSpacing
    region = rows(groups(read(replace(dx_facts, sources=[source])))[0])
    assert region["Spacing that the area rests on"].ConceptCodeSequence[0].CodeMeaning == "ImagerPixelSpacing"


def test_a_quality_score_gives_score_thresholds_verdict_and_each_slice(mr_facts: RunFacts) -> None:
    finding = mr_facts.findings[0]
    first, second = groups(read(mr_facts))[:2]
    whole = rows(first)
    assert number(whole[finding.code.meaning]) == pytest.approx(finding.value, abs=1e-6)
    assert (number(whole["Warn below"]), number(whole["Hold below"])) == (0.9, 0.8)
    assert whole["Gate verdict"].ConceptCodeSequence[0].CodeValue == "warn"
    assert whole["Comment"].TextValue == "slices 9 to 12 look blurred"
    slices = [item for item in second.ContentSequence if item.ValueType == "NUM"]
    said = [(i.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID, number(i)) for i in slices]
    assert [uid for uid, _ in said] == [i.image.sop_instance_uid for i in finding.instances]
    assert [score for _, score in said] == pytest.approx([i.score for i in finding.instances], abs=1e-6)


def test_each_series_is_told_its_own_reason(mr_facts: RunFacts) -> None:
    held = mr_facts.findings[0]
    passing = held.model_copy(update={"series_instance_uid": "1.2.3", "verdict": "pass"})
    said = [rows(g) for g in groups(read(replace(mr_facts, findings=[held, passing])))]
    comments = [g["Comment"].TextValue if "Comment" in g else "" for g in said if "Gate verdict" in g]
    assert comments == ["slices 9 to 12 look blurred", "", "", ""]


def test_a_series_that_the_gate_could_not_judge_is_told_beside_those_it_could(mr_facts: RunFacts) -> None:
    failed = mr_facts.gate_results[-1].model_copy(
        update={"series_instance_uid": "1.2.3", "reason": "the gate could not judge: no picture"}
    )
    facts = replace(mr_facts, gate_results=[*mr_facts.gate_results, failed])
    assert named(read(facts), "gate motion_ssim")["Comment"].TextValue == "the gate could not judge: no picture"


def test_who_released_it_stands_with_each_finding(dx_facts: RunFacts) -> None:
    found = dx_facts.findings[0]
    width = Measurement(
        name="width", code={"value": "wide", "scheme": "99ISO", "meaning": "Width"}, value=12.5, unit="mm",
        **found.model_dump(include={"package", "version", "sources", "regions"}),
    )  # fmt: skip
    report = read(replace(dx_facts, findings=[found, width], released="released by Dr. Who: seen at the scanner"))
    for identifier in ("opacity", "width 1"):
        said = named(report, identifier)["Comment"].TextValue
        assert said == "Held by a quality gate, released by Dr. Who: seen at the scanner"


def test_a_frame_is_named(mr_facts: RunFacts) -> None:
    finding = mr_facts.findings[0]
    image = finding.instances[0].image.model_copy(update={"frame": 7})
    scored = finding.instances[0].model_copy(update={"image": image})
    second = groups(read(replace(mr_facts, findings=[finding.model_copy(update={"instances": (scored,)})])))[1]
    item = next(i for i in second.ContentSequence if i.ValueType == "NUM")
    assert item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == 7


def test_a_measurement_with_and_without_region(dx_facts: RunFacts) -> None:
    found = dx_facts.findings[0]
    shared = found.model_dump(include={"package", "version", "sources"})
    code = {"value": "wide", "scheme": "99ISO", "meaning": "Width"}
    for regions in (found.regions[:1], ()):
        finding = Measurement(name="width", code=code, value=12.5, unit="mm", regions=regions, **shared)
        group = rows(groups(read(replace(dx_facts, findings=[finding])))[0])
        assert number(group["Width"]) == 12.5
        assert group["Width"].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "mm"
        assert ("Image Region" in group) == bool(regions)


def test_every_gate_has_its_group(dx_facts: RunFacts) -> None:
    gate = dx_facts.gate_results[0].model_copy(update={"score": 0.5, "reason": "two slices are missing"})
    said = [rows(g) for g in groups(read(replace(dx_facts, gate_results=[gate])))][-1]
    assert said["Tracking Identifier"].TextValue == "gate completeness"
    assert number(said["Gate score"]) == 0.5
    assert said["Comment"].TextValue == "two slices are missing"


def test_highdicom_reads_it_and_tracking_uids_differ(dx_facts: RunFacts) -> None:
    (result,) = build_objects(dx_facts, "SR", {Flavour(): ()}, dicom_sr.build)
    report = hd.sr.srread(BytesIO(result.content))
    assert len(report.content.get_planar_roi_measurement_groups()) == 2
    uids = [rows(g)["Tracking Unique Identifier"].UID for g in groups(report)]
    assert len(uids) == len(set(uids))


def test_two_images_of_one_run_share_no_tracking_uid(dx_facts: RunFacts) -> None:
    first = dx_facts.findings[0]
    width = Measurement(
        name="width", code={"value": "wide", "scheme": "99ISO", "meaning": "Width"}, value=12.5, unit="mm",
        **first.model_dump(include={"package", "version", "sources"}),
    )  # fmt: skip
    findings = [
        elsewhere(f, more) for f in (first, width) for more in ({}, {"sop_instance_uid": "1.2.3"}, {"frame": 2})
    ]
    other = deepcopy(dx_facts.sources[0])
    other.SOPInstanceUID = "1.2.3"
    told = groups(read(replace(dx_facts, findings=findings, sources=[*dx_facts.sources, other])))
    uids = [rows(g)["Tracking Unique Identifier"].UID for g in told]
    assert len(uids) == len(set(uids)) == 3 * (3 + 1) + 2


def elsewhere(finding: Classification | Measurement, more: dict[str, object]) -> Classification | Measurement:
    """The same finding in another image or frame."""
    image = finding.sources[0].model_copy(update=more)
    moved = tuple(region.model_copy(update={"image": image}) for region in finding.regions)
    return finding.model_copy(update={"sources": (image,), "regions": moved})


def test_the_image_library_lists_every_source(mr_facts: RunFacts) -> None:
    root = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in read(mr_facts).ContentSequence}
    (group,) = root["Image Library"].ContentSequence
    images = [item for item in group.ContentSequence if item.ValueType == "IMAGE"]
    assert len(images) == len(mr_facts.sources)
    position = rows(images[0])["Image Position (Patient) Z"]
    assert number(position) == pytest.approx(float(mr_facts.sources[0].ImagePositionPatient[2]))


def test_the_order_fills_an_empty_accession_number(dx_facts: RunFacts) -> None:
    source = Dataset(dx_facts.sources[0])
    source.AccessionNumber = ""
    order = Order(accession_number="RIS-7", placer_order_number="P7", filler_order_number="F7")
    report = read(replace(dx_facts, sources=[source], order=order))
    assert report.AccessionNumber == "RIS-7"
    assert report.ReferencedRequestSequence[0].PlacerOrderNumberImagingServiceRequest == "P7"


def test_the_report_that_it_replaces_is_named(dx_facts: RunFacts) -> None:
    uid = sop_instance_uid_of("run-0", "SR", Flavour(), 1)
    study = read(replace(dx_facts, predecessors=[Predecessor("SR", "run-0", uid)])).PredecessorDocumentsSequence[0]
    assert study.StudyInstanceUID == dx_facts.study.study_instance_uid
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == uid


def test_without_a_source_it_says_why_not(dx_facts: RunFacts) -> None:
    with pytest.raises(CannotBuild, match="none of the source images"):
        dicom_sr.build(replace(dx_facts, sources=[]))
