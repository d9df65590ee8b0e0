"""What is sent: made-up CT, MR and DX studies, written once at the start."""

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)


@dataclass(frozen=True)
class Kind:
    """One kind of image: how large, and how many studies of how many."""

    modality: str
    sop_class: UID
    size: int  # rows and columns, 16 bits each
    studies: int
    instances: int  # of a study


KINDS = {
    "ct": Kind("CT", CTImageStorage, 512, 16, 40),
    "mr": Kind("MR", MRImageStorage, 256, 16, 80),
    "dx": Kind("DX", DigitalXRayImageStorageForPresentation, 3000, 16, 2),
}


@dataclass(frozen=True)
class Sent:
    """A data set on disk: folders, one a study, and the digest of each instance's data set."""

    first: Path  # a folder with one instance, which is sent before the clock starts
    folders: list[Path]
    digests: dict[str, str]  # sha256 by SOP Instance UID, that of the first too
    size: int  # bytes of all files but the first

    @property
    def count(self) -> int:
        """Instances but the first."""
        return len(self.digests) - 1


def write_images(kind: Kind, folder: Path, share: float = 1.0) -> Sent:
    """Writes the studies of a kind, or a share of the instances of each."""
    rng, digests, size = np.random.default_rng(7), {}, 0
    noise = [rng.normal(0, 25, (kind.size, kind.size)).astype(np.float32) for _ in range(4)]
    first, *folders = (folder / f"study{s:03d}" for s in range(kind.studies + 1))
    for s, study in enumerate((first, *folders)):
        study.mkdir(parents=True)
        ds = _study(kind, s)
        for i in range(max(1, round(kind.instances * share)) if s else 1):
            pixels = np.roll(noise[i % 4], (s * 31 + i * 13) % kind.size, axis=0) + 1024
            _instance(ds, kind, i, pixels.clip(0, 4095).astype("<u2").tobytes())
            data = _file(ds)
            digests[str(ds.SOPInstanceUID)] = hashlib.sha256(_encoded(ds)).hexdigest()
            (study / f"{i:04d}.dcm").write_bytes(data)
            size += len(data) if s else 0
    return Sent(first, folders, digests, size)


def _study(kind: Kind, s: int) -> Dataset:
    """What the instances of a study share: about what a scanner writes."""
    ds = Dataset()
    ds.SpecificCharacterSet, ds.ImageType = "ISO_IR 100", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240517"
    ds.StudyTime, ds.SeriesTime, ds.AcquisitionTime = "100000", "100500", "100501.000"
    ds.AccessionNumber, ds.Modality, ds.Manufacturer = f"BENCH{s:05d}", kind.modality, "Isocenter benchmark"
    ds.InstitutionName, ds.StationName, ds.ManufacturerModelName = "made up", "STATION1", "made up"
    ds.StudyDescription = ds.SeriesDescription = ds.ProtocolName = "made-up images"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = f"Bench^{s}", f"BENCH{s}", "19600101", "O"
    ds.PatientAge, ds.BodyPartExamined, ds.PatientPosition = "064Y", "CHEST", "HFS"
    reference, code = Dataset(), Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", generate_uid()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99BENCH", "made up"
    ds.ReferencedStudySequence, ds.ProcedureCodeSequence = [reference], [code]
    ds.KVP, ds.SliceThickness, ds.SoftwareVersions, ds.DeviceSerialNumber = "120", "1.25", "v1.2.3", "SN1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = generate_uid(), generate_uid(), generate_uid()
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber = "1", 2, 1
    ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.68, 0.68]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", kind.size, kind.size
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth, ds.RescaleIntercept, ds.RescaleSlope = "1100", "800", "-1024", "1"
    return ds


def _instance(ds: Dataset, kind: Kind, i: int, pixels: bytes) -> None:
    ds.SOPClassUID, ds.SOPInstanceUID, ds.InstanceNumber = kind.sop_class, generate_uid(), i + 1
    ds.ImagePositionPatient, ds.SliceLocation = [-175, -175, 1.25 * i], f"{1.25 * i:.3f}"
    ds.PixelData = pixels
    ds["PixelData"].VR = "OW"


def _encoded(ds: Dataset) -> bytes:
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = False, True
    write_dataset(out, ds)
    return out.getvalue()


def _file(ds: Dataset) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()
