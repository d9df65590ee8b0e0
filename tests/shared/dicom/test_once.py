"""A parser may go back, but not for ever; what is deflated is inflated within a bound."""

import zlib
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from shared.dicom.once import Once, read_part10
from shared.dicom.problems import UnreadableInstance
from tests.images import dataset, noise


def saved(folder: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    ds = dataset(noise(), "once")
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(folder / "a.dcm", enforce_file_format=True)
    return folder / "a.dcm"


def test_the_same_bytes_can_be_read_a_few_times_and_then_no_more() -> None:
    once = Once(BytesIO(bytes(2**20)), 2**20)
    for _ in range(9):
        once.seek(0)
        once.read()
    once.seek(0)
    with pytest.raises(UnreadableInstance, match="no end"):
        once.read()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("pixels", [False, True])
def test_it_reads_what_pydicom_reads(tmp_path: Path, syntax: str, pixels: bool) -> None:
    path = saved(tmp_path, syntax)
    ds, stopped_at = read_part10(path, pixels=pixels)
    expected = dcmread(path, stop_before_pixels=not pixels)
    assert ds == expected
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert (stopped_at > 0) == (syntax == ExplicitVRLittleEndian)


def test_only_the_tags_that_are_asked_for(tmp_path: Path) -> None:
    for syntax in (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        ds, _ = read_part10(saved(tmp_path, syntax), ["Rows", 0x00280011])
        assert set(ds.keys()) == {0x00280010, 0x00280011}


def test_a_deflate_bomb_is_refused_whatever_stands_before_it(tmp_path: Path) -> None:
    """Meta information of any length can: where the syntax is said is not where a look at the first bytes finds it."""
    path = saved(tmp_path, DeflatedExplicitVRLittleEndian)
    start = path.read_bytes()
    length = int.from_bytes(start[140:144], "little")
    private = b"\x02\x00\x02\x01OB\x00\x00" + (6000).to_bytes(4, "little") + bytes(6000)
    meta = private.replace(b"\x02\x01OB", b"\x01\x00OB") + start[144 : 144 + length]
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(squeeze.compress(bytes(2**20)) for _ in range(257)) + squeeze.flush()
    path.write_bytes(start[:140] + len(meta).to_bytes(4, "little") + meta + bomb)
    with pytest.raises(UnreadableInstance, match="inflates to more than 256 MiB"):
        read_part10(path)
