"""Wraps generated pixels into the DICOM objects that a scanner would send: the modality of the demo and the tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    UID,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

from shared.uids import derived_uid

# ImageOrientationPatient and the step from slice to slice, both in LPS (PS3.3 C.7.6.2.1.1).
_PLANES = {
    "axial": ((1, 0, 0, 0, 1, 0), (0, 0, 1)),
    "sagittal": ((0, 1, 0, 0, 0, -1), (1, 0, 0)),
    "coronal": ((1, 0, 0, 0, 0, -1), (0, 1, 0)),
}
_PEAK = 3600  # where a volume's 99.9th percentile comes to lie in 12 bits


@dataclass(frozen=True)
class Patient:
    """Somebody who does not exist, and whose name says so."""

    name: str
    patient_id: str
    birth_date: str = "19700101"
    sex: str = "O"


@dataclass(frozen=True)
class Visit:
    """One study of one invented patient: everything that its objects and its order must agree on.

    UIDs derive from the accession number and `salt`: the same visit gives the same objects, another salt new ones.
    """

    patient: Patient
    accession_number: str
    started: datetime = field(default=datetime(2026, 1, 15, 9, 30))
    salt: str = ""

    def uid(self, *parts: str) -> str:
        """A UID of this visit for whatever `parts` name."""
        return derived_uid("phantom", self.salt, self.accession_number, *parts)

    @property
    def study_instance_uid(self) -> str:
        """The study's UID."""
        return self.uid("study")


BRAIN_PATIENT = Patient("PHANTOM^BRAIN", "ISO-PHANTOM-BRAIN", "19620314", "F")
CHEST_PATIENT = Patient("PHANTOM^CHEST", "ISO-PHANTOM-CHEST", "19551102", "M")
SPINE_PATIENT = Patient("PHANTOM^SPINE", "ISO-PHANTOM-SPINE", "20110727", "F")


def mr_series(
    volume: NDArray[np.float32],
    visit: Visit,
    *,
    series_number: int = 1,
    series_description: str = "T1 SE AX",
    spacing_mm: tuple[float, float] = (5.0, 0.9),
    plane: str = "axial",
) -> list[Dataset]:
    """An MR series (MR Image Storage) of `volume`, (slices, rows, columns), in any unit from 0 up.

    Args:
        visit: whose study; series of one visit share study and frame of reference.
        series_number: tells the series of a visit apart, and so their UIDs.
        spacing_mm: from slice to slice, and from pixel to pixel.
        plane: axial (rows to the back, columns to the left), sagittal or coronal (rows to the feet).

    Raises:
        ValueError: for a volume that is not three-dimensional or an unknown plane.
    """
    if volume.ndim != 3 or plane not in _PLANES:
        raise ValueError(f"a volume has three dimensions and a plane is one of {', '.join(_PLANES)}")
    scale = _PEAK / max(float(np.percentile(volume, 99.9)), 1e-6)
    pixels = np.clip(np.round(volume * scale), 0, 4095).astype(np.uint16)
    return [
        _mr_slice(pixels[index], visit, index, (len(pixels), series_number), series_description, spacing_mm, plane)
        for index in range(len(pixels))
    ]


def _mr_slice(
    pixels: NDArray[np.uint16],
    visit: Visit,
    index: int,
    of_series: tuple[int, int],
    description: str,
    spacing_mm: tuple[float, float],
    plane: str,
) -> Dataset:
    """One slice; `of_series` is the number of slices and the series number."""
    slices, number = of_series
    ds = composite(visit, MRImageStorage, "MR", ("series", str(number)), index + 1)
    ds.StudyDescription, ds.SeriesDescription, ds.ProtocolName = "MR Brain", description, description
    ds.SeriesNumber, ds.BodyPartExamined, ds.PatientPosition = number, "BRAIN", "HFS"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = visit.uid("frame"), None
    orientation, step = _PLANES[plane]
    ds.ImageOrientationPatient = list(orientation)
    ds.ImagePositionPatient = position(pixels.shape, index, slices, spacing_mm, orientation, step)
    ds.SliceLocation = round((index - (slices - 1) / 2) * spacing_mm[0], 3)
    ds.SliceThickness, ds.SpacingBetweenSlices = min(5.0, spacing_mm[0]), spacing_mm[0]
    ds.PixelSpacing = [spacing_mm[1], spacing_mm[1]]
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "NONE", None, "2D"
    ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength, ds.FlipAngle = 520, 11, 1, 90
    ds.MagneticFieldStrength, ds.ImagingFrequency, ds.ImagedNucleus, ds.NumberOfAverages = 1.5, 63.87, "1H", 1
    ds.WindowCenter, ds.WindowWidth = 1500, 3000
    put_pixels(ds, pixels)
    return ds


