"""In which SOP class images derived from a source's are written, and what of the source is as true of them.

Viewers lay an image beside its source, and fuse the two, where both are of one class and one place: so the class is the
source's own wherever its images can be derived ones. What says of stored values (windows, paddings, extremes), and
private attributes, are left behind: of other values they say nothing.
"""

from dataclasses import dataclass, replace

from pydicom import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    MRImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)

OF_SINGLE_IMAGES = ("AcquisitionNumber", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ProtocolName")
_IN_THE_PATIENT = (
    "PatientPosition", "FrameOfReferenceUID", "PositionReferenceIndicator", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "SliceLocation",
    "TemporalPositionIdentifier", "NumberOfTemporalPositions", "ContrastBolusAgent", "ContrastBolusRoute",
)  # fmt: skip
_MR = (
    "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "SequenceName", "AngioFlag",
    "RepetitionTime", "EchoTime", "InversionTime", "TriggerTime", "EchoNumbers", "EchoTrainLength", "FlipAngle",
    "NumberOfAverages", "MagneticFieldStrength", "ImagingFrequency", "ImagedNucleus", "ReceiveCoilName",
    "InPlanePhaseEncodingDirection", "PixelBandwidth",
)  # fmt: skip
_CT = (
    "KVP", "ScanOptions", "ConvolutionKernel", "ReconstructionDiameter", "DataCollectionDiameter", "TableHeight",
    "GantryDetectorTilt", "XRayTubeCurrent", "Exposure", "ExposureTime",
)  # fmt: skip
_PET = (
    "SeriesDate", "SeriesTime", "SeriesType", "NumberOfSlices", "NumberOfTimeSlices", "CountsSource", "CollimatorType",
    "CorrectedImage", "ReconstructionMethod", "RandomsCorrectionMethod", "AttenuationCorrectionMethod",
    "ScatterCorrectionMethod", "DecayCorrection", "DecayFactor", "ImageIndex", "FrameReferenceTime",
    "ActualFrameDuration", "FrameTime", "PatientWeight", "PatientSize", "SUVType",
    "RadiopharmaceuticalInformationSequence", "PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence",
)  # fmt: skip
_RADIOGRAPH = (
    "KVP", "ExposureTime", "XRayTubeCurrent", "Exposure", "DistanceSourceToDetector", "DistanceSourceToPatient",
    "EstimatedRadiographicMagnificationFactor", "ViewPosition", "PatientOrientation", "PixelSpacing",
    "PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription", "ImagerPixelSpacing", "PixelAspectRatio",
)  # fmt: skip
_DIGITAL = (
    "ImageLaterality", "AnatomicRegionSequence", "PositionerType", "ViewCodeSequence", "DetectorType",
    "FieldOfViewOrigin", "FieldOfViewRotation", "FieldOfViewHorizontalFlip", "OrganExposed",
)  # fmt: skip
_ENHANCED = (
    "FrameOfReferenceUID", "PositionReferenceIndicator", "PatientPosition", "VolumetricProperties",
    "VolumeBasedCalculationTechnique", "ComplexImageComponent", "AcquisitionContrast", "ResonantNucleus",
    "MagneticFieldStrength", "ApplicableSafetyStandardAgency", "FrameAnatomySequence",
    "IrradiationEventIdentificationSequence",
)  # fmt: skip
FRAME_GROUPS = ("FrameAnatomySequence", "IrradiationEventIdentificationSequence")
"""Of these functional groups the source's first."""
KEPT: tuple[str, ...] = tuple(dict.fromkeys(
    [*OF_SINGLE_IMAGES, *_IN_THE_PATIENT, *_MR, *_CT, *_PET, *_RADIOGRAPH, *_DIGITAL, *_ENHANCED]
))  # fmt: skip
"""Everything that is taken over by any class."""


@dataclass(frozen=True)
class ImageClass:
    """A SOP class of derived images: `kept` is taken over from the source, `empty` must be there (type 2)."""

    sop_class_uid: str
    sort: str | None = None  # the third value of Image Type; of frames the source's own comes before it
    kept: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    second: str = "SECONDARY"  # value of Image Type; classes that know only PRIMARY say that
    frame_type: str = ""  # the functional group with the type of a frame; classes without have no such groups
    unsigned: bool = False  # stored values have no sign
    has_rescale: bool = False  # stored values go through one, which may change nothing

    @property
    def of_frames(self) -> bool:
        """Whether one object holds all frames of an instance."""
        return bool(self.frame_type) or self.sop_class_uid == MultiFrameGrayscaleWordSecondaryCaptureImageStorage

    def image_type(self, source: Dataset) -> list[str]:
        """DERIVED, and what sort of image it is (PS3.3 C.7.6.1.1.2; of frames C.8.16.1)."""
        if self.frame_type:
            own = list(source.get("ImageType") or [])[2:3]
            return ["DERIVED", self.second, own[0] if own and own[0] else str(self.sort), "NONE"]
        return ["DERIVED", self.second, *([] if self.sort is None else [self.sort])]


_DIGITAL_EMPTY = ("AnatomicRegionSequence", "DetectorType", "AcquisitionContextSequence")
_DX = ImageClass(
    DigitalXRayImageStorageForPresentation, "", _RADIOGRAPH + _DIGITAL, _DIGITAL_EMPTY, unsigned=True, has_rescale=True
)
_MG = replace(_DX, sop_class_uid=DigitalMammographyXRayImageStorageForPresentation)
_CLASSES: dict[str, ImageClass] = {
    MRImageStorage: ImageClass(
        MRImageStorage, "OTHER", _IN_THE_PATIENT + _MR,
        ("ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength", "RepetitionTime", "SliceThickness"),
    ),
    CTImageStorage: ImageClass(
        CTImageStorage, "AXIAL", _IN_THE_PATIENT + _CT, ("KVP", "AcquisitionNumber", "SliceThickness"), has_rescale=True
    ),
    PositronEmissionTomographyImageStorage: ImageClass(
        PositronEmissionTomographyImageStorage, None, _IN_THE_PATIENT + _PET,
        ("CollimatorType", "CorrectedImage", "SliceThickness", "AcquisitionDate", "AcquisitionTime"), "PRIMARY",
        has_rescale=True,
    ),
    ComputedRadiographyImageStorage: ImageClass(
        ComputedRadiographyImageStorage, None, _RADIOGRAPH, ("BodyPartExamined", "ViewPosition")
    ),
    DigitalXRayImageStorageForPresentation: _DX,
    DigitalXRayImageStorageForProcessing: _DX,
    DigitalMammographyXRayImageStorageForPresentation: _MG,
    DigitalMammographyXRayImageStorageForProcessing: _MG,
    EnhancedMRImageStorage: ImageClass(
        EnhancedMRImageStorage, "VOLUME", _ENHANCED, second="PRIMARY", frame_type="MRImageFrameTypeSequence"
    ),
    EnhancedCTImageStorage: ImageClass(
        EnhancedCTImageStorage, "VOLUME", _ENHANCED, second="PRIMARY", frame_type="CTImageFrameTypeSequence"
    ),
    EnhancedPETImageStorage: ImageClass(
        EnhancedPETImageStorage, "VOLUME", _ENHANCED, second="PRIMARY", frame_type="PETFrameTypeSequence"
    ),
}  # fmt: skip
_SINGLE = ImageClass(SecondaryCaptureImageStorage, None, ("PatientOrientation", "PixelSpacing", "PixelAspectRatio"))
_FRAMES = ImageClass(MultiFrameGrayscaleWordSecondaryCaptureImageStorage, unsigned=True, has_rescale=True)
SOP_CLASSES = tuple(dict.fromkeys(c.sop_class_uid for c in (*_CLASSES.values(), _SINGLE, _FRAMES)))


def class_for(source: Dataset, placed: bool) -> ImageClass:
    """The class of images derived from `source`'s: a Secondary Capture where there is no better one.

    Classes with functional groups must say where each frame lies, and so are for images that are `placed`.
    """
    found = _CLASSES.get(str(source.SOPClassUID))
    several = int(source.get("NumberOfFrames") or 1) > 1
    if found and (placed if found.frame_type else not several):
        return found
    return _FRAMES if several else _SINGLE
