"""Whose result it is, of which study, in which series and made by what: the modules that every DICOM object has."""

import re
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from pydicom import Dataset

from services.report.facts import CannotBuild, RunFacts
from services.report.order_header import order_header, procedure_code
from services.report.source_header import ALWAYS, OF_STUDY, WHERE_KNOWN
from services.report.text import UTF_8
from shared.result_profiles import Flavour
from shared.study import Failure
from shared.uids import derived_uid, derived_uuid

MANUFACTURER = "Isocenter"
SERIES_OFFSET = {"SR": 1, "SC": 2, "KOS": 3, "PDF": 4, "SEG": 5, "NASR": 6, "PM": 7, "DERIVED": 8, "GSPS": 9}
FLAVOURS_APART = 1000  # in series numbers
ALONE = ("SEG", "PM")  # of these each has a series of its own: viewers show one of a series
_SERIES_APART, _MANY_APART = 100, 1_000_000  # in series numbers, of one kind and flavour
HELD_NUMBER = 1  # of a held run's notice; a failed run's follow it
USE_MARKS = {"not-for-clinical-use": "Not for clinical use"}
SCHEME = "99ISO"  # our own codes
UNPAIRED = frozenset({
    "ABDOMEN", "ABDOMENPELVIS", "BACK", "BLADDER", "BRAIN", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "COCCYX",
    "CSPINE", "FACE", "HEAD", "HEADNECK", "HEART", "JAW", "LIVER", "LSPINE", "MEDIASTINUM", "NECK", "NOSE", "PANCREAS",
    "PELVIS", "PROSTATE", "SKULL", "SPINE", "SPLEEN", "SSPINE", "STERNUM", "STOMACH", "THYROID", "TSPINE", "UTERUS",
    "WHOLEBODY",
})  # fmt: skip


@cache
def software_version() -> str:
    """The installed version of Isocenter."""
    try:
        return version("isocenter")
    except PackageNotFoundError:
        return "unpackaged"


def use_mark(facts: RunFacts) -> str:
    """The mark to be printed on every object, in words; empty where the package carries none."""
    mark = facts.findings[0].use_mark if facts.findings else "not-for-clinical-use"
    return USE_MARKS.get(mark, mark)


def series_description(facts: RunFacts, what: str) -> str:
    """`AI report: <title> (not for clinical use)`, or the destination's own; at most 64 characters (LO)."""
    mark = f" ({use_mark(facts).lower()})" if use_mark(facts) else ""
    text = facts.flavour.series_description.format(
        what=what, title=facts.title, package=facts.run.package, version=facts.run.version
    )
    room = 64 - len(mark)
    return (text if len(text) <= room else text[: room - 3].rstrip() + "...") + mark


def counted(what: str, number: int) -> str:
    """`map`, `map 2` and so on: objects that lie in series of their own are told apart by their descriptions."""
    return what if number == 1 else f"{what} {number}"


def series_uid_of(run_id: str, kind: str, flavour: Flavour, number: int = 1) -> str:
    """The `number`th series (1-based) of a run's objects of a kind and flavour."""
    which = [str(number)] if number > 1 else []
    return derived_uid(run_id, kind, *_label(flavour), "series", *which)


def sop_instance_uid_of(run_id: str, kind: str, flavour: Flavour, number: int) -> str:
    """The `number`th object of a kind and flavour (1-based)."""
    return derived_uid(run_id, kind, *_label(flavour), str(number))


def notice_number(failure: Failure) -> int:
    """The number of the notice of a failed run: what says something else has another UID."""
    return HELD_NUMBER + 1 + list(Failure).index(failure)


def _label(flavour: Flavour) -> list[str]:
    """Nothing for the default: its UIDs are those from before there were flavours."""
    return [flavour.label] if flavour.label else []


def control_id(run_id: str, destination: str, outcome: str) -> str:
    """MSH-10 of a run's message to a destination, 20 characters (HL7 v2.5.1 2.14.9.10).

    A run that was held and then released sends two messages, so they differ in it.
    """
    return derived_uuid(run_id, destination, "ORU", outcome).hex[:20].upper()


def first_source(facts: RunFacts) -> Dataset:
    """The header that patient and study come from.

    Raises:
        CannotBuild: no source could be read.
    """
    if not facts.sources:
        raise CannotBuild("none of the source images could be read")
    return facts.sources[0]


