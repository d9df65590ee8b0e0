"""What every kind of object takes over of patient, study and order, over real and made-up sources; and its labels."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from itertools import product
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue

from services.report.book import first_series_number
from services.report.facts import ResultObject, RunFacts
from services.report.handlers import report
from services.report.identity import MANUFACTURER, SERIES_OFFSET, series_number_of
from services.report.source_header import clean_header
from shared.result_profiles import DICOM_KINDS
from shared.settings import Destination
from shared.store import Order
from tests.services.report.sources_in_character_sets import write_with
from tests.services.report.test_every_kind import facts_of

PACS = {"kind": "dicom", "host": "h", "port": 104, "ae_title": "A"}
DESTINATIONS = [Destination(name="all", objects=list(DICOM_KINDS), **PACS)]
TAKEN = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize",
    "PatientWeight", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber",
    "ReferringPhysicianName", "TimezoneOffsetFromUTC", "OtherPatientIDsSequence", "IssuerOfAccessionNumberSequence",
    "ProcedureCodeSequence",
)  # fmt: skip
REAL = {
    "cr": "xray_2d/RG1_J2KI.dcm", "dx": "xray_2d/dx_image.dcm", "enhanced mr": "enhanced_multiframe/MOVEKNEE.dcm",
    "mr": "series/mr_brain_t1_philips_elition/1301_001*.dcm", "ct": "series_irregular/ct_gantry_tilt_siemens/*",
    "japanese": "charset/chrJapMulti.dcm", "big endian": "transfer_syntax/MR_small_bigendian.dcm",
}  # fmt: skip


def first_of_each(facts: RunFacts) -> dict[str, Dataset]:
    """One object of each kind that can be made of these sources."""
    held = replace(facts, outcome="held", findings=[], pictures={})
    objects: list[ResultObject] = [*report(facts, DESTINATIONS).objects, *report(held, DESTINATIONS).objects]
    return {made.kind: dcmread(BytesIO(made.content)) for made in reversed(objects) if made.kind in DICOM_KINDS}


def said(ds: Dataset, keyword: str) -> object:
    value = ds.get(keyword)
    if not value and value != 0:
        return ""
    if isinstance(value, MultiValue | list):
        return [str(v) for v in value]
    return str(value if value is not None else "").rstrip("=^ ")


@pytest.mark.bench
@pytest.mark.parametrize("name", REAL)
def test_each_kind_says_what_the_images_say(name: str, bench: Path, build_facts: Callable[..., RunFacts]) -> None:
    paths = sorted(p for p in (bench / "data/dicom").glob(REAL[name]) if p.is_file())[:3]
    facts = facts_of(build_facts, paths)[0]
    few = {type(f): f for f in facts.findings}
    made = first_of_each(replace(facts, findings=list(few.values())))
    assert set(made) >= {"SR", "KOS", "PDF", "SEG", "NASR"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = dcmread(next(p for p in paths if dcmread(p).SOPInstanceUID == facts.sources[0].SOPInstanceUID))
        invalid = clean_header(source).left_out
        for kind, ds in made.items():
            for keyword in TAKEN:
                expected = "" if keyword in invalid else said(source, keyword)
                assert said(ds, keyword) == expected, (kind, keyword)
            assert ds.Manufacturer == MANUFACTURER
            assert ds.ManufacturerModelName == facts.run.package
            assert str(facts.run.version) in ds.DeviceSerialNumber
            assert any(str(v).startswith("Isocenter ") for v in ds.SoftwareVersions)
            assert ds.SeriesInstanceUID != source.SeriesInstanceUID


def item(**attributes: object) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.fixture
def told(tmp_path: Path, build_facts: Callable[..., RunFacts]) -> Callable[..., RunFacts]:
    """A run on a series whose header has these attributes too."""

    def facts(**attributes: object) -> RunFacts:
        paths = write_with("ISO_IR 100", {}, tmp_path)
        for path in paths:
            ds = dcmread(path)
            for keyword, value in attributes.items():
                setattr(ds, keyword, value)
            ds.save_as(path)
        whole = facts_of(build_facts, paths)[0]
        few = {type(f): f for f in whole.findings}
        return replace(whole, findings=list(few.values()))

    return facts


def code(value: str, meaning: str, scheme: str = "99HOSP") -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def test_everything_that_a_source_may_say(
    told: Callable[..., RunFacts], dciodvfy: Callable[[bytes], list[str]]
) -> None:
    issuer = item(LocalNamespaceEntityID="HOSP")
    facts = told(
        IssuerOfPatientID="HOSP", PatientAge="045Y", PatientSize="1.75", PatientWeight="80.5", StudyID="S7",
        TimezoneOffsetFromUTC="+0530",
        OtherPatientIDsSequence=[item(PatientID="X9", TypeOfPatientID="TEXT"), item(PatientID="Z")],
        IssuerOfAccessionNumberSequence=[issuer], ProcedureCodeSequence=[code("MRHEAD", "MR head")],
        RequestAttributesSequence=[
            item(
                RequestedProcedureID="RP1", ScheduledProcedureStepID="1", PlacerOrderNumberImagingServiceRequest="P1",
                RequestedProcedureCodeSequence=[code("MRHEAD", "MR head")],
            ),
            item(RequestedProcedureID="RP2", RequestedProcedureDescription="MRA", ScheduledProcedureStepID="2"),
        ],
    )  # fmt: skip
    made = first_of_each(facts)
    assert set(made) == set(DICOM_KINDS)
    for kind, ds in made.items():
        assert (ds.IssuerOfPatientID, ds.PatientAge, float(ds.PatientSize), float(ds.PatientWeight)) == (
            "HOSP", "045Y", 1.75, 80.5,
        ), kind  # fmt: skip
        assert [one.PatientID for one in ds.OtherPatientIDsSequence] == ["X9"]  # of the other the type is not known
        assert ds.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "HOSP"
        assert ds.ProcedureCodeSequence[0].CodeValue == "MRHEAD"
        local = facts.at.astimezone(UTC)
        assert ds.TimezoneOffsetFromUTC == "+0530"
        made_at = datetime.strptime(f"{ds.SeriesDate}{ds.SeriesTime}+0530", "%Y%m%d%H%M%S%z")
        assert made_at == local.replace(microsecond=0)
        content = BytesIO()
        ds.save_as(content, enforce_file_format=True)
        assert dciodvfy(content.getvalue()) == [], kind
    for kind in ("SR", "KOS", "NASR"):
        first, second = made[kind].ReferencedRequestSequence
        assert (first.RequestedProcedureID, second.RequestedProcedureID) == ("RP1", "RP2")
        assert first.PlacerOrderNumberImagingServiceRequest == "P1"
        assert first.RequestedProcedureCodeSequence[0].CodeValue == "MRHEAD"
        assert first.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "HOSP"


ORDER = {
    "MSH": "MSH|^~\\&|RIS", "PID": "PID|1||{0}^^^HOSP^PI~9||Zörb^Renée^Q^Jr^Dr^^L^A~山田^太郎^^^^^L^I||19701231|F",
    "PV1": "PV1|1|O||||||77^Weiß^Anna^^^Dr", "OBR": "OBR|1|P1|F1|MRHEAD^MR of the head^99HOSP",
}  # fmt: skip


@pytest.mark.parametrize("same", [True, False])
def test_an_order_says_what_the_images_leave_open(told: Callable[..., RunFacts], same: bool) -> None:
    empty = ("PatientName", "PatientBirthDate", "PatientSex", "StudyDescription", "ReferringPhysicianName")
    facts = told(**dict.fromkeys((*empty, "AccessionNumber"), ""))
    patient = str(facts.sources[0].PatientID)
    segments = {name: text.format(patient if same else "SOMEONE") for name, text in ORDER.items()}
    order = Order(accession_number="A-77", placer_order_number="P1", filler_order_number="F1", segments=segments)
    for kind, ds in first_of_each(replace(facts, order=order)).items():
        assert ds.PatientID == patient, kind
        who = [str(ds.PatientName), ds.PatientBirthDate, ds.PatientSex]
        assert who == (["Zörb^Renée^Q^Dr^Jr=山田^太郎", "19701231", "F"] if same else ["", "", ""]), kind
        assert (ds.AccessionNumber, ds.StudyDescription) == ("A-77", "MR of the head")
        assert str(ds.ReferringPhysicianName) == "Weiß^Anna^^Dr"
        if kind in ("SR", "KOS", "NASR"):
            (asked,) = ds.ReferencedRequestSequence
            assert (asked.PlacerOrderNumberImagingServiceRequest, asked.AccessionNumber) == ("P1", "A-77")
            assert asked.RequestedProcedureCodeSequence[0].CodeValue == "MRHEAD"


def test_what_the_images_say_comes_before_the_order(told: Callable[..., RunFacts]) -> None:
    facts = told(StudyDescription="Head")
    name, accession = str(facts.sources[0].PatientName), facts.sources[0].AccessionNumber
    segments = {key: text.format(facts.sources[0].PatientID) for key, text in ORDER.items()}
    ds = first_of_each(replace(facts, order=Order(accession_number="A-77", segments=segments)))["SR"]
    assert (str(ds.PatientName), ds.StudyDescription, ds.AccessionNumber) == (name, "Head", accession)


@pytest.mark.parametrize("offset", ["0900", "+2500", "CET"])
def test_an_offset_that_is_none_is_left_out(told: Callable[..., RunFacts], offset: str) -> None:
    assert "TimezoneOffsetFromUTC" not in first_of_each(told(TimezoneOffsetFromUTC=offset))["SR"]


@pytest.mark.parametrize("taken", [set(), {9000, 9005}, {1, 9990, 10_005, 109_004, 1_009_000}])
def test_series_numbers_never_clash(taken: set[int]) -> None:
    """Of many runs of a study, each with every kind in several flavours and with more segmentations than ten."""
    found = [
        series_number_of(first_series_number(9000, taken, 5, run), kind, flavour, place)
        for run, kind, flavour, place in product(range(25), SERIES_OFFSET, range(5), range(1, 13))
    ]
    assert len(set(found)) == len(found)
    assert not set(found) & taken
    assert max(found) < 2**31
    assert set(SERIES_OFFSET) == set(DICOM_KINDS)
    assert max(SERIES_OFFSET.values()) < 10


def test_hanging_protocols_find_what_the_conformance_statement_says(
    told: Callable[..., RunFacts], pytestconfig: pytest.Config
) -> None:
    page = (pytestconfig.rootpath / "docs/conformance.md").read_text()
    for kind, ds in first_of_each(told()).items():
        for template in ds.get("ContentTemplateSequence", []):
            assert f"TID {template.TemplateIdentifier}" in page, kind
        label = ds.get("ContentLabel", "")
        coded = ds.ConceptNameCodeSequence[0] if "ConceptNameCodeSequence" in ds else None
        title = f"{coded.CodeValue}, {coded.CodingSchemeDesignator}" if coded else ""
        description = str(ds.SeriesDescription).split(":")[0]
        assert f"| {kind} | {ds.Modality} | {description} | {' · '.join(filter(None, [label, title]))} |" in page, kind
