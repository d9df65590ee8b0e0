"""AIR's content tests, one by one (IHE RAD AI Results; Gazelle's `AIR_Content_*`): each result primitive of an AI
result, read back from the objects of profile `air`.
"""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from highdicom.sr import Comprehensive3DSR
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SegmentationStorage,
)

from services.report.facts import Outcome, Predecessor, ResultObject, RunFacts
from services.report.handlers import report
from shared.findings import KeyImage, Measurement
from shared.geometry import angle_between_lines, area, length
from shared.imaging.frames import load_frames
from shared.settings import Destination
from shared.store import Run
from tests.services.report.test_every_kind import facts_of

AIR = Destination(name="air", profile="air", kind="dicom", host="h", port=104, ae_title="A")
PRESENT, SEVERITY, MILD = ("52101004", "SCT"), ("246112005", "SCT"), ("255604002", "SCT")
MASS, CARINA = ("4147007", "SCT"), ("28700002", "SCT")
FINDING_SITE, LATERALITY = ("363698007", "SCT"), ("272741003", "SCT")
BREAST, LEFT = ("76752008", "SCT"), ("7771000", "SCT")
SOURCE_OF_MEASUREMENT, IMAGE_REGION = ("121112", "DCM"), ("111030", "DCM")


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """What is made once for the whole module."""
    return {}


@pytest.fixture
def facts(mr_paths: list[Path], build_facts: Callable[..., RunFacts], kept: dict[str, Any]) -> RunFacts:
    """A run over an axial series, with findings of every kind."""
    if "facts" not in kept:
        kept["facts"], _ = facts_of(build_facts, mr_paths)
    return kept["facts"]


@pytest.fixture
def objects(facts: RunFacts, kept: dict[str, Any]) -> list[ResultObject]:
    """All that profile `air` is sent of it."""
    if "objects" not in kept:
        kept["objects"] = made_for_air(facts)
    return kept["objects"]


@pytest.fixture
def sr(objects: list[ResultObject]) -> Comprehensive3DSR:
    """The report among them."""
    return report_in(objects)


def made_for_air(facts: RunFacts) -> list[ResultObject]:
    done = report(replace(facts, kinds=frozenset(AIR.objects)), [AIR])
    assert not done.missing
    return done.objects


def report_in(objects: list[ResultObject]) -> Comprehensive3DSR:
    (found,) = of_kind(objects, "SR")
    document = hd.sr.srread(BytesIO(found))
    assert document.SOPClassUID == Comprehensive3DSRStorage
    assert isinstance(document, Comprehensive3DSR)
    return document


def of_kind(objects: list[ResultObject], kind: str) -> list[bytes]:
    return [made.content for made in objects if made.kind == kind]


def concept(item: Dataset) -> tuple[str, str]:
    name = item.ConceptNameCodeSequence[0]
    return str(name.CodeValue), str(name.CodingSchemeDesignator)


def value(item: Dataset) -> tuple[str, str]:
    code = item.ConceptCodeSequence[0]
    return str(code.CodeValue), str(code.CodingSchemeDesignator)


def below(item: Dataset) -> list[Dataset]:
    """Everything under a content item."""
    children = list(item.get("ContentSequence", []))
    return children + [deeper for child in children for deeper in below(child)]


def groups(sr: Dataset) -> dict[str, Dataset]:
    """The measurement groups (TID 1410, 1411 and 1501) by their tracking identifiers."""
    found = [item for item in below(sr) if item.ValueType == "CONTAINER" and concept(item) == ("125007", "DCM")]
    named = {str(one(group, ("112039", "DCM")).TextValue): group for group in found}
    assert len(named) == len(found)
    return named


def having(group: Dataset, name: tuple[str, str]) -> list[Dataset]:
    return [item for item in group.ContentSequence if concept(item) == name]


def one(group: Dataset, name: tuple[str, str]) -> Dataset:
    (item,) = having(group, name)
    return item


def referenced(item: Dataset) -> str:
    return str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


def points(item: Dataset) -> np.ndarray[Any, Any]:
    return np.reshape([float(v) for v in item.GraphicData], (-1, 3))