def ct_series(
    volume: NDArray[np.int16], visit: Visit, *, spacing_mm: tuple[float, float], series_number: int = 1
) -> list[Dataset]:
    """An axial chest CT series (CT Image Storage) of `volume`, (slices, rows, columns) in HU from -1024 to 3071.

    Args:
        visit: whose study; series of one visit share study and frame of reference.
        spacing_mm: from slice to slice, feet first, and from pixel to pixel.
        series_number: tells the series of a visit apart, and so their UIDs.

    Raises:
        ValueError: for a volume that is not three-dimensional or not within 12 bits.
    """
    if volume.ndim != 3 or volume.min() < -1024 or volume.max() > 3071:
        raise ValueError("a volume has three dimensions and holds -1024 to 3071 HU")
    stored = (volume.astype(np.int32) + 1024).astype(np.uint16)
    return [_ct_slice(stored, visit, index, series_number, spacing_mm) for index in range(len(stored))]


def _ct_slice(
    pixels: NDArray[np.uint16], visit: Visit, index: int, number: int, spacing_mm: tuple[float, float]
) -> Dataset:
    """One slice of all `pixels`."""
    ds = composite(visit, CTImageStorage, "CT", ("series", str(number)), index + 1)
    ds.StudyDescription, ds.SeriesDescription, ds.ProtocolName = "CT Chest", "Chest axial", "Chest"
    ds.SeriesNumber, ds.BodyPartExamined, ds.PatientPosition = number, "CHEST", "HFS"
    ds.ImageType, ds.AcquisitionNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], 1
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = visit.uid("frame"), None
    orientation, step = _PLANES["axial"]
    ds.ImageOrientationPatient = list(orientation)
    ds.ImagePositionPatient = position(pixels.shape[1:], index, len(pixels), spacing_mm, orientation, step)
    ds.SliceLocation = round((index - (len(pixels) - 1) / 2) * spacing_mm[0], 3)
    ds.SliceThickness, ds.SpacingBetweenSlices = round(spacing_mm[0], 6), round(spacing_mm[0], 6)
    ds.PixelSpacing = [round(spacing_mm[1], 6)] * 2
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
    ds.KVP, ds.XRayTubeCurrent, ds.ExposureTime, ds.ConvolutionKernel = 120, 180, 500, "STANDARD"
    ds.WindowCenter, ds.WindowWidth = -500, 1500
    put_pixels(ds, pixels[index])
    return ds


def position(
    shape: tuple[int, ...],
    index: int,
    slices: int,
    spacing_mm: tuple[float, float],
    orientation: Sequence[int],
    step: Sequence[int],
) -> list[float]:
    """Centre of the first pixel in LPS mm; the volume's middle lies at the origin."""
    between, within = spacing_mm
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    corner = -along_row * (shape[1] - 1) / 2 * within - along_column * (shape[0] - 1) / 2 * within
    return [round(float(value), 4) for value in corner + np.array(step) * (index - (slices - 1) / 2) * between]


def dx_image(
    pixels: NDArray[np.uint16], visit: Visit, *, spacing_mm: float, series_number: int = 1, instance_number: int = 1
) -> Dataset:
    """A PA chest radiograph (Digital X-Ray Image Storage - For Presentation) of 12-bit `pixels`, (rows, columns).

    `spacing_mm` is that of the detector; the patient's is the same, since nothing here magnifies.
    """
    ds = _projection(visit, ("CHEST", "PA"), "Chest PA", (series_number, instance_number), (spacing_mm, spacing_mm))
    ds.AnatomicRegionSequence = [coded(codes.SCT.Chest)]
    ds.ViewCodeSequence = [coded(codes.SCT.PosteroAnterior)]
    put_pixels(ds, pixels)
    return ds