def fill_identity(
    ds: Dataset, facts: RunFacts, kind: str, number: int, description: str, series: int | None = None
) -> None:
    """Writes Patient, Study, Series, Equipment and SOP Common into `ds`, from the source and the run.

    It is the `number`th object of its kind, in the `series`th series: the only one, or that of its own.
    """
    place = series or (number if kind in ALONE else 1)
    source = first_source(facts)
    for keyword in (*ALWAYS, *WHERE_KNOWN, *OF_STUDY):
        if keyword in source:
            # a copy: pydicom keeps a name in the encoding that it was first written in, and writes it so ever after
            ds[keyword] = deepcopy(source[keyword])
    ds.SpecificCharacterSet = UTF_8
    ds.StudyInstanceUID = facts.study.study_instance_uid
    for element in order_header(facts.order, str(ds.PatientID or "")):
        if not ds.get(element.keyword):
            ds[element.keyword] = element
    ds.SeriesInstanceUID = series_uid_of(facts.run.id, kind, facts.flavour, place)
    ds.SeriesNumber = series_number_of(facts.series_number, kind, facts.flavour_number, place)
    ds.SeriesDescription = description
    ds.SOPInstanceUID = sop_instance_uid_of(facts.run.id, kind, facts.flavour, number)
    ds.InstanceNumber = 1 if kind in ALONE else number
    _fill_equipment(ds, facts)
    _fill_times(ds, facts)


def series_number_of(first: int, kind: str, flavour_number: int, place: int) -> int:
    """Of the `place`th series (1-based) of a kind and flavour of a run whose numbers begin after `first`.

    Below 100 are the runs, then ten places, then flavours; further places are millions apart.
    """
    many, few = divmod(place - 1, 10)
    return first + SERIES_OFFSET[kind] + few * _SERIES_APART + flavour_number * FLAVOURS_APART + many * _MANY_APART


def fill_body_part(ds: Dataset, source: Dataset) -> None:
    """Laterality is type 2C: there, maybe empty, unless the part is known to be no paired one (PS3.3 C.7.3.1)."""
    if body_part := source.get("BodyPartExamined"):
        ds.BodyPartExamined = body_part
    if body_part not in UNPAIRED:
        ds.Laterality = source.get("Laterality", "")


def _fill_equipment(ds: Dataset, facts: RunFacts) -> None:
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = facts.run.package
    ds.SoftwareVersions = [f"{facts.run.package} {facts.run.version}", f"Isocenter {software_version()}"]
    ds.DeviceSerialNumber = facts.run.version
    if "InstitutionName" not in ds and facts.institution_name:
        ds.InstitutionName = facts.institution_name


def _fill_times(ds: Dataset, facts: RunFacts) -> None:
    """The moment of the finding, in the source's zone where it names one, else in the hospital's (the system's)."""
    at = in_zone(facts.at, ds.get("TimezoneOffsetFromUTC", ""))
    date, time = at.strftime("%Y%m%d"), at.strftime("%H%M%S")
    ds.InstanceCreationDate = ds.ContentDate = ds.SeriesDate = date
    ds.InstanceCreationTime = ds.ContentTime = ds.SeriesTime = time


def in_zone(at: datetime, offset: str) -> datetime:
    """`at` in the zone that `offset` (`+0900`) names, else in the system's."""
    match = re.fullmatch(r"([+-])(\d\d)(\d\d)", offset or "")
    if not match:
        return at.astimezone()
    sign = 1 if match[1] == "+" else -1
    return at.astimezone(timezone(sign * timedelta(hours=int(match[2]), minutes=int(match[3]))))


def fill_request(ds: Dataset, facts: RunFacts) -> None:
    """The requests that the report answers (PS3.3 C.17.2, Referenced Request Sequence), as far as they are known."""
    asked = list(first_source(facts).get("RequestAttributesSequence") or ([Dataset()] if facts.order else []))
    if asked:
        ds.ReferencedRequestSequence = [_request(ds, facts, one, alone=len(asked) == 1) for one in asked]


def _request(ds: Dataset, facts: RunFacts, asked: Dataset, alone: bool) -> Dataset:
    """What the order says comes before what the images do, unless these answer several."""
    item, order = Dataset(), facts.order
    item.StudyInstanceUID = facts.study.study_instance_uid
    item.ReferencedStudySequence = []
    item.AccessionNumber = ds.AccessionNumber
    if "IssuerOfAccessionNumberSequence" in ds:
        item.IssuerOfAccessionNumberSequence = deepcopy(ds.IssuerOfAccessionNumberSequence)
    for keyword, ordered in (
        ("PlacerOrderNumberImagingServiceRequest", order.placer_order_number if order else ""),
        ("FillerOrderNumberImagingServiceRequest", order.filler_order_number if order else ""),
    ):
        own = str(asked.get(keyword) or "")
        setattr(item, keyword, (ordered or own) if alone else (own or ordered))
    code = procedure_code(order)
    item.RequestedProcedureID = asked.get("RequestedProcedureID", "")
    item.RequestedProcedureDescription = asked.get("RequestedProcedureDescription") or (
        code.CodeMeaning if code else ""
    )
    codes = deepcopy(asked.get("RequestedProcedureCodeSequence") or [])
    item.RequestedProcedureCodeSequence = codes or ([code] if code else [])
    return item
