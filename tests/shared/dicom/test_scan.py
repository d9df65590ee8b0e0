"""The scan says what pydicom says, or nothing."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
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

from shared.dicom import header
from shared.dicom.header import Header, parse_header, read_header, scan_header
from shared.dicom.problems import UnreadableInstance
from shared.dicom.scan import Odd, scan, scan_file_meta
from shared.phantoms.dicom import BRAIN_PATIENT, Visit, mr_series

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEGBaseline8Bit]


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """As collect has it: pydicom judges no value."""
    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    yield
    config.settings.reading_validation_mode = before
    logging.getLogger("pydicom").setLevel(logging.NOTSET)


def image(undefined_lengths: bool = True, **more: Any) -> Dataset:
    """An image with what scanners write before its pixels: sequences in sequences, private elements, large ones."""
    ds, item, inner = Dataset(), Dataset(), Dataset()
    ds.SpecificCharacterSet, ds.ImageType = "ISO_IR 100", ["ORIGINAL", "PRIMARY", "", "ND"]
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, "1.2.3.4"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    ds.Modality, ds.StudyDescription, ds.PatientID, ds.StudyDate = "MR", "Schädel", "P 1 ", "20260102"
    ds.Manufacturer, ds.PatientSex, ds.AccessionNumber = "ACME", "O", ""
    inner.CodeValue, inner.CodeMeaning = "T1", "Kopf"
    item.ReferencedSOPInstanceUID, item.PurposeOfReferenceCodeSequence = "1.9", Sequence([inner, Dataset()])
    item.SpecificCharacterSet = "ISO_IR 192"
    ds.ReferencedImageSequence = Sequence([item, Dataset()])
    block = ds.private_block(0x0029, "ACME", create=True)
    block.add_new(0x10, "OB", bytes(range(256)))
    block.add_new(0x11, "SQ", Sequence([inner]))
    ds.InstanceNumber, ds.SeriesNumber, ds.NumberOfFrames, ds.Rows, ds.Columns, ds.BitsStored = 7, -2, "1", 4, 5, 12
    ds.BitsAllocated, ds.SamplesPerPixel, ds.PixelRepresentation = 16, 1, 0
    ds.PixelData = bytes(range(40))
    ds["PixelData"].VR = "OW"
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    if undefined_lengths:
        for element in ds.iterall():
            if element.VR == "SQ":
                element.is_undefined_length = True
                for one in element.value:
                    one.is_undefined_length_sequence_item = True
    return ds


def written(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The file of a data set."""
    if UID(syntax).is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        ds.PixelData = encapsulate([b"\xff\xd8" + bytes(30), b"\xff\xd8" + bytes(20)])
        ds["PixelData"].VR = "OB"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = MRImageStorage, "1.2.3.4"
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def by_pydicom(data: bytes) -> Header | str:
    """The header, or why it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return parse_header(BytesIO(data), len(data))
        except UnreadableInstance as error:
            return error.reason


def by_scan(data: bytes) -> Header | str | None:
    """The same by the scan of a file; None: it is odd."""
    try:
        return header._scan_file(BytesIO(data), len(data))
    except UnreadableInstance as error:
        return error.reason


def beginning(data: bytes, length: int | None = None) -> Header | None:
    """The same by the scan of the data set's first bytes."""
    syntax, offset = scan_file_meta(data)
    body = memoryview(data)[offset:]
    return scan_header(body[:length], len(body), syntax, offset)


def agree(data: bytes) -> bool:
    """Holds the scan against pydicom; False: the scan leaves it to pydicom."""
    found, early = by_scan(data), None
    with contextlib.suppress(Odd):
        early = beginning(data)
    if found is not None or early is not None:
        expected = by_pydicom(data)
        assert found in (None, expected)
        assert early in (None, expected)
    return found is not None


