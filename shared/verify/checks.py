"""What must agree in a run's objects; each check gives what differs, in words, and counts what it looked at."""

from collections.abc import Mapping
from math import isclose

from pydicom import Dataset

from shared.verify.between_images import bounds, is_between
from shared.verify.derived import derived_series, place_differences, value_differences
from shared.verify.folder import Run
from shared.verify.geometry import COMPUTED, compute, places_in
from shared.verify.messages import check_message, is_held
from shared.verify.outcome import Outcome
from shared.verify.outlined import check_outlined
from shared.verify.presentation import differences
from shared.verify.references import check_identity, check_references
from shared.verify.report_numbers import Number, Report
from shared.verify.said import said_by
from shared.verify.segments import segments_of, size_of_segment, sources_of
from shared.verify.siblings import check_siblings
from shared.verify.texts import check_texts

_CERTAINTY, _COLUMN, _ROW = "111012", "point-column", "point-row"
# the units that numbers of these names can have, whatever stands beside them
_UNITS = {
    "42798000": ("mm2", "cm2"), "410668003": ("mm", "cm"), "118565006": ("mm3", "cm3"),
    "122157": ("1",), "111012": ("%",), _COLUMN: ("{pixels}",), _ROW: ("{pixels}",),
}  # fmt: skip
_WRITTEN = 0.00501  # numbers that are computed from pixels have two digits behind the point


def check_run(run: Run, images: Mapping[str, Dataset] | None) -> Outcome:
    """All checks; without `images` references are held against the reports' evidence."""
    outcome = Outcome()
    outcome.differs += [
        f"{path.name}: its pixels are not those that were drawn" for path, text in run.pictures.items() if text is None
    ]
    for report in run.reports.values():
        check_report(report, run, outcome)
    check_siblings(list(run.reports.values()), outcome)
    check_derived(run, images or {}, outcome)
    check_identity(run, outcome)
    check_references(run, images, outcome)
    return outcome


def check_report(report: Report, run: Run, outcome: Outcome) -> None:
    """A report against itself, and against what stands beside it."""
    check_units(report, outcome)
    check_geometry(report, outcome)
    check_points(report, outcome)
    check_segments(report, run, outcome)
    check_outlined(report, run, outcome)
    if report.is_about_findings:
        said = said_by(report)
        check_texts(report.name, said, run, outcome)
        check_presentations(report, run, outcome)
        for place, message in run.messages.items():
            if not is_held(message):  # else it was sent before there was a report
                check_message(place.name, message, report, said, outcome)


def check_units(report: Report, outcome: Outcome) -> None:
    """Each number has a unit that its name, or the geometry that it was inferred from, allows."""
    for group in report.groups:
        for number in group.numbers:
            inferred = COMPUTED if number.outlines and number.code[0] != _CERTAINTY else (number.unit,)
            if number.unit not in _UNITS.get(number.code[0], inferred):
                outcome.differs.append(f"{report.name}: {group.name}: {number.meaning} can't be in {number.unit}")


def check_geometry(report: Report, outcome: Outcome) -> None:
    """Each length, angle and area again, from the coordinates beside it and the spacing in the image library."""
    for group in report.groups:
        for number in group.numbers:
            outlines = number.outlines or (tuple(group.outlines) if number.is_area or number.is_length else ())
            by_outline = (number.is_area and group.outlines) or number.is_length or number.outlines
            if not by_outline or number.unit not in COMPUTED:
                continue
            if is_between(outlines):
                known = bounds(number.unit, outlines, report.planes, report.steps)
                check_between(f"{report.name}: {group.name}", number, known, outcome)
                continue
            again = compute(number.unit, outlines, report.spacings)
            outcome.recomputed += 1
            if again is None:
                outcome.differs.append(f"{report.name}: {group.name}: no geometry to compute {number.meaning} from")
            elif not isclose(again, number.value, rel_tol=1e-6, abs_tol=_WRITTEN):
                said = f"{number.meaning} {number.value:g} {number.unit}, but its outline gives {again:.2f}"
                outcome.differs.append(f"{report.name}: {group.name}: {said}")


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


def check_points(report: Report, outcome: Outcome) -> None:
    """Column and row of a point again, from where it lies; of one in the patient as far as the report says where its
    images are (of an enhanced image each frame says it, and the library does not)."""
    for group in report.groups:
        point = [number.value for code in (_COLUMN, _ROW) for number in group.numbers if number.code[0] == code]
        if len(point) < 2 or not group.outlines or (len(group.outlines[0].points[0]) == 3 and not report.planes):
            continue
        outcome.recomputed += 1
        places = places_in(group.outlines[0], report.planes, report.steps)
        if not any(all(isclose(a, b, abs_tol=_WRITTEN) for a, b in zip(point, at, strict=True)) for at in places):
            said = f"its point does not lie at column {point[0]:g}, row {point[1]:g}"
            outcome.differs.append(f"{report.name}: {group.name}: {said}")


def check_segments(report: Report, run: Run, outcome: Outcome) -> None:
    """Each area and volume of a segment again, from the pixels of every segmentation that has it, whatever its flavour.

    A report's group and a segment are the same finding by their tracking UID; the group may also point to it.
    """
    here = {str(ds.SOPInstanceUID) for ds in run.documents.values()}
    for group in report.groups:
        sizes = [number for number in group.numbers if number.is_area or number.is_volume]
        for flavour, found in segments_of(run, group.tracking_uid).items() if sizes else ():
            for number in sizes:
                outcome.recomputed += 1
                again = _size(report, found, number.unit)
                if again is None or not isclose(again, number.value, rel_tol=1e-9, abs_tol=_WRITTEN):
                    gives = "has no size" if again is None else f"gives {again:.2f}"
                    said = f"{number.meaning} {number.value:g} {number.unit}, but its segment in {flavour} {gives}"
                    outcome.differs.append(f"{report.name}: {group.name}: {said}")
        if any(uid not in here for uid, _ in group.segments):
            outcome.differs.append(f"{report.name}: {group.name}: no segment to compute its size from")


def check_derived(run: Run, images: Mapping[str, Dataset], outcome: Outcome) -> None:
    """Each derived image's values from the array that was kept beside it, and its place from its source."""
    for series in derived_series(run.documents):
        differs = value_differences(run.folder, series)
        if differs is not None:
            outcome.recomputed += len(series)
            outcome.differs.extend(differs)
        for path, ds in series.items():
            outcome.differs.extend(place_differences(path.name, ds, images))


def check_presentations(report: Report, run: Run, outcome: Outcome) -> None:
    """What is drawn over the images are the report's outlines, with its numbers."""
    for path, ds in run.of_modality("PR").items():
        outcome.compared += 1
        outcome.differs += [f"{path.name}: {said}" for said in differences(ds, report.groups, report.name)]


def _size(report: Report, found: list[tuple[Dataset, int]], unit: str) -> float | None:
    """Of a segment in all the instances that have a part of it."""
    total = 0.0
    for ds, segment in found:
        images = sources_of(ds)
        spacing = next((report.spacings[image] for image in images if image in report.spacings), None)
        step = next((report.steps[image] for image in images if image in report.steps), 0.0)
        size = size_of_segment(ds, segment, unit, spacing, step)
        if size is None:
            return None
        total += size
    return total
