"""Made-up studies as files, small and of nobody: what the modalities push. Imports nothing of the product."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.chaos.plan import IMAGES, StudyPlan

_SOP_CLASSES = {
    "DX": "1.2.840.10008.5.1.4.1.1.1.1", "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CT": "1.2.840.10008.5.1.4.1.1.2", "US": "1.2.840.10008.5.1.4.1.1.6.1",
}  # fmt: skip
_PARTS = {"DX": "CHEST", "MR": "BRAIN", "CT": "ABDOMEN", "US": "NECK"}
_SIZES = {"DX": 256, "MR": 96, "CT": 128, "US": 128}


@dataclass(frozen=True)
class Image:
    """One file to be sent. `digest` is that of its data set's bytes."""

    path: Path
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    digest: str


@dataclass
class MadeUpStudy:
    """A study's files: those of the first push, the late ones, and those with other bytes under a UID of the first."""

    plan: StudyPlan
    study_instance_uid: str
    accession_number: str
    images: list[Image] = field(default_factory=list)
    late: list[Image] = field(default_factory=list)
    others: list[Image] = field(default_factory=list)


def make_study(plan: StudyPlan, folder: Path, salt: str) -> MadeUpStudy:
    """Writes the files of one study below `folder`; `salt` makes its UIDs this run's own."""
    study = MadeUpStudy(plan, _uid(salt, plan.number), f"{plan.kind}{plan.number:05d}{salt[:6]}")
    count = IMAGES[plan.kind]
    study.images = [_write(study, folder, salt, n) for n in range(count)]
    if plan.late:
        study.late = [_write(study, folder, salt, count)]
    if plan.other_bytes:
        study.others = [_write(study, folder, salt, 0, other=True)]
    return study


def data_set_digest(content: bytes) -> str:
    """SHA-256 of a Part 10 file's data set: what lies behind the File Meta Information (PS3.10 7.1)."""
    return hashlib.sha256(_data_set(content)).hexdigest()


def as_the_book_says_it(content: bytes, like: str) -> str:
    """The digest of the same with its algorithm before it, which is that of another such value."""
    algorithm, data_set = like.partition(":")[0], _data_set(content)
    if algorithm == "blake3":
        from blake3 import blake3  # not on every platform, and then in no book

        return f"blake3:{blake3(data_set).hexdigest()}"
    return f"{algorithm}:{hashlib.new(algorithm, data_set).hexdigest()}"


def _data_set(content: bytes) -> bytes:
    return content[144 + int.from_bytes(content[140:144], "little") :]


def _uid(salt: str, *parts: object) -> str:
    return str(generate_uid(prefix="1.2.826.0.1.3680043.8.498.", entropy_srcs=[salt, *map(str, parts)]))


def _write(study: MadeUpStudy, folder: Path, salt: str, number: int, other: bool = False) -> Image:
    ds = _header(study, salt, number)
    _pixels(ds, study.plan, number)
    if other:
        ds.ImageComments = "sent again with other bytes"
    path = folder / f"{study.plan.number:05d}-{number:03d}{'-other' * other}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return Image(
        path, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, ds.SOPClassUID,
        data_set_digest(path.read_bytes()),
    )  # fmt: skip


def _header(study: MadeUpStudy, salt: str, number: int) -> Dataset:
    plan, ds = study.plan, Dataset()
    at = datetime(2026, 3, 2, 8) + timedelta(minutes=plan.number, seconds=number)
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID, ds.SOPInstanceUID = _SOP_CLASSES[plan.kind], _uid(salt, plan.number, "image", number)
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = at.strftime("%Y%m%d")
    ds.StudyTime, ds.ContentTime = at.strftime("%H%M00"), at.strftime("%H%M%S")
    ds.AccessionNumber, ds.Modality, ds.Manufacturer = study.accession_number, plan.kind, "Made up"
    ds.ReferringPhysicianName, ds.StudyDescription = "CHAOS^REFERRER", f"{plan.kind} {_PARTS[plan.kind]}"
    ds.PatientName, ds.PatientID = f"CHAOS^{plan.number:05d}", f"CHAOS-{plan.number:05d}"
    ds.PatientBirthDate, ds.PatientSex, ds.BodyPartExamined = "19700101", "O", _PARTS[plan.kind]
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study.study_instance_uid, _uid(salt, plan.number, "series")
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber, ds.ImageType = "1", 1, number + 1, ["ORIGINAL", "PRIMARY"]
    if plan.kind == "DX":
        ds.ViewPosition, ds.PresentationIntentType, ds.PixelSpacing = "PA", "FOR PRESENTATION", [1.4, 1.4]
    else:
        ds.FrameOfReferenceUID, ds.PixelSpacing = _uid(salt, plan.number, "frame"), [1, 1]
        ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 5 * number]
        ds.SliceThickness = 5
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return ds


def _pixels(ds: Dataset, plan: StudyPlan, number: int) -> None:
    """A bright disc in noise, another one in each image: neither blank nor doubled."""
    size, dice = _SIZES[plan.kind], np.random.default_rng([plan.number, number])
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    disc = np.clip(1.2 - np.hypot(x * 1.2, y) - 0.02 * number, 0, 1)
    pixels = np.clip(disc * 2500 + dice.normal(400, 60, (size, size)), 0, 4095).astype("<u2")
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", size, size
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth, ds.RescaleIntercept, ds.RescaleSlope = 1500, 3000, 0, 1
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
