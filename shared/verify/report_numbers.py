"""The numbers of a structured report, each with the geometry that it stands beside."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydicom import Dataset

from shared.geometry import slice_step
from shared.imaging.planes import Plane

_AREA, _LENGTH, _VOLUME = ("42798000", "SCT"), ("410668003", "SCT"), ("118565006", "SCT")
_MEASUREMENT_GROUP, _ANALYSIS_PERFORMED = "125007", "111004"
_FINDING, _COORDINATES = "121071", ("SCOORD", "SCOORD3D")
_SITE, _SIDE = "363698007", "272741003"
SIDES = {"7771000": "left", "24028007": "right", "51440002": "bilateral"}
_SEGMENT = ("121191", "121214")  # referenced segment, or frame of one
_TRACKING, _TRACKING_UID, _HORIZONTAL, _VERTICAL = "112039", "112040", "111026", "111066"
_POSITION = ("110901", "110902", "110903")
_ORIENTATION = ("110904", "110905", "110906", "110907", "110908", "110909")  # of the row, then of the column
Point = tuple[float, ...]


@dataclass(frozen=True)
class Outline:
    """Coordinates in a group: (column, row) of an image, or patient coordinates in mm where there is no image."""

    graphic_type: str
    points: list[Point]
    sop_instance_uid: str = ""
    frame: int = 1


@dataclass(frozen=True)
class Number:
    """A measured value; `of_image` says that it is one image's, among those of a whole series.

    `outlines` are the coordinates that it says itself that it was inferred from (TID 320).
    """

    code: tuple[str, str]
    meaning: str
    value: float
    unit: str
    of_image: bool
    outlines: tuple[Outline, ...] = ()

    @property
    def is_volume(self) -> bool:
        return self.code == _VOLUME

    @property
    def is_area(self) -> bool:
        return self.code == _AREA

    @property
    def is_length(self) -> bool:
        return self.code == _LENGTH


@dataclass(frozen=True)
class Group:
    """A measurement group (TID 1410, 1411 or 1501); `finding` is the code of what it is about."""

    name: str
    finding: str = ""
    numbers: list[Number] = field(default_factory=list)
    outlines: list[Outline] = field(default_factory=list)
    segments: list[tuple[str, int]] = field(default_factory=list)  # SOP Instance UID and number
    tracking_uid: str = ""
    sites: list[tuple[str, str, str]] = field(default_factory=list)  # code of the place, of the side, and both in words


def code_of(item: Dataset) -> tuple[str, str]:
    """Value and scheme of a content item's concept name; empty where it has none."""
    name = (item.get("ConceptNameCodeSequence") or [Dataset()])[0]
    return value_of(name), str(name.get("CodingSchemeDesignator", ""))


def value_of(code: Dataset) -> str:
    """A code's value; one of more than 16 characters stands in an attribute of its own (PS3.3 8.1)."""
    return str(code.get("CodeValue") or code.get("LongCodeValue") or code.get("URNCodeValue") or "")


def items_of(item: Dataset) -> Iterator[Dataset]:
    """Every content item below, depth first."""
    for child in item.get("ContentSequence") or []:
        yield child
        yield from items_of(child)


def is_about_findings(report: Dataset) -> bool:
    """Not the report that says that nothing was analysed."""
    return all(code_of(item)[0] != _ANALYSIS_PERFORMED for item in items_of(report))


def groups_of(report: Dataset) -> list[Group]:
    """The report's measurement groups, in its order."""
    return [_group(item) for item in items_of(report) if code_of(item) == (_MEASUREMENT_GROUP, "DCM")]


def _group(item: Dataset) -> Group:
    children = item.get("ContentSequence") or []
    name = next((str(c.get("TextValue", "")) for c in children if code_of(c)[0] == _TRACKING), "")
    uid = next((str(c.get("UID", "")) for c in children if code_of(c)[0] == _TRACKING_UID), "")
    sites = [_site(c) for c in children if code_of(c)[0] == _SITE and c.get("ConceptCodeSequence")]
    numbers = [_number(c) for c in children if c.get("ValueType") == "NUM" and c.get("MeasuredValueSequence")]
    found = [child for child in items_of(item) if child.get("ValueType") in _COORDINATES]
    about = (c.ConceptCodeSequence[0] for c in children if code_of(c)[0] == _FINDING and c.get("ConceptCodeSequence"))
    finding = next((value_of(code) for code in about), "")
    pointing = [c.ReferencedSOPSequence[0] for c in children if code_of(c)[0] in _SEGMENT]
    segments = [(str(r.ReferencedSOPInstanceUID), int(r.ReferencedSegmentNumber)) for r in pointing]
    return Group(name, finding, numbers, [_outline(child) for child in found], segments, uid, sites)


