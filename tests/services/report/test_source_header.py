"""What result objects take over from poor and foreign sources."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset, dcmwrite

from services.report.source_header import clean_header, spacing_of

NAMES = {
    "chrJapMulti.dcm": "やまだ^たろう",
    "chrKoreanMulti.dcm": "김희중",
    "chrArab.dcm": "قباني^لنزار",
    "chrGerm.dcm": "Äneas^Rüdiger",
    "chrX1.dcm": "Wang^XiaoDong=王^小東",
}


@pytest.mark.bench
@pytest.mark.parametrize("file", NAMES)
def test_a_name_survives_the_change_of_character_set(bench: Path, file: str) -> None:
    header = clean_header(pydicom.dcmread(bench / "data/dicom/charset" / file))
    header.SpecificCharacterSet = "ISO_IR 192"
    written = BytesIO()
    dcmwrite(written, header, implicit_vr=False, little_endian=True)
    written.seek(0)
    read = pydicom.dcmread(written, force=True)
    assert str(read.PatientName) == NAMES[file]
    assert NAMES[file].encode() in written.getvalue()


def test_type_2_attributes_are_there_and_empty_where_the_source_has_none() -> None:
    header = clean_header(Dataset())
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "AccessionNumber"):
        assert keyword in header
        assert not header[keyword].value


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientSex", "W"),
        ("StudyDate", "2004-13-45"),
        ("FrameOfReferenceUID", "1.2.03.4"),
        ("PixelSpacing", ["0.5"]),
        ("ImageOrientationPatient", ["1", "0", "0"]),
        ("PatientIdentityRemoved", "YES"),  # without the method that must then be given
    ],
)
def test_a_value_that_is_not_valid_is_left_out(keyword: str, value: object) -> None:
    source = Dataset()
    source.add(pydicom.DataElement(keyword, pydicom.datadict.dictionary_VR(keyword), value, validation_mode=0))
    header = clean_header(source)
    assert not header.get(keyword)


def test_too_long_an_accession_number_is_kept_whole() -> None:
    source = Dataset()
    source.add(pydicom.DataElement("AccessionNumber", "SH", "A" * 20, validation_mode=0))
    assert clean_header(source).AccessionNumber == "A" * 20


def test_the_spacing_of_an_enhanced_image_is_found(bench: Path) -> None:
    header = clean_header(pydicom.dcmread(bench / "data/dicom/enhanced_multiframe/MOVEKNEE.dcm"))
    found = spacing_of(header)
    assert found is not None
    assert found[0] == "PixelSpacing"
    assert found[1][0] > 0


def test_the_detector_spacing_counts_where_there_is_no_other() -> None:
    source = Dataset()
    source.ImagerPixelSpacing = [0.2, 0.1]
    assert spacing_of(clean_header(source)) == ("ImagerPixelSpacing", (0.2, 0.1))
    assert spacing_of(Dataset()) is None


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("Rows", "PN", "A^B"),
        ("Columns", "OB", b"0\0DS"),
        ("InstanceNumber", "PN", "A^B"),
        ("Modality", "CS", ["MR", "CT"]),
    ],
)
def test_a_value_of_another_kind_than_its_tag_has_is_left_out(keyword: str, vr: str, value: object) -> None:
    """A file may give any tag any VR, and what sorts or lists images would break on it."""
    source = Dataset()
    source.add_new(keyword, vr, value)
    assert keyword not in clean_header(source)
