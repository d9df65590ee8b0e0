"""What must agree in a run's objects; each check gives what differs, in words, and counts what it looked at."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from math import isclose

from pydicom import Dataset

from shared.verify.between_images import bounds, is_between
from shared.verify.derived import derived_series, place_differences, value_differences
from shared.verify.folder import Run
from shared.verify.geometry import COMPUTED, compute
from shared.verify.presentation import differences, same
from shared.verify.report_numbers import (
    Group,
    Number,
    groups_of,
    is_about_findings,
    planes_of,
    spacings_of,
    steps_of,
)
from shared.verify.segments import size_of_segment, sources_of


@dataclass
class Outcome:
    """What a run's checks saw."""

    differs: list[str] = field(default_factory=list)
    recomputed: int = 0
    compared: int = 0
    referenced: int = 0


def check_run(run: Run, images: Mapping[str, Dataset] | None) -> Outcome:
    """All checks; references only where `images` are given."""
    outcome = Outcome()
    for path, report in run.of_modality("SR").items():
        check_geometry(path.name, report, outcome)
        check_segments(path.name, report, run, outcome)
        if not is_about_findings(report):
            continue
        check_messages(path.name, groups_of(report), run, outcome)
        check_pages(path.name, groups_of(report), run, outcome)
        check_presentations(path.name, groups_of(report), run, outcome)
    check_derived(run, images or {}, outcome)
    if images is not None:
        known = {**images, **{str(ds.SOPInstanceUID): ds for ds in run.documents.values()}}
        for path, ds in run.documents.items():
            check_references(path.name, ds, known, outcome)
    return outcome


def check_geometry(name: str, report: Dataset, outcome: Outcome) -> None:
    """Each length, angle and area again, from the coordinates beside it and the spacing in the image library."""
    spacings, planes, steps = spacings_of(report), planes_of(report), steps_of(report)
    for group in groups_of(report):
        for number in group.numbers:
            outlines = number.outlines or (tuple(group.outlines) if number.is_area or number.is_length else ())
            by_outline = (number.is_area and group.outlines) or number.is_length or number.outlines
            if not by_outline or number.unit not in COMPUTED:
                continue
            if is_between(outlines):
                check_between(f"{name}: {group.name}", number, bounds(number.unit, outlines, planes, steps), outcome)
                continue
            again = compute(number.unit, outlines, spacings)
            outcome.recomputed += 1
            if again is None:
                outcome.differs.append(f"{name}: {group.name}: no geometry to compute {number.meaning} from")
            elif not isclose(again, number.value, rel_tol=1e-4, abs_tol=0.006):
                said = f"{number.meaning} {number.value:g} {number.unit}, but its outline gives {again:.2f}"
                outcome.differs.append(f"{name}: {group.name}: {said}")


def check_between(where: str, number: Number, known: tuple[float, float] | None, outcome: Outcome) -> None:
    """A number of a line between images lies within what its points on the nearest images leave open; where the report
    does not say where these lie (an enhanced image says it of each frame) it is not computed again."""
    if known is None:
        return
    outcome.recomputed += 1
    least, most = known
    if not least - 0.006 <= number.value <= most + 0.006:
        said = f"{number.meaning} {number.value:g} {number.unit}, but its points give {least:.2f} to {most:.2f}"
        outcome.differs.append(f"{where}: {said}")


def check_segments(name: str, report: Dataset, run: Run, outcome: Outcome) -> None:
    """Each area and volume of a segment again, from the pixels of the segmentation that its group points to."""
    objects = {str(ds.SOPInstanceUID): ds for ds in run.documents.values()}
    spacings, steps = spacings_of(report), steps_of(report)
    for group in (g for g in groups_of(report) if g.segments):
        uid, segment = group.segments[0]
        images = sources_of(objects[uid]) if uid in objects else []
        spacing = next((spacings[image] for image in images if image in spacings), None)
        step = next((steps[image] for image in images if image in steps), 0.0)
        for number in (n for n in group.numbers if n.is_area or n.is_volume):
            again = size_of_segment(objects[uid], segment, number.unit, spacing, step) if uid in objects else None
            outcome.recomputed += 1
            if again is None:
                outcome.differs.append(f"{name}: {group.name}: no segment to compute {number.meaning} from")
            elif not isclose(again, number.value, rel_tol=1e-3, abs_tol=0.006):
                said = f"{number.meaning} {number.value:g} {number.unit}, but its segment gives {again:.2f}"
                outcome.differs.append(f"{name}: {group.name}: {said}")


