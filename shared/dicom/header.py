"""Reads what collect, decide and the gates look at from a stored instance, without touching its pixels.

Anything may be in the file: what can't be read is told by one exception, with a reason fit for a person and free of
patient data.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from shared.dicom.deflated import Inflated, inflate
from shared.dicom.once import Once
from shared.dicom.problems import UnreadableInstance
from shared.dicom.scan import Encoded, Odd, Scanned, Short, scan, scan_file_meta
from shared.dicom.tail import check_tail

TEXTS = {
    "modality": "Modality", "body_part_examined": "BodyPartExamined", "study_description": "StudyDescription",
    "series_description": "SeriesDescription", "protocol_name": "ProtocolName", "patient_id": "PatientID",
    "accession_number": "AccessionNumber", "study_date": "StudyDate", "manufacturer": "Manufacturer",
    "manufacturer_model_name": "ManufacturerModelName", "image_type": "ImageType", "patient_sex": "PatientSex",
    "patient_birth_date": "PatientBirthDate", "view_position": "ViewPosition",
    "image_laterality": "ImageLaterality", "photometric_interpretation": "PhotometricInterpretation",
    "specific_character_set": "SpecificCharacterSet",
}  # fmt: skip
NUMBERS = {
    "series_number": "SeriesNumber", "instance_number": "InstanceNumber", "rows": "Rows", "columns": "Columns",
    "number_of_frames": "NumberOfFrames", "bits_stored": "BitsStored",
}  # fmt: skip

UIDS = {
    "study_instance_uid": "StudyInstanceUID", "series_instance_uid": "SeriesInstanceUID",
    "sop_instance_uid": "SOPInstanceUID", "sop_class_uid": "SOPClassUID",
}  # fmt: skip

_TAGS = {name: tag_for_keyword(keyword) or 0 for name, keyword in {**UIDS, **TEXTS, **NUMBERS}.items()}
_WANTED = {tag: dictionary_VR(tag) for tag in _TAGS.values()}
_STARTS = (2**14, 2**20)  # bytes to scan: most headers, and those with large private elements
_STANDARD = "1.2.840.10008.1.2"
_PREFIX = 132  # PS3.10 7.1: preamble and "DICM"
_PIXEL_GROUP = 0x7FE0
_MOST_CHARACTERS = 1024
_IMPLICIT = {ImplicitVRLittleEndian, "1.2.840.113619.5.2", "1.2.840.10008.1.20"}  # GE's private one, Papyrus 3


@dataclass(frozen=True)
class Header:
    """What an instance says of itself.

    `attributes` holds strings as in the file (values of a multi-valued element joined by a backslash) and whole
    numbers as int; what is missing, empty or not readable is absent. `has_pixel_data` is always there.
    `data_set_offset` is where the data set begins in the file, after the File Meta Information.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    data_set_offset: int
    attributes: dict[str, Any] = field(default_factory=dict)