def spine_image(
    pixels: NDArray[np.uint16],
    visit: Visit,
    *,
    spacing_mm: tuple[float, float],
    inverted: bool = False,
    series_number: int = 1,
    instance_number: int = 1,
) -> Dataset:
    """An AP whole-spine radiograph (as `dx_image`) of 12-bit `pixels`, (rows, columns), bright where dense.

    `spacing_mm` is between rows, between columns; `inverted` stores it dark where dense, as MONOCHROME1.
    """
    ds = _projection(visit, ("SPINE", "AP"), "Whole spine AP", (series_number, instance_number), spacing_mm)
    ds.AnatomicRegionSequence = [coded(codes.SCT.StructureOfVertebralColumn)]
    ds.ViewCodeSequence = [coded(codes.SCT.AnteroPosterior)]
    put_pixels(ds, 4095 - pixels if inverted else pixels)
    if inverted:
        ds.PhotometricInterpretation, ds.PresentationLUTShape = "MONOCHROME1", "INVERSE"
        ds.PixelIntensityRelationshipSign = 1
    return ds


def _projection(
    visit: Visit, of: tuple[str, str], name: str, number: tuple[int, int], spacing_mm: tuple[float, float]
) -> Dataset:
    """A radiograph without its pixels: `of` body part and view, `number` of the series and the instance."""
    body_part, view = of
    ds = composite(visit, DigitalXRayImageStorageForPresentation, "DX", ("series", str(number[0])), number[1])
    ds.StudyDescription, ds.SeriesDescription, ds.ProtocolName = f"XR {name}", name, name
    ds.SeriesNumber, ds.BodyPartExamined, ds.ViewPosition = number[0], body_part, view
    ds.ImageType, ds.PresentationIntentType = ["ORIGINAL", "PRIMARY", ""], "FOR PRESENTATION"
    ds.PatientOrientation, ds.ImageLaterality = ["L", "F"], "U"
    ds.PixelSpacing = ds.ImagerPixelSpacing = [round(step, 6) for step in spacing_mm]
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType, ds.PresentationLUTShape = 0, 1, "US", "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.LossyImageCompression, ds.BurnedInAnnotation = "00", "NO"
    ds.DetectorType, ds.DetectorID, ds.DetectorConfiguration = "SCINTILLATOR", "ISO-PHANTOM", "AREA"
    ds.PositionerType, ds.KVP, ds.ExposureTime, ds.Exposure, ds.Grid = "NONE", 120, 8, 2, "FIXED"
    ds.DistanceSourceToDetector, ds.AcquisitionContextSequence = 1800, []
    return ds


def composite(visit: Visit, sop_class: UID, modality: str, series: tuple[str, str], instance: int) -> Dataset:
    """What every object of a visit carries: patient, study, series, equipment and SOP common (PS3.3 A.1)."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, UID(visit.uid(*series, "instance", str(instance)))
    ds.StudyInstanceUID, ds.SeriesInstanceUID = visit.study_instance_uid, visit.uid(*series)
    ds.PatientName, ds.PatientID = visit.patient.name, visit.patient.patient_id
    ds.PatientBirthDate, ds.PatientSex = visit.patient.birth_date, visit.patient.sex
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = visit.accession_number, "1", "PHANTOM^REFERRER"
    ds.Modality, ds.InstanceNumber = modality, instance
    acquired = visit.started + timedelta(seconds=20 + instance)
    ds.StudyDate, ds.StudyTime = visit.started.strftime("%Y%m%d"), visit.started.strftime("%H%M%S")
    ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = acquired.strftime("%Y%m%d")
    ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = acquired.strftime("%H%M%S")
    ds.Manufacturer, ds.ManufacturerModelName = "Isocenter Phantoms", "Made-up scanner"
    ds.InstitutionName, ds.StationName = "Phantom Hospital", f"PHANTOM{modality}"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "0001", "1"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = sop_class, ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    return ds


def put_pixels(ds: Dataset, pixels: NDArray[np.uint16]) -> None:
    """Twelve bits in sixteen, unsigned, bright where high."""
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelData = np.ascontiguousarray(pixels, "<u2").tobytes()
    ds["PixelData"].VR = "OW"


def coded(code: Code) -> Dataset:
    """A code sequence item (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