def check_derived(run: Run, images: Mapping[str, Dataset], outcome: Outcome) -> None:
    """Each derived image's values from the array that was kept beside it, and its place from its source."""
    for series in derived_series(run.documents):
        differs = value_differences(run.folder, series)
        if differs is not None:
            outcome.recomputed += len(series)
            outcome.differs.extend(differs)
        for path, ds in series.items():
            outcome.differs.extend(place_differences(path.name, ds, images))


def check_messages(name: str, groups: Iterable[Group], run: Run, outcome: Outcome) -> None:
    """Each number of an ORU is one of the report's, by its code; of a classification its probability."""
    numbers = [(code, number.value) for group in groups for number in group.numbers for code in _names(group, number)]
    for path, message in run.messages.items():
        if _is_held(message):
            continue  # it was sent before there was a report
        for said, code, value in _observed(message):
            outcome.compared += 1
            if not any(name == code and same(exact, value) for name, exact in numbers):
                outcome.differs.append(f"{path.name}: {said} {value:g} is not in {name}")


def _names(group: Group, number: Number) -> set[str]:
    """The codes that a message may say a number by: its own, and for a size that of what is measured."""
    return {number.code[0], group.finding} if number.is_area or number.is_volume else {number.code[0]}


def _is_held(message: str) -> bool:
    """Whether OBR-25 says that results are yet to come (HL7 table 0123: I)."""
    requests = [line.split("|") for line in message.split("\r") if line.startswith("OBR|")]
    return any(len(fields) > 25 and fields[25] == "I" for fields in requests)


def _observed(message: str) -> Iterator[tuple[str, str, float]]:
    """What, by which code, how much: NM values of findings and gates, and the probability (OBX-9) of coded ones."""
    for line in message.split("\r"):
        fields = line.split("|")
        if fields[0] != "OBX" or len(fields) < 10:
            continue
        code, _, rest = fields[3].partition("^")
        meaning = rest.split("^")[0]
        if fields[2] == "NM" and fields[5]:
            yield meaning, "gate-score" if code.startswith("gate-") else code, float(fields[5])
        elif fields[2] == "CWE" and fields[9]:
            yield f"probability of {meaning}", "122157", float(fields[9])


def check_pages(name: str, groups: Iterable[Group], run: Run, outcome: Outcome) -> None:
    """Each number of the report, but not each image's of a series, is printed on the PDF."""
    numbers = {(n.meaning, n.value, n.unit) for group in groups for n in group.numbers if not n.of_image}
    for path, ds in run.of_modality("DOC").items():
        printed = _printed(ds)
        for meaning, value, _ in sorted(numbers):
            outcome.compared += 1
            if not any(same(value, number) for number in printed):
                outcome.differs.append(f"{path.name}: {meaning} {value:g} of {name} is not on the page")


def _printed(ds: Dataset) -> list[float]:
    from pypdf import PdfReader  # only who checks pages needs it

    pages = PdfReader(BytesIO(ds.EncapsulatedDocument)).pages
    text = " ".join(page.extract_text() for page in pages)
    return [float(token) for token in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\d)", text)]


def check_presentations(name: str, groups: Sequence[Group], run: Run, outcome: Outcome) -> None:
    """What is drawn over the images are the report's outlines, with its numbers."""
    for path, ds in run.of_modality("PR").items():
        outcome.compared += 1
        outcome.differs += [f"{path.name}: {said}" for said in differences(ds, groups, name)]


def check_references(name: str, ds: Dataset, known: Mapping[str, Dataset], outcome: Outcome) -> None:
    """Every instance that is pointed to is there, of the same patient, and has the frame that is named."""
    for reference in _references(ds):
        uid = str(reference.ReferencedSOPInstanceUID)
        outcome.referenced += 1
        if uid not in known:
            outcome.differs.append(f"{name}: points to {uid}, which is not here")
            continue
        other = known[uid]
        if (
            other.get("PatientID", "") != ds.get("PatientID", "")
            or other.get("StudyInstanceUID") != ds.StudyInstanceUID
        ):
            outcome.differs.append(f"{name}: is of another patient or study than {uid}, to which it points")
        frames = reference.get("ReferencedFrameNumber") or []
        for frame in frames if isinstance(frames, Iterable) else [frames]:
            if int(frame) > int(other.get("NumberOfFrames") or 1):
                outcome.differs.append(f"{name}: points to frame {frame} of {uid}, which has fewer")


def _references(ds: Dataset) -> Iterator[Dataset]:
    """Items with a Referenced SOP Instance UID, but for the documents that this one replaces."""
    for element in ds:
        if element.VR != "SQ" or element.keyword == "PredecessorDocumentsSequence":
            continue
        for item in element.value:
            if "ReferencedSOPInstanceUID" in item:
                yield item
            yield from _references(item)