def read_header(path: Path) -> Header:
    """Reads the header of a Part 10 file.

    The data set is walked to its end (pixel data is stepped over), so that a cut file is noticed.

    Raises:
        UnreadableInstance: it is no DICOM file, or it is cut or corrupt.
        OSError: the file itself can't be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return _scan_file(file, size) or parse_header(file, size)


def scan_header(start: Encoded, size: int, transfer_syntax_uid: str, data_set_offset: int) -> Header | None:
    """The header of a data set of which only the beginning is at hand; what `read_header` says of the whole file.

    Args:
        start: the data set's first bytes, as received: up to its pixel data, or all.
        size: bytes of the whole data set.
        transfer_syntax_uid: its encoding.
        data_set_offset: where it will begin in its file.

    Returns:
        None where only the whole file can tell, or where pydicom is to look: `read_header` then says what is wrong.
    """
    try:
        found = _scan(start, size, transfer_syntax_uid)
    except Odd:
        return None
    if found.has_pixel_data is None:
        return None
    return _header(found, found.has_pixel_data, transfer_syntax_uid, data_set_offset)


def _scan_file(file: IO[bytes], size: int) -> Header | None:
    for length in _STARTS:
        file.seek(0)
        start = file.read(length)
        try:
            syntax, offset = scan_file_meta(start)
            found = _scan(memoryview(start)[offset:], size - offset, syntax)
        except Short:
            continue
        except Odd:
            return None
        pixels = found.has_pixel_data
        if pixels is None:
            file.seek(offset + found.tail_at)
            pixels = check_tail(file, size, _is_implicit(syntax), _is_little(syntax))
        return _header(found, pixels, syntax, offset)
    return None


def _scan(start: Encoded, size: int, transfer_syntax_uid: str) -> Scanned:
    if not transfer_syntax_uid.startswith(_STANDARD) or transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        raise Odd
    return scan(start, size, _is_implicit(transfer_syntax_uid), _is_little(transfer_syntax_uid), _WANTED)


def _header(found: Scanned, pixels: bool, transfer_syntax_uid: str, data_set_offset: int) -> Header:
    said: dict[str, Any] = {name: found.values[tag] for name, tag in _TAGS.items() if tag in found.values}
    uids = {name: said.pop(name, "") for name in UIDS}
    said = _bounded(said)
    said["has_pixel_data"] = pixels
    return Header(**uids, transfer_syntax_uid=transfer_syntax_uid, data_set_offset=data_set_offset, attributes=said)


def _is_implicit(transfer_syntax_uid: str) -> bool:
    return transfer_syntax_uid in _IMPLICIT


def _is_little(transfer_syntax_uid: str) -> bool:
    return transfer_syntax_uid != ExplicitVRBigEndian


def parse_header(file: IO[bytes], size: int) -> Header:
    """The same by pydicom, which knows what to make of the odd.

    Raises:
        UnreadableInstance: as `read_header`.
    """
    file.seek(0)
    try:
        return _read(Once(file, size), size)
    except UnreadableInstance:
        raise
    except Exception as error:  # pydicom raises many kinds on malformed bytes, RecursionError among them
        if isinstance(error, OSError) and error.errno is not None:  # the disk's; pydicom's own have no number
            raise
        raise UnreadableInstance(f"the data set can't be parsed ({type(error).__name__})") from error


def _read(file: Any, size: int) -> Header:
    meta, offset = _file_meta(file)
    transfer_syntax_uid = _text(meta, "TransferSyntaxUID")
    if not transfer_syntax_uid:
        raise UnreadableInstance("the File Meta Information names no transfer syntax")
    file.seek(offset)
    deflated = transfer_syntax_uid == DeflatedExplicitVRLittleEndian
    body: Any = inflate(file) if deflated else file
    bounded: Any = Once(body, body.size) if deflated else body
    ds = read_dataset(
        bounded,
        is_implicit_VR=_is_implicit(transfer_syntax_uid),
        is_little_endian=_is_little(transfer_syntax_uid),
        stop_when=lambda tag, _vr, _length: tag.group == _PIXEL_GROUP,
    )
    if not ds:
        raise UnreadableInstance("the data set is empty or can't be parsed")
    implicit, little = ds.original_encoding
    _check_last_element(ds, body.tell(), body.size if isinstance(body, Inflated) else size)
    pixels = check_tail(body, body.size if isinstance(body, Inflated) else size, bool(implicit), bool(little))
    return Header(
        **{name: _text(ds, keyword) for name, keyword in UIDS.items()},
        transfer_syntax_uid=transfer_syntax_uid,
        data_set_offset=offset,
        attributes={**_attributes(ds), "has_pixel_data": pixels},
    )


def _file_meta(file: IO[bytes]) -> tuple[Dataset, int]:
    """The File Meta Information and where it ends (PS3.10 7.1)."""
    if file.read(_PREFIX)[128:] != b"DICM":
        raise UnreadableInstance("no DICOM file: the prefix DICM is missing")
    start = file.read(12)
    says_length = start[:8] == b"\x02\x00\x00\x00UL\x04\x00"
    offset = _PREFIX + 12 + int.from_bytes(start[8:], "little") if says_length else 0
    file.seek(_PREFIX)
    meta = read_dataset(
        file,  # type: ignore[arg-type]
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag.group != 2 or (offset > 0 and file.tell() > offset),
    )
    return meta, offset or file.tell()


def _check_last_element(ds: Dataset, position: int, size: int) -> None:
    """pydicom takes a value that the end of the file has cut as it is: the last one tells."""
    last = ds.get_item(max(ds.keys()))
    length = getattr(last, "length", None)
    value = getattr(last, "value", None)
    if length is None or not isinstance(value, bytes):
        return
    if position >= size and length != 0xFFFFFFFF and len(value) < length:
        raise UnreadableInstance(f"the data set is cut: its last element lacks {length - len(value)} bytes")


def _attributes(ds: Dataset) -> dict[str, Any]:
    texts = {name: _text(ds, keyword) for name, keyword in TEXTS.items()}
    numbers = {name: _number(ds, keyword) for name, keyword in NUMBERS.items()}
    return _bounded({name: value for name, value in {**texts, **numbers}.items() if value not in ("", None)})


def _bounded(attributes: dict[str, Any]) -> dict[str, Any]:
    """Without what no database row should be made of: these texts have 64 characters by PS3.5, and a file may lie."""
    return {name: v[:_MOST_CHARACTERS] if isinstance(v, str) else v for name, v in attributes.items()}


def _text(ds: Dataset, keyword: str) -> str:
    """The value as text, without what no database takes: NUL and lone surrogates."""
    try:
        value = ds.get(keyword)
    except Exception:  # one bad value is no reason to refuse the instance
        return ""
    if value is None:
        return ""
    text = "\\".join(str(part) for part in value) if isinstance(value, MultiValue | list) else str(value)
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8").strip()


def _number(ds: Dataset, keyword: str) -> int | None:
    text = _text(ds, keyword).split("\\")[0]
    try:
        number = int(float(text))
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 2**31 else None  # PS3.5 6.2: what an IS can hold
