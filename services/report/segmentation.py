"""Outlined regions as segmentations (PS3.3 A.51): one segment a finding, over the images that it was outlined in."""

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import Dataset
from pydicom.sr.codedict import codes as dicom_codes

from services.report import codes
from services.report.document_context import fill_contribution_time
from services.report.facts import RunFacts
from services.report.identity import MANUFACTURER, fill_identity, first_source, series_description, use_mark
from services.report.planes import images_with_regions
from services.report.plates import Plates, plates_of
from services.report.rasters import mask_of
from services.report.text import UTF_8
from shared.findings import Classification, Measurement
from shared.uids import derived_uid

KIND = "SEG"
Outlined = Classification | Measurement
_COLOURS = ((62.0, 48.0, 55.0), (70.0, -12.0, -35.0), (89.0, -13.0, 76.0), (64.0, -48.0, 15.0))  # as on the pictures


def build(facts: RunFacts) -> list[Dataset]:
    """One segmentation for each group of images of one size and direction; none where nothing is outlined.

    Raises:
        CannotBuild: no source image could be read, or frames lie in several directions.
    """
    first_source(facts)
    outlined = [f for f in facts.findings if isinstance(f, Outlined) and f.regions]
    shell = Dataset()
    shell.StudyInstanceUID = facts.study.study_instance_uid
    groups = plates_of(facts, images_with_regions(outlined), shell)
    return [_document(facts, outlined, plates, number) for number, plates in enumerate(groups, start=1)]


def _document(facts: RunFacts, outlined: list[Outlined], plates: Plates, number: int) -> Dataset:
    shell = Dataset()
    fill_identity(shell, facts, KIND, number, series_description(facts, "segmentation"))
    layers = {image: index for index, image in enumerate(plates.layers)}
    here = [f for f in outlined if any(region.image in layers for region in f.regions)]
    pixels = np.zeros((len(layers), plates.rows, plates.columns, len(here)), np.uint8)
    for segment, finding in enumerate(here):
        for region in finding.regions:
            if region.image in layers:
                pixels[layers[region.image], ..., segment] |= mask_of(region, plates.rows, plates.columns)
    document = Segmentation(
        source_images=plates.datasets, pixel_array=pixels, segmentation_type="BINARY",
        segment_descriptions=[_segment(facts, finding, n) for n, finding in enumerate(here, start=1)],
        series_instance_uid=shell.SeriesInstanceUID, series_number=int(shell.SeriesNumber),
        sop_instance_uid=shell.SOPInstanceUID, instance_number=number, manufacturer=MANUFACTURER,
        manufacturer_model_name=facts.run.package, software_versions=facts.run.version,
        device_serial_number=facts.run.version, content_label="AI_SEGMENTATION",
        content_description=f"{facts.title}. {use_mark(facts)}".strip(". ")[:64], specific_character_set=UTF_8,
    )  # fmt: skip
    document.update(shell)
    if "FrameOfReferenceUID" not in document:  # a projection: it lies as its source does
        document.PatientOrientation = plates.patient_orientation
    fill_contribution_time(document, shell)
    return document


def _segment(facts: RunFacts, finding: Outlined, number: int) -> SegmentDescription:
    return SegmentDescription(
        segment_number=number,
        segment_label=finding.name[:64],
        segmented_property_category=dicom_codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.concept(finding.code),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=finding.package, family=dicom_codes.DCM.ArtificialIntelligence, version=finding.version
        ),
        tracking_uid=derived_uid(facts.run.id, "tracking", "segment", str(number), finding.name),
        tracking_id=f"{finding.name} segment"[:64],
        display_color=CIELabColor(*_COLOURS[(number - 1) % len(_COLOURS)]),
    )