@pytest.mark.parametrize("undefined_lengths", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_ordinary_files_take_the_fast_way(syntax: str, undefined_lengths: bool) -> None:
    data = written(image(undefined_lengths), syntax)
    found = by_scan(data)
    assert found == by_pydicom(data)
    assert isinstance(found, Header)
    assert found.attributes == {
        "modality": "MR", "study_description": "Schädel", "patient_id": "P 1", "study_date": "20260102",
        "manufacturer": "ACME", "patient_sex": "O", "series_number": -2, "instance_number": 7, "number_of_frames": 1,
        "rows": 4, "columns": 5, "bits_stored": 12, "has_pixel_data": True, "image_type": "ORIGINAL\\PRIMARY\\\\ND",
        "specific_character_set": "ISO_IR 100",
    }  # fmt: skip


@pytest.mark.parametrize("syntax", SYNTAXES[:3])
def test_the_beginning_is_enough_for_uncompressed_pixels(syntax: str) -> None:
    data = written(image(PixelData=bytes(100000)), syntax)
    assert beginning(data, 2000) == by_pydicom(data)
    assert beginning(memoryview(data).tobytes()[:-1], 2000) is None  # cut
    assert beginning(data, 300) is None  # too short to say
    assert beginning(written(image(DataSetTrailingPadding=bytes(40)), syntax)) is None  # more comes after the pixels


def test_a_compressed_image_is_judged_from_its_file(tmp_path: Path) -> None:
    data = written(image(), JPEGBaseline8Bit)
    assert beginning(data) is None
    (tmp_path / "a.dcm").write_bytes(data)
    assert read_header(tmp_path / "a.dcm") == by_scan(data) == by_pydicom(data)


def test_no_pixels() -> None:
    ds = image()
    del ds.PixelData
    data = written(ds)
    assert beginning(data) == by_scan(data) == by_pydicom(data)
    data = written(image(PixelData=b""))
    assert beginning(data) == by_scan(data) == by_pydicom(data)


def test_large_private_elements_are_stepped_over() -> None:
    ds = image()
    ds.private_block(0x0029, "ACME").add_new(0x20, "OB", bytes(300000))
    data = written(ds)
    assert beginning(data, 65536) is None
    assert isinstance(by_scan(data), Header)
    assert agree(data)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_cut_anywhere(syntax: str) -> None:
    data = written(image(), syntax)
    for length in range(len(data)):
        agree(data[:length])


COMBINED = [
    "\\ISO 2022 IR 87",
    "ISO_IR 13\\ISO 2022 IR 87",
    "ISO 2022 IR 6\\ISO 2022 IR 100",
    "ISO_IR 192\\ISO 2022 IR 87",
]


@pytest.mark.parametrize("character_set", [*python_encoding, *COMBINED, "ISO-IR 100", "nonsense"])
def test_character_sets(character_set: str) -> None:
    for text in (
        bytes(range(0x20, 0x7F)),
        "Schädel^Ärzte".encode("latin-1"),
        "Müller 山田".encode(),
        b"\x1b$B;3ED\x1b(B",
    ):
        data = written(image(PatientID="0" * 200)).replace(b"0" * 200, text + b" " * (200 - len(text)))
        charset = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"
        assert charset in data
        value = character_set.encode() + b" " * (len(character_set) % 2)
        agree(data.replace(charset, charset[:6] + len(value).to_bytes(2, "little") + value))


def test_ascii_text_takes_the_fast_way_in_every_character_set() -> None:
    for character_set in ("ISO_IR 192", "ISO_IR 144", "GB18030", "\\ISO 2022 IR 87", ""):
        ds = image(StudyDescription="Kopf")
        del ds.SpecificCharacterSet
        data = written(ds)
        value = character_set.encode() + b" " * (len(character_set) % 2)
        _, offset = scan_file_meta(data)
        element = b"\x08\x00\x05\x00CS" + len(value).to_bytes(2, "little") + value
        assert agree(data[:offset] + element + data[offset:])


VALUES = st.one_of(
    st.binary(max_size=20),
    st.text(alphabet="0123456789 +-.eE\\\0", max_size=12).map(str.encode),
    st.text(alphabet="AbäÖ \\\0\t\r\x1b\x85\xa0山", max_size=12).map(str.encode),
    st.text(alphabet="AbäÖ \\\0\xa0", max_size=12).map(lambda text: text.encode("latin-1")),
)


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(header._WANTED)), VALUES, max_size=8), st.booleans(), st.booleans(),
    st.sampled_from([b"", b"ISO_IR 100", b"ISO_IR 192", b"ISO_IR 13 ", b"\\ISO 2022 IR 87"]),
)  # fmt: skip
@example({0x00200013: b"1\\2"}, False, True, b"")
@example({0x00200013: b" 12\0"}, False, True, b"")
@example({0x00100020: b"A \\B"}, False, True, b"")
def test_any_values(values: dict[int, bytes], implicit: bool, little: bool, character_set: bytes) -> None:
    """Each VR with whatever bytes, whatever their length."""
    order = "little" if little or implicit else "big"
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    body = b""
    for tag, value in sorted({0x00080005: character_set, **values}.items()):
        body += (tag >> 16).to_bytes(2, order) + (tag & 0xFFFF).to_bytes(2, order)
        vr = b"" if implicit else header._WANTED[tag].encode()
        body += vr + len(value).to_bytes(4 if implicit else 2, order) + value
    found = scan_header(body, len(body), syntax, 132 + 12)
    if found is not None:
        meta = written(image(), syntax)
        _, offset = scan_file_meta(meta)
        expected = by_pydicom(meta[:offset] + body)
        assert isinstance(expected, Header)
        assert (found.attributes, found.study_instance_uid) == (expected.attributes, expected.study_instance_uid)
        assert (found.sop_instance_uid, found.sop_class_uid) == (expected.sop_instance_uid, expected.sop_class_uid)


