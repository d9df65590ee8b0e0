"""Segmentations (PS3.3 A.51): a package's own labels or probabilities, and what was only outlined.

Outlines make one instance for each group of images of one size and direction, with one segment a finding; each
segmented finding makes instances of its own.
"""

from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes as dicom_codes
from pydicom.uid import SegmentationStorage

from services.report import codes
from services.report.colours import lab_of
from services.report.document_context import fill_contribution_time, fill_dimension_uid
from services.report.facts import RunFacts
from services.report.identity import MANUFACTURER, counted, fill_identity, first_source, series_description, use_mark
from services.report.loose_frames import put_right
from services.report.placed_arrays import on_layers, step_of
from services.report.planes import images_with_regions
from services.report.plates import Plates, plates_of
from services.report.rasters import mask_of
from services.report.regions import encloses
from services.report.text import UTF_8
from services.report.tracking import Tracking, of_segment
from shared import findings
from shared.findings import Classification, Measurement, OrdinalGrade
from shared.uids import derived_uid

KIND = "SEG"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"  # Label Map Segmentation Storage
SOP_CLASSES = (SegmentationStorage, LABEL_MAP)
Outlined = Classification | OrdinalGrade | Measurement
_COLOURS = ((62.0, 48.0, 55.0), (70.0, -12.0, -35.0), (89.0, -13.0, 76.0), (64.0, -48.0, 15.0))  # as on the pictures
Pixels = NDArray[Any]


def build(facts: RunFacts) -> list[Dataset]:
    """The run's segmentations; none where nothing is outlined or segmented.

    Raises:
        CannotBuild: no source image could be read, or an array does not fit its images.
    """
    first_source(facts)
    shell = Dataset()
    shell.StudyInstanceUID = facts.study.study_instance_uid
    made: list[Dataset] = []
    outlined = [f for f in facts.findings if isinstance(f, Outlined) and _has_outlines(f)]
    for plates in plates_of(facts, images_with_regions(outlined), shell):
        made.append(_outlines(facts, outlined, plates, len(made) + 1))
    for finding in (f for f in facts.findings if isinstance(f, findings.Segmentation)):
        for plates in plates_of(facts, finding.placed.images, shell, step_of(facts, finding.placed)):
            pixels = _pixels(facts, finding, plates)
            if pixels.any():  # nothing found is said in the report; an empty object shows nothing
                made.append(_labels(facts, finding, plates, pixels, len(made) + 1))
    return made


def _has_outlines(finding: Outlined) -> bool:
    """A line encloses nothing, and a window not what was found."""
    return encloses(finding) and any(not region.window for region in finding.regions)


def _outlines(facts: RunFacts, outlined: list[Outlined], plates: Plates, number: int) -> Dataset:
    layers = {image: index for index, image in enumerate(plates.layers)}
    here = [f for f in outlined if any(region.image in layers for region in f.regions)]
    pixels = np.zeros((len(layers), plates.rows, plates.columns, len(here)), np.uint8)
    for segment, finding in enumerate(here):
        for region in finding.regions:
            if region.image in layers:
                pixels[layers[region.image], ..., segment] |= mask_of(region, plates.rows, plates.columns)
    described = [_outlined_segment(facts, finding, n) for n, finding in enumerate(here, start=1)]
    return _document(facts, plates, pixels, described, "BINARY", number)


def _pixels(facts: RunFacts, finding: findings.Segmentation, plates: Plates) -> Pixels:
    """Labels or probabilities over the layers; a mask of those where the destination draws none."""
    pixels = on_layers(facts, finding.placed, plates)
    if not _is_thresholded(facts, finding):
        return pixels
    return np.where(pixels >= findings.COUNTS_FROM, finding.segments[0].number, 0)


def _is_thresholded(facts: RunFacts, finding: findings.Segmentation) -> bool:
    return finding.fractional and facts.flavour.seg_probabilities == "thresholded"


