"""The picture that every viewer shows: a Secondary Capture, one instance for each finding that can be drawn."""

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from services.report.drawing import quality_page, reading_page
from services.report.facts import CannotBuild, RunFacts, nothing_to_read
from services.report.identity import (
    MANUFACTURER,
    fill_body_part,
    fill_identity,
    first_source,
    series_description,
    software_version,
)
from services.report.image_origin import fill_origin
from shared.findings import Finding, QualityScore, SourceImage

KIND = "SC"


def images_to_draw(finding: Finding, read: reading_page.Read = nothing_to_read) -> list[SourceImage]:
    """The source images whose pixels the finding's page needs."""
    if isinstance(finding, QualityScore):
        return quality_page.images(finding)
    if not isinstance(finding, reading_page.Drawn):
        return []
    image = reading_page.shown_image(finding, read)
    return [image] if image else []


def build(facts: RunFacts) -> list[Dataset]:
    """The run's pictures, in the order of the findings.

    Raises:
        CannotBuild: no source could be read, or no finding has an image that can be drawn.
    """
    first_source(facts)
    drawn = [f for f in facts.findings if any(image in facts.pictures for image in images_to_draw(f, facts.read))]
    if not drawn:
        raise CannotBuild("none of the images that the findings are about can be drawn")
    return [document(facts, finding, n) for n, finding in enumerate(drawn, start=1)]


def draw_page(facts: RunFacts, finding: Finding) -> Image.Image:
    """The finding's page."""
    if isinstance(finding, QualityScore):
        return quality_page.draw_page(facts, finding)
    if isinstance(finding, reading_page.Drawn):
        return reading_page.draw_page(facts, finding)
    raise CannotBuild(f"no page is drawn of a {finding.kind}")


def document(facts: RunFacts, finding: Finding, number: int) -> Dataset:
    """One page as a data set."""
    ds = Dataset()
    fill_identity(ds, facts, KIND, number, series_description(facts, "picture"))
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.Modality = "OT"
    ds.ConversionType = "SYN"
    ds.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    ds.SecondaryCaptureDeviceManufacturerModelName = facts.run.package
    ds.SecondaryCaptureDeviceSoftwareVersions = [facts.run.version, software_version()]
    ds.DateOfSecondaryCapture, ds.TimeOfSecondaryCapture = ds.ContentDate, ds.ContentTime
    ds.PatientOrientation = []  # a page of several pictures has none
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.DerivationDescription = series_description(facts, "picture")
    fill_body_part(ds, first_source(facts))
    _fill_sources(ds, facts, finding)
    _fill_pixels(ds, draw_page(facts, finding))
    return ds


def _fill_sources(ds: Dataset, facts: RunFacts, finding: Finding) -> None:
    """What the page shows, and what clings to its pixels from there."""
    headers = {str(source.SOPInstanceUID): source for source in facts.sources}
    used = [i for i in images_to_draw(finding, facts.read) if i in facts.pictures and i.sop_instance_uid in headers]
    fill_origin(ds, used, [headers[image.sop_instance_uid] for image in used])


def _fill_pixels(ds: Dataset, page: Image.Image) -> None:
    pixels = np.asarray(page, np.uint8)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OB"
