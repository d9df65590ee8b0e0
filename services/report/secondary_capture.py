"""The picture that every viewer shows: a Secondary Capture, one instance for each finding that can be drawn.

A destination may want all images that show a finding: then they are frames, to be scrolled.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, SecondaryCaptureImageStorage

from services.report.drawing import quality_page, reading_page
from services.report.drawing.pages import Drawn, Read, images_of_pages
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
from services.report.statements import statements
from shared.findings import Finding, QualityScore, SourceImage
from shared.verify.words import seal

KIND = "SC"
FRAMES = MultiFrameTrueColorSecondaryCaptureImageStorage
SOP_CLASSES = (SecondaryCaptureImageStorage, FRAMES)
FRAME_SIZE = 1024, 832  # as a page, smaller: sixty of them are 153 MB
_SMALLER = Image.Resampling.LANCZOS


def images_to_draw(finding: Finding, read: Read = nothing_to_read, several: bool = False) -> list[SourceImage]:
    """The source images whose pixels the finding's page needs, or its `several` pages."""
    pages = images_of_pages(finding, read, several)
    return list(dict.fromkeys(image for page in pages for image in _images_on(finding, page)))


def _images_on(finding: Finding, page: SourceImage) -> list[SourceImage]:
    return quality_page.images(finding, page) if isinstance(finding, QualityScore) else [page]


def build(facts: RunFacts) -> list[Dataset]:
    """The run's pictures, in the order of the findings; none where these are of kinds that have no page.

    Raises:
        CannotBuild: no source could be read, or no finding with a page has an image that can be drawn.
    """
    first_source(facts)
    facts = replace(facts, read=lru_cache(maxsize=1)(facts.read))  # each page of a finding asks for its array
    several = facts.flavour.sc_flavour == "multi-frame"
    pages = [(f, _pages(facts, f, several)) for f in facts.findings]
    made = [
        _document(facts, finding, images, number)
        for number, (finding, images) in enumerate(((f, p) for f, p in pages if p), start=1)
    ]
    if not made and any(images_to_draw(finding, facts.read) for finding in facts.findings):
        raise CannotBuild("none of the images that the findings are about can be drawn")
    return made


def _pages(facts: RunFacts, finding: Finding, several: bool) -> list[SourceImage]:
    """The pages of which at least one picture could be had."""
    pages = images_of_pages(finding, facts.read, several)
    return [page for page in pages if any(image in facts.pictures for image in _images_on(finding, page))]


def draw_page(facts: RunFacts, finding: Finding, image: SourceImage | None = None) -> Image.Image:
    """The finding's page, or of its several the one about `image`."""
    if isinstance(finding, QualityScore):
        return quality_page.draw_page(facts, finding, image)
    if isinstance(finding, Drawn):
        return reading_page.draw_page(facts, finding, image)
    raise CannotBuild(f"no page is drawn of a {finding.kind}")


def _document(facts: RunFacts, finding: Finding, pages: list[SourceImage], number: int) -> Dataset:
    """The finding's page as an image, or its several pages as frames."""
    ds = Dataset()
    fill_identity(ds, facts, KIND, number, series_description(facts, "picture"))
    ds.SOPClassUID = SecondaryCaptureImageStorage if len(pages) == 1 else FRAMES
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
    _fill_sources(ds, facts, [image for page in pages for image in _images_on(finding, page)])
    if len(pages) == 1:
        _fill_pixels(ds, [draw_page(facts, finding)])
    else:
        _fill_pixels(ds, (draw_page(facts, finding, page).resize(FRAME_SIZE, _SMALLER) for page in pages))
        ds.FrameIncrementPointer = tag_for_keyword("PageNumberVector")
        ds.PageNumberVector = list(range(1, len(pages) + 1))
    # what the picture says, as text that `verify-results` can read (PS3.3 C.7.6.1.1)
    ds.ImageComments = seal([statement.in_words for statement in statements(facts, finding)], ds.PixelData)
    return ds


def _fill_sources(ds: Dataset, facts: RunFacts, images: Sequence[SourceImage]) -> None:
    """What the pages show, in their order, and what clings to its pixels from there."""
    headers = {str(source.SOPInstanceUID): source for source in facts.sources}
    used = [i for i in dict.fromkeys(images) if i in facts.pictures and i.sop_instance_uid in headers]
    fill_origin(ds, used, [headers[image.sop_instance_uid] for image in used])


def _fill_pixels(ds: Dataset, pages: Iterable[Image.Image]) -> None:
    pixels = [np.asarray(page, np.uint8) for page in pages]
    if len(pixels) > 1:
        ds.NumberOfFrames = len(pixels)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = pixels[0].shape[:2]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = b"".join(page.tobytes() for page in pixels)
    ds["PixelData"].VR = "OB"