FILES = [written(image(lengths), syntax) for syntax in SYNTAXES for lengths in (False, True)]
INTERESTING = [b"\xff\xff\xff\xff", b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0", b"\xfe\xff\x0d\xe0", b"SQ", b"UN", b"OB",
               b"\0", b"\\", b"\x1b", b"\x08\x00\x05\x00", b"\xe0\x7f\x10\x00", b"ZZ", b"\x41\x41"]  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(
    st.sampled_from(FILES),
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.one_of(st.sampled_from(INTERESTING), st.binary(max_size=4)),
                  st.integers(0, 4)),
        min_size=1, max_size=4,
    ),
    st.integers(0, 40),
)  # fmt: skip
def test_mutated_files(data: bytes, changes: list[tuple[float, bytes, int]], cut: int) -> None:
    """Bytes replaced, put in and taken out anywhere after the preamble."""
    for where, new, taken in changes:
        at = 132 + int(where * (len(data) - 132))
        data = data[:at] + new + data[at + taken :]
    agree(data[: len(data) - cut] if cut > 20 else data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.booleans(), st.booleans(), st.integers(0, 300))
def test_any_bytes_are_odd_or_scanned(data: bytes, implicit: bool, little: bool, more: int) -> None:
    with contextlib.suppress(Odd):
        scan(data, len(data) + more, implicit, little, header._WANTED)


def test_what_is_left_to_pydicom() -> None:
    """Nothing that pydicom reads differently than a plain scan would."""
    explicit = written(image())
    _, offset = scan_file_meta(explicit)
    at = explicit.index(b"\x10\x00\x20\x00LO")
    twice = explicit[:at] + b"\x10\x00\x20\x00LO\x02\x00P2" + explicit[at:]
    deflated = written(image(), DeflatedExplicitVRLittleEndian)
    private = explicit.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.9.10008.1.2\0")
    other_vr = explicit.replace(b"\x10\x00\x20\x00LO", b"\x10\x00\x20\x00SH")
    no_meta = explicit[:132] + explicit[offset:]
    for data in (twice, deflated, private, other_vr, no_meta, b"", explicit[132:]):
        assert by_scan(data) is None


def test_a_data_set_in_an_encoding_that_it_does_not_say() -> None:
    """Some senders write Implicit VR and call it explicit; pydicom notices."""
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = True, True
    write_dataset(out, image())
    explicit = written(image())
    _, offset = scan_file_meta(explicit)
    data = explicit[:offset] + out.getvalue()
    assert by_scan(data) is None
    assert isinstance(by_pydicom(data), Header)


def test_agrees_with_pydicom_on_every_file_of_the_bench(bench: Path) -> None:
    folders = (bench / "data", bench / "mr_training")
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    fast = sum(agree(path.read_bytes()) for path in paths)
    assert fast > 900


def test_phantoms_take_the_fast_way(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).gamma(2.0, 100.0, (4, 32, 48)).astype(np.float32)
    visit = Visit(BRAIN_PATIENT, "ISO0001", datetime(2026, 3, 4, 23, 59, 50), "run 1")
    for ds in mr_series(volume, visit):
        ds.save_as(tmp_path / "object.dcm", enforce_file_format=True)
        assert agree((tmp_path / "object.dcm").read_bytes())
