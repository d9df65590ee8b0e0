"""Headers of real, odd and broken files."""

import contextlib
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MRImageStorage,
)

from shared.dicom import deflated
from shared.dicom.header import NUMBERS, TEXTS, Header, read_header
from shared.dicom.problems import UnreadableInstance

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def image(**more: Any) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "", "ND"]
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, "1.2.3.4"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    ds.Modality, ds.StudyDescription, ds.PatientID = "MR", "Schädel", "P 1 "
    ds.ReferencedImageSequence = Sequence([Dataset()])
    ds.ReferencedImageSequence[0].ReferencedSOPInstanceUID = "1.9"
    ds.InstanceNumber, ds.NumberOfFrames, ds.Rows, ds.Columns, ds.BitsStored = 7, "1", 4, 5, 12
    ds.BitsAllocated, ds.SamplesPerPixel, ds.PixelRepresentation = 16, 1, 0
    ds.PixelData = bytes(range(40))
    ds["PixelData"].VR = "OW"
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def write(path: Path, ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = MRImageStorage, "1.2.3.4"
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    path.write_bytes(out.getvalue())
    return out.getvalue()


SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_each_encoding_says_the_same(tmp_path: Path, syntax: str) -> None:
    data = write(tmp_path / "a.dcm", image(), syntax)
    header = read_header(tmp_path / "a.dcm")
    assert (header.study_instance_uid, header.series_instance_uid) == ("1.2.3", "1.2.3.1")
    assert (header.sop_instance_uid, header.sop_class_uid) == ("1.2.3.4", MRImageStorage)
    assert header.transfer_syntax_uid == syntax
    assert header.attributes == {
        "modality": "MR", "study_description": "Schädel", "patient_id": "P 1", "instance_number": 7,
        "number_of_frames": 1, "rows": 4, "columns": 5, "bits_stored": 12, "has_pixel_data": True,
        "image_type": "ORIGINAL\\PRIMARY\\\\ND", "specific_character_set": "ISO_IR 100",
    }  # fmt: skip
    body = data[header.data_set_offset :]
    assert (zlib.decompress(body, -15) if syntax == DeflatedExplicitVRLittleEndian else body)[:2] in (
        b"\x08\0",
        b"\0\x08",
    )


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_cut_anywhere_is_never_taken_for_a_whole_one(tmp_path: Path, syntax: str) -> None:
    """Cut between two elements, it may still be read: then it lacks its pixels, which the gates tell."""
    data = write(tmp_path / "a.dcm", image(), syntax)
    for length in range(len(data) - 1):
        header = read_cut(tmp_path / "cut.dcm", data[:length])
        assert header is None or not header.attributes["has_pixel_data"], length


def read_cut(path: Path, data: bytes) -> Header | None:
    path.write_bytes(data)
    with contextlib.suppress(UnreadableInstance):
        return read_header(path)
    return None


def test_cut_fragments(tmp_path: Path) -> None:
    ds = image(PixelData=encapsulate([b"\xff\xd8" + bytes(50), b"\xff\xd8" + bytes(30)]))
    ds["PixelData"].VR = "OB"
    data = write(tmp_path / "a.dcm", ds, JPEGBaseline8Bit)
    assert read_header(tmp_path / "a.dcm").attributes["has_pixel_data"]
    for missing in (1, 8, 9, 20, 50, 90):
        (tmp_path / "a.dcm").write_bytes(data[:-missing])
        with pytest.raises(UnreadableInstance, match="cut"):
            read_header(tmp_path / "a.dcm")
    (tmp_path / "a.dcm").write_bytes(data.replace(b"\xfe\xff\x00\xe0\x34", b"\xfe\xff\x00\x11\x34"))
    with pytest.raises(UnreadableInstance, match="corrupt"):
        read_header(tmp_path / "a.dcm")


def test_empty_pixel_data_is_no_pixel_data(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", image(PixelData=b""))
    assert read_header(tmp_path / "a.dcm").attributes["has_pixel_data"] is False


def test_bytes_after_the_pixels_are_let_pass(tmp_path: Path) -> None:
    padded = image()
    padded.DataSetTrailingPadding = bytes(10)
    data = write(tmp_path / "a.dcm", padded)
    assert read_header(tmp_path / "a.dcm").attributes["has_pixel_data"]
    (tmp_path / "a.dcm").write_bytes(data + b"\0")
    assert read_header(tmp_path / "a.dcm").attributes["has_pixel_data"]


@pytest.mark.parametrize(
    ("element", "absent"),
    [
        (b"\x20\x00\x13\x00IS\x02\x00xx", "instance_number"), (b"\x20\x00\x13\x00IS\x00\x00", "instance_number"),
        (b"\x20\x00\x13\x00IS\x04\x001e99", "instance_number"), (b"\x10\x00\x20\x00LO\x02\x00\x00\x00", "patient_id"),
    ],
)  # fmt: skip
def test_one_bad_value_is_absent_and_refuses_nothing(tmp_path: Path, element: bytes, absent: str) -> None:
    ds = image()
    del ds.InstanceNumber, ds.PatientID
    data = write(tmp_path / "a.dcm", ds)
    at = data.index(b"\x28\x00\x02\x00US")
    (tmp_path / "a.dcm").write_bytes(data[:at] + element + data[at:])
    header = read_header(tmp_path / "a.dcm")
    assert absent not in header.attributes
    assert header.attributes["rows"] == 4


def test_a_deflate_bomb_is_refused_at_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deflated, "_MOST", 2**22)
    data = write(tmp_path / "a.dcm", image(), DeflatedExplicitVRLittleEndian)
    offset = read_header(tmp_path / "a.dcm").data_set_offset
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(2**24)) + packer.flush()
    (tmp_path / "a.dcm").write_bytes(data[:offset] + bomb)
    with pytest.raises(UnreadableInstance, match="inflates to more"):
        read_header(tmp_path / "a.dcm")