def _site(item: Dataset) -> tuple[str, str, str]:
    place = item.ConceptCodeSequence[0]
    below = (c.ConceptCodeSequence[0] for c in item.get("ContentSequence") or [] if code_of(c)[0] == _SIDE)
    side = next((value_of(code) for code in below), "")
    return value_of(place), side, ", ".join(filter(None, [str(place.CodeMeaning), SIDES.get(side, side)]))


def _number(item: Dataset) -> Number:
    measured = item.MeasuredValueSequence[0]
    meaning = str(item.ConceptNameCodeSequence[0].get("CodeMeaning", ""))
    unit = str(measured.MeasurementUnitsCodeSequence[0].CodeValue)
    below = item.get("ContentSequence") or []
    of_image = any(child.get("ValueType") == "IMAGE" for child in below)
    outlines = tuple(_outline(child) for child in below if child.get("ValueType") in _COORDINATES)
    return Number(code_of(item), meaning, float(measured.NumericValue), unit, of_image, outlines)


def _outline(item: Dataset) -> Outline:
    values = [float(v) for v in item.GraphicData]
    size = 3 if item.ValueType == "SCOORD3D" else 2
    points = [tuple(values[n : n + size]) for n in range(0, len(values), size)]
    references = (c.ReferencedSOPSequence[0] for c in item.get("ContentSequence") or [] if "ReferencedSOPSequence" in c)
    image = next(references, Dataset())
    frame = image.get("ReferencedFrameNumber") or 1
    uid = str(image.get("ReferencedSOPInstanceUID", ""))
    return Outline(str(item.GraphicType), points, uid, int(frame[0] if isinstance(frame, list) else frame))


def spacings_of(report: Dataset) -> dict[str, tuple[float, float]]:
    """(between rows, between columns) in mm of each image, as the report's own image library says (TID 1600)."""
    spacings = {}
    for group in items_of(report):
        said = _said(group)
        if _VERTICAL in said and _HORIZONTAL in said:
            spacings.update(dict.fromkeys(_images(group), (said[_VERTICAL], said[_HORIZONTAL])))
    return spacings


def steps_of(report: Dataset) -> dict[str, float]:
    """mm from slice to slice of the stack that each image is of, from the positions in the image library."""
    steps = {}
    for _, orientation, positions in _stacks(report):
        steps.update(dict.fromkeys(positions, slice_step(list(positions.values()), orientation)))
    return steps


def planes_of(report: Dataset) -> dict[str, Plane]:
    """Where each image lies, as far as the image library says its position, orientation and spacing."""
    return {
        uid: Plane((x, y, z), (a, b, c, d, e, f), (said[_VERTICAL], said[_HORIZONTAL]))
        for said, (a, b, c, d, e, f), positions in _stacks(report)
        for uid, (x, y, z) in positions.items()
        if _VERTICAL in said and _HORIZONTAL in said
    }


def _stacks(report: Dataset) -> Iterator[tuple[dict[str, float], list[float], dict[str, list[float]]]]:
    """What each group of images in one direction has in common, this direction, and where each of them begins."""
    for group in items_of(report):
        said = _said(group)
        if not all(code in said for code in _ORIENTATION):
            continue
        places = {uid: _said(image) for uid, image in _images(group).items()}
        if all(code in place for place in places.values() for code in _POSITION):
            positions = {uid: [place[code] for code in _POSITION] for uid, place in places.items()}
            yield said, [said[code] for code in _ORIENTATION], positions


def _said(item: Dataset) -> dict[str, float]:
    """The numbers right below an item, by the code of their name."""
    numbers = (c for c in item.get("ContentSequence") or [] if c.get("ValueType") == "NUM")
    return {code_of(c)[0]: float(c.MeasuredValueSequence[0].NumericValue) for c in numbers if c.MeasuredValueSequence}


def _images(item: Dataset) -> dict[str, Dataset]:
    """The images right below an item, by SOP Instance UID."""
    images = (c for c in item.get("ContentSequence") or [] if c.get("ValueType") == "IMAGE")
    return {str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID): image for image in images}


@dataclass(frozen=True)
class Report:
    """A structured report, read once for all checks."""

    name: str  # of its file
    document: Dataset
    groups: list[Group]
    spacings: dict[str, tuple[float, float]]
    steps: dict[str, float]
    planes: dict[str, Plane]
    is_about_findings: bool


def read_report(name: str, document: Dataset) -> Report:
    """What the checks need of a report."""
    return Report(
        name, document, groups_of(document), spacings_of(document), steps_of(document), planes_of(document),
        is_about_findings(document),
    )  # fmt: skip
