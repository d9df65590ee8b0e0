"""What an image that is made of others says of them: which they are, and what clings to their pixels."""

from collections.abc import Sequence

from pydicom import Dataset

from shared.findings import SourceImage


def fill_origin(ds: Dataset, images: Sequence[SourceImage], headers: Sequence[Dataset]) -> None:
    """The source images with their purpose; burned-in annotation and lossy compression stay with pixels for good."""
    ds.SourceImageSequence = [_reference(image) for image in images]
    ds.BurnedInAnnotation = "YES" if any(h.get("BurnedInAnnotation") == "YES" for h in headers) else "NO"
    lossy = [h for h in headers if h.get("LossyImageCompression") == "01"]
    ds.LossyImageCompression = "01" if lossy else "00"  # once lossy, always lossy (PS3.3 C.7.6.1.1.5)
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod") if lossy else ():
        if keyword in lossy[0]:
            ds[keyword] = lossy[0][keyword]


def _reference(image: SourceImage) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
    if image.frame:
        item.ReferencedFrameNumber = image.frame
    item.PurposeOfReferenceCodeSequence = [coded("121322", "Source image for image processing operation")]
    return item


def coded(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    """A code sequence's item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