def test_deep_nesting_is_refused_not_a_crash(tmp_path: Path) -> None:
    item = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    data = write(tmp_path / "a.dcm", image())
    offset = read_header(tmp_path / "a.dcm").data_set_offset
    (tmp_path / "a.dcm").write_bytes(data[:offset] + item * 20000)
    with pytest.raises(UnreadableInstance):
        read_header(tmp_path / "a.dcm")


def test_a_reason_quotes_no_value(tmp_path: Path) -> None:
    data = write(tmp_path / "a.dcm", image(PatientName="Secret^Name"))
    at = data.index(b"Secret")
    for cut in (at + 3, len(data) - 3):
        (tmp_path / "a.dcm").write_bytes(data[:cut])
        with pytest.raises(UnreadableInstance) as error:
            read_header(tmp_path / "a.dcm")
        assert "Sec" not in error.value.reason


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "none.dcm")


def test_agrees_with_pydicom_on_every_file_of_the_bench(bench: Path) -> None:
    compared = 0
    for path in sorted(p for p in (bench / "data/dicom").rglob("*") if p.is_file() and "malformed" not in p.parts):
        try:
            header = read_header(path)
        except UnreadableInstance:
            continue
        ds = dcmread(path, force=True)
        assert header.study_instance_uid == str(ds.get("StudyInstanceUID") or ""), path
        pixels = any(ds.get(keyword) for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
        assert header.attributes["has_pixel_data"] == pixels, path
        for name, keyword in NUMBERS.items():
            value = ds.get(keyword)
            assert header.attributes.get(name) == (None if value in (None, "") else int(value)), (path, name)
        for name in TEXTS:
            assert isinstance(header.attributes.get(name, "absent"), str)
        assert header.attributes.get("modality", "") == str(ds.get("Modality") or ""), path
        compared += 1
    assert compared > 440


@pytest.mark.parametrize(
    "inside", [b"", b"\xfe\xff\x00", b"\xfe\xff\x00\xe0\xff\xff\xff\xff"], ids=["head", "tag", "item"]
)
def test_a_file_cut_inside_a_sequence_is_no_fault_of_the_disk(tmp_path: Path, inside: bytes) -> None:
    """pydicom says so with an OSError, for which the sender would be asked to send it again, for ever."""
    data = write(tmp_path / "a.dcm", image(), ExplicitVRLittleEndian)
    offset = read_header(tmp_path / "a.dcm").data_set_offset
    (tmp_path / "a.dcm").write_bytes(data[:offset] + b"\x08\x00\x32\x10SQ\x00\x00\xff\xff\xff\xff" + inside)
    with pytest.raises(UnreadableInstance, match="OSError"):
        read_header(tmp_path / "a.dcm")


def test_values_without_end_do_not_lead_the_parser_in_circles(tmp_path: Path) -> None:
    """For each it looks up to the end of the file, and then goes on behind it."""
    head = write(tmp_path / "a.dcm", image(), ExplicitVRLittleEndian)
    offset = read_header(tmp_path / "a.dcm").data_set_offset
    sequence = b"\x09\x00\x32\x10SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    endless = b"\x09\x00\x33\x10OB\x00\x00\xff\xff\xff\xff"
    (tmp_path / "a.dcm").write_bytes(head[:offset] + (sequence + endless) * 60 + bytes(2**20))
    with pytest.raises(UnreadableInstance):
        read_header(tmp_path / "a.dcm")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_text_without_measure_is_cut(tmp_path: Path, syntax: str) -> None:
    """It would go into the index row, and thousands of these wait in memory when the database is away."""
    write(tmp_path / "a.dcm", image(StudyDescription="x" * 60_000), syntax)
    assert read_header(tmp_path / "a.dcm").attributes["study_description"] == "x" * 1024