def _labels(facts: RunFacts, finding: findings.Segmentation, plates: Plates, pixels: Pixels, number: int) -> Dataset:
    """Labels are numbered anew from 1 (PS3.3 C.8.20.4: consecutive), in the finding's order."""
    described = [_segment(facts, finding, segment, n) for n, segment in enumerate(finding.segments, start=1)]
    if finding.fractional and not _is_thresholded(facts, finding):
        return _document(facts, plates, np.clip(pixels, 0, 1), described, "FRACTIONAL", number)
    table = np.zeros(256, np.uint8)
    for n, segment in enumerate(finding.segments, start=1):
        table[segment.number] = n
    kind = "LABELMAP" if facts.flavour.seg_flavour == "label-map" else "BINARY"
    return _document(facts, plates, table[pixels.astype(np.uint8)], described, kind, number)


def _document(
    facts: RunFacts, plates: Plates, pixels: Pixels, described: list[SegmentDescription], kind: str, number: int
) -> Dataset:
    shell = Dataset()
    fill_identity(shell, facts, KIND, number, series_description(facts, counted("segmentation", number)))
    document = Segmentation(
        source_images=plates.datasets, pixel_array=pixels, segmentation_type=SegmentationTypeValues[kind],
        segment_descriptions=described, max_fractional_value=255,
        series_instance_uid=shell.SeriesInstanceUID, series_number=int(shell.SeriesNumber),
        sop_instance_uid=shell.SOPInstanceUID, instance_number=int(shell.InstanceNumber), manufacturer=MANUFACTURER,
        manufacturer_model_name=facts.run.package, software_versions=facts.run.version,
        device_serial_number=facts.run.version, content_label="AI_SEGMENTATION",
        content_description=f"{facts.title}. {use_mark(facts)}".strip(". ")[:64], specific_character_set=UTF_8,
    )  # fmt: skip
    document.update(shell)
    if plates.loose:
        put_right(document, plates, plates.planes, plates.measures)
    if "FrameOfReferenceUID" not in document:  # a projection: it lies as its source does
        document.PatientOrientation = plates.patient_orientation
    fill_contribution_time(document, shell)
    fill_dimension_uid(document)
    return document


def _outlined_segment(facts: RunFacts, finding: Outlined, number: int) -> SegmentDescription:
    return SegmentDescription(
        segment_number=number,
        segment_label=finding.name[:64],
        segmented_property_category=dicom_codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.concept(finding.code),
        algorithm_type="AUTOMATIC",
        algorithm_identification=_algorithm(finding),
        tracking_uid=derived_uid(facts.run.id, "tracking", "segment", str(number), finding.name),
        tracking_id=f"{finding.name} segment"[:64],
        display_color=CIELabColor(*_COLOURS[(number - 1) % len(_COLOURS)]),
    )


def _segment(
    facts: RunFacts, finding: findings.Segmentation, segment: findings.Segment, number: int
) -> SegmentDescription:
    """The tracking identifier is the report's: so the two find each other."""
    tracking = of_segment(Tracking(facts), finding, segment)
    usual = CIELabColor(*_COLOURS[(number - 1) % len(_COLOURS)])
    said = f", probability {findings.COUNTS_FROM} or more" if _is_thresholded(facts, finding) else ""
    return SegmentDescription(
        segment_number=number,
        segment_label=segment.name[: 64 - len(said)] + said,
        segmented_property_category=codes.concept(finding.code),
        segmented_property_type=codes.concept(segment.code),
        algorithm_type="AUTOMATIC",
        algorithm_identification=_algorithm(finding),
        tracking_uid=str(tracking[1].value),
        tracking_id=str(tracking[0].value)[:64],
        display_color=lab_of(segment.colour) if segment.colour else usual,
    )


def _algorithm(finding: findings.Finding) -> AlgorithmIdentificationSequence:
    return AlgorithmIdentificationSequence(
        name=finding.package, family=dicom_codes.DCM.ArtificialIntelligence, version=finding.version
    )