def test_root_is_a_measurement_report_that_names_its_template(sr: Dataset) -> None:
    template = sr.ContentTemplateSequence[0]
    assert (template.MappingResource, template.TemplateIdentifier) == ("DCMR", "1500")
    assert concept(sr) == ("126000", "DCM")
    assert (sr.CompletionFlag, sr.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


def test_device_observer_has_a_uid_that_stays(sr: Dataset, facts: RunFacts) -> None:
    assert value(one(sr, ("121005", "DCM"))) == ("121007", "DCM")
    uid = one(sr, ("121012", "DCM")).UID
    assert one(sr, ("121013", "DCM")).TextValue == facts.run.package
    run = Run(**(facts.run.model_dump() | {"version": "1.2.1"}))
    newer = report_in(made_for_air(replace(facts, run=run)))
    assert uid != one(newer, ("121012", "DCM")).UID
    assert uid == one(report_in(made_for_air(facts)), ("121012", "DCM")).UID


def test_algorithm_is_identified_by_name_and_version(sr: Dataset) -> None:
    said = {
        (str(one(group, ("111001", "DCM")).TextValue), str(one(group, ("111003", "DCM")).TextValue))
        for group in groups(sr).values()
    }
    assert said == {("by_hand", "1.2.0"), ("completeness", "1"), ("geometry", "1")}


def test_qualitative_findings(sr: Dataset) -> None:
    told = groups(sr)
    for group, finding, answer in (("mass", MASS, PRESENT), ("severity", SEVERITY, MILD)):
        assert value(one(told[group], ("121071", "DCM"))) == finding
        said = one(told[group], finding)
        assert (said.ValueType, said.RelationshipType, value(said)) == ("CODE", "CONTAINS", answer)
        assert not said.get("ContentSequence")


@pytest.mark.parametrize(
    ("name", "unit", "graphic", "compute"),
    [
        ("cobb", "deg", ["POLYLINE", "POLYLINE"], lambda lines: angle_between_lines(*lines)),
        ("box_length", "mm", ["POLYLINE"], lambda lines: length(lines[0])),
        ("box_area", "mm2", ["POLYGON"], lambda lines: area(lines[0])),
    ],
)
def test_measurements(
    sr: Dataset, facts: RunFacts, name: str, unit: str, graphic: list[str], compute: Callable[[Any], float]
) -> None:
    (finding,) = [f for f in facts.findings if isinstance(f, Measurement) and f.name == name]
    number = one(groups(sr)[name], (finding.code.value, finding.code.scheme))
    measured = number.MeasuredValueSequence[0]
    units = measured.MeasurementUnitsCodeSequence[0]
    assert (units.CodeValue, units.CodingSchemeDesignator) == (unit, "UCUM")
    lines = [item for item in number.ContentSequence if item.ValueType == "SCOORD3D"]
    assert [(item.RelationshipType, item.GraphicType) for item in lines] == [("INFERRED FROM", g) for g in graphic]
    # an axial series: the patient's x and y are the plane's
    flat = [[tuple(p) for p in points(item)[:, :2].tolist()] for item in lines]
    assert float(measured.NumericValue) == pytest.approx(compute(flat), rel=1e-5)


def test_locations(sr: Dataset, facts: RunFacts, mr_paths: list[Path]) -> None:
    group = groups(sr)["place carina"]
    assert value(one(group, ("121071", "DCM"))) == CARINA
    place = one(group, IMAGE_REGION)
    frame = load_frames(mr_paths)[len(facts.sources) // 2]
    assert frame.position is not None
    expected = np.array(frame.position) + [(12.25 - 0.5) * 1.8, (7.5 - 0.5) * 1.8, 0]  # pixel centres lie at .5
    assert (place.ValueType, place.GraphicType) == ("SCOORD3D", "POINT")
    assert points(place)[0] == pytest.approx(expected, abs=1e-4)
    assert place.ReferencedFrameOfReferenceUID == facts.sources[0].FrameOfReferenceUID


def test_finding_sites_and_their_sides(sr: Dataset) -> None:
    told = groups(sr)
    placed = {name for name, group in told.items() if having(group, FINDING_SITE)}
    assert placed == {
        "mass", "mass: weight of each image", "mass: concepts", "severity", "severity 1", "parts mass", "parts cyst",
        "fading mass",
    }  # fmt: skip
    for name in placed:
        site = one(told[name], FINDING_SITE)
        assert (site.RelationshipType, value(site)) == ("HAS CONCEPT MOD", BREAST)
        side = one(site, LATERALITY)
        assert (side.RelationshipType, value(side)) == ("HAS CONCEPT MOD", LEFT)


def test_regions_that_are_outlined(sr: Dataset, facts: RunFacts) -> None:
    outline = one(groups(sr)["severity 1"], IMAGE_REGION)
    assert (outline.ValueType, outline.GraphicType) == ("SCOORD3D", "POLYGON")
    corners = points(outline)
    assert corners[0] == pytest.approx(corners[-1])
    assert np.ptp(corners[:, 2]) == 0
    assert outline.ReferencedFrameOfReferenceUID == facts.sources[0].FrameOfReferenceUID


def test_regions_that_are_segmented(sr: Dataset, objects: list[ResultObject], facts: RunFacts) -> None:
    found = [group for group in groups(sr).values() if having(group, ("121191", "DCM"))]
    files = [dcmread(BytesIO(content), stop_before_pixels=True) for content in of_kind(objects, "SEG")]
    segments = {(ds.SOPInstanceUID, s.SegmentNumber): s for ds in files for s in ds.SegmentSequence}
    assert len(found) == 3
    for group in found:
        uid, pointer = one(group, ("112040", "DCM")).UID, one(group, ("121191", "DCM")).ReferencedSOPSequence[0]
        assert pointer.ReferencedSOPClassUID == SegmentationStorage
        segment = segments[pointer.ReferencedSOPInstanceUID, pointer.ReferencedSegmentNumber]
        assert (segment.TrackingUID, segment.TrackingID) == (uid, one(group, ("112039", "DCM")).TextValue)
        assert facts.sources[0].SeriesInstanceUID == one(group, ("121232", "DCM")).UID


def test_parametric_maps(sr: Dataset, objects: list[ResultObject], facts: RunFacts) -> None:
    (content,) = of_kind(objects, "PM")
    pm = dcmread(BytesIO(content), stop_before_pixels=True)
    mapping = pm.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    assert mapping.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM"
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "attribution"
    pointers = [
        item for item in having(groups(sr)["attribution"], SOURCE_OF_MEASUREMENT)
        if item.ReferencedSOPSequence[0].ReferencedSOPClassUID == ParametricMapStorage
    ]  # fmt: skip
    assert [referenced(item) for item in pointers] == [pm.SOPInstanceUID]
    assert pm.FrameOfReferenceUID == facts.sources[0].FrameOfReferenceUID
    sources = {i.ReferencedSOPInstanceUID for s in pm.ReferencedSeriesSequence for i in s.ReferencedInstanceSequence}
    assert sources == {ds.SOPInstanceUID for ds in facts.sources}


def test_a_receiver_without_parametric_maps_is_pointed_to_none(facts: RunFacts) -> None:
    bare = Destination(name="bare", objects=["SR"], kind="dicom", host="h", port=104, ae_title="A")
    done = report(replace(facts, kinds=frozenset(AIR.objects)), [AIR, bare])
    reports = [dcmread(BytesIO(content)) for content in of_kind(done.objects, "SR")]
    assert len({ds.SOPInstanceUID for ds in reports}) == 2
    classes = [
        {item.ReferencedSOPSequence[0].ReferencedSOPClassUID for item in below(ds) if item.ValueType == "IMAGE"}
        for ds in reports
    ]
    assert [ParametricMapStorage in found for found in classes] == [True, False]


def test_tracking_identifiers(sr: Dataset, facts: RunFacts) -> None:
    told = groups(sr)
    uids = {name: str(one(group, ("112040", "DCM")).UID) for name, group in told.items()}
    assert all(uids)
    assert len(set(uids.values())) == len(uids)
    run = Run(**(facts.run.model_dump() | {"id": "run-2", "study_instance_uid": "1.2.3"}))
    later = report_in(made_for_air(replace(facts, run=run)))
    again = {name: str(one(group, ("112040", "DCM")).UID) for name, group in groups(later).items()}
    assert later.SOPInstanceUID != sr.SOPInstanceUID
    for name in ("mass", "cobb", "place carina", "parts mass", "attribution"):  # the only ones of their names
        assert again[name] == uids[name]
    assert again["severity 1"] != uids["severity 1"]  # only counted: nothing says that it is the same


def test_image_references(sr: Dataset, facts: RunFacts) -> None:
    library = one(sr, ("111028", "DCM"))
    listed = {referenced(item) for item in below(library) if item.ValueType == "IMAGE"}
    assert listed == {ds.SOPInstanceUID for ds in facts.sources}
    used = {referenced(item) for item in below(sr) if item.ValueType == "IMAGE"}
    evidence = {
        str(instance.ReferencedSOPInstanceUID)
        for study in sr.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert used <= evidence
    results = {referenced(i) for i in below(sr) if i.ValueType == "IMAGE" and _is_result(i)}
    assert used - results == listed
    assert {referenced(i) for i in having(groups(sr)["mass"], SOURCE_OF_MEASUREMENT)} == listed


def _is_result(item: Dataset) -> bool:
    return item.ReferencedSOPSequence[0].ReferencedSOPClassUID in (SegmentationStorage, ParametricMapStorage)


def test_image_references_name_the_frame(facts: RunFacts) -> None:
    (finding,) = [f for f in facts.findings if f.name == "mass"]
    frames = tuple(finding.sources[0].model_copy(update={"frame": frame}) for frame in (3, 7))
    whole = finding.model_copy(update={"sources": frames, "slice_weights": None})
    document = report_in(made_for_air(replace(facts, findings=[whole])))
    items = having(groups(document)["mass"], SOURCE_OF_MEASUREMENT)
    named = [(referenced(i), int(i.ReferencedSOPSequence[0].ReferencedFrameNumber)) for i in items]
    assert named == [(finding.sources[0].sop_instance_uid, frame) for frame in (3, 7)]


def test_key_images(objects: list[ResultObject], facts: RunFacts) -> None:
    documents = [dcmread(BytesIO(content)) for content in of_kind(objects, "KOS")]
    assert {ds.SOPClassUID for ds in documents} == {KeyObjectSelectionDocumentStorage}
    chosen = [{referenced(item) for item in below(ds) if item.ValueType == "IMAGE"} for ds in documents]
    assert all(chosen)
    (named,) = [finding for finding in facts.findings if isinstance(finding, KeyImage)]
    assert {named.image.sop_instance_uid} in chosen
    assert set().union(*chosen) <= {ds.SOPInstanceUID for ds in facts.sources}


@pytest.mark.parametrize(
    ("outcome", "failure", "performed", "why"),
    [("held", "", "111225", "gate-held"), ("failed", "undecodable", "111224", "undecodable")],
)
def test_a_run_that_was_not_analysed_says_so(
    facts: RunFacts, outcome: Outcome, failure: str, performed: str, why: str
) -> None:
    run = Run(**(facts.run.model_dump() | {"failure": failure}))
    (notice,) = report(replace(facts, run=run, outcome=outcome, findings=[]), [AIR]).objects
    said = {concept(item): value(item) for item in below(dcmread(BytesIO(notice.content))) if item.ValueType == "CODE"}
    assert said["111004", "DCM"] == (performed, "DCM")
    assert said["no-analysis-why", "99ISO"] == (why, "99ISO")


def test_a_report_names_the_one_that_it_replaces(sr: Dataset, facts: RunFacts) -> None:
    run = Run(**(facts.run.model_dump() | {"id": "run-2"}))
    old = Predecessor("SR", facts.run.id, str(sr.SOPInstanceUID))
    newer = report_in(made_for_air(replace(facts, run=run, predecessors=[old])))
    (study,) = newer.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == (sr.StudyInstanceUID, sr.SeriesInstanceUID)
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == sr.SOPInstanceUID


def test_dcmtk_reads_the_report(objects: list[ResultObject], tmp_path: Path) -> None:
    if not shutil.which("dsrdump"):
        pytest.skip("dcmtk's dsrdump is not installed")
    path = tmp_path / "sr.dcm"
    path.write_bytes(of_kind(objects, "SR")[0])
    dump = subprocess.run(["dsrdump", str(path)], capture_output=True, text=True, check=False)
    assert dump.returncode == 0, dump.stderr
    assert "Comprehensive 3D SR Document" in dump.stdout
