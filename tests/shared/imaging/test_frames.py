"""Frames come in slice order, with their own geometry, and pixels as pydicom decodes them."""

import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, apply_modality_lut
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from shared.imaging.frames import UndecodablePixels, load_frames, normal_of
from tests.images import AXIAL, CORONAL, noise, write, write_enhanced, write_slices


def test_slices_go_by_their_place_and_not_by_their_name_or_number(tmp_path: Path) -> None:
    paths = write_slices(tmp_path, [30, -10, 20, 10])
    frames = load_frames(paths)
    assert [frame.position[2] for frame in frames] == [-10, 10, 20, 30]
    assert [frame.instance_number for frame in frames] == [2, 4, 3, 1]


def test_images_in_several_planes_go_by_number(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, "b", InstanceNumber=2, ImageOrientationPatient=AXIAL, ImagePositionPatient=[0, 0, 0]),
        write(tmp_path, "a", InstanceNumber=1, ImageOrientationPatient=CORONAL, ImagePositionPatient=[0, 9, 0]),
    ]
    assert [frame.instance_number for frame in load_frames(paths)] == [1, 2]


def test_a_multi_frame_instance_gives_each_frame_its_own_place_and_rescale(tmp_path: Path) -> None:
    frames = load_frames([write_enhanced(tmp_path, [(4, 1), (0, 1)])])
    assert [frame.source.frame for frame in frames] == [2, 1]
    assert [frame.position for frame in frames] == [(0, 0, 0), (0, 0, 4)]
    assert {frame.pixel_spacing for frame in frames} == {(0.5, 0.75)}
    assert np.array_equal(frames[1].pixels(), noise(seed=0) * 2.0 - 5)
    assert np.array_equal(frames[0].pixels(), noise(seed=1))


def test_a_root_position_is_not_every_frames_place(tmp_path: Path) -> None:
    path = write(
        tmp_path, "cine", np.stack([noise(), noise(seed=1)]), NumberOfFrames=2,
        ImagePositionPatient=[0, 0, 5], ImageOrientationPatient=AXIAL,
    )  # fmt: skip
    assert [frame.position for frame in load_frames([path])] == [None, None]


def test_spacing_falls_back_to_the_detectors(tmp_path: Path) -> None:
    path = write(tmp_path, "dx", Modality="DX", ImagerPixelSpacing=[0.2, 0.1])
    assert load_frames([path])[0].pixel_spacing == (0.2, 0.1)


def test_objects_without_pixels_are_no_frames(tmp_path: Path) -> None:
    assert load_frames([write(tmp_path, "sr", PixelData=None, Rows=None, Columns=None)]) == []


def test_an_image_whose_pixels_are_missing_is_a_frame_that_cannot_be_decoded(tmp_path: Path) -> None:
    """It must not be left out in silence: the gate completeness and the reader are to stumble over it."""
    whole, bare = write(tmp_path, "a"), write(tmp_path, "b", InstanceNumber=2, PixelData=None, NumberOfFrames=10**9)
    frames = load_frames([whole, bare])
    assert [frame.instance_number for frame in frames] == [1, 2]
    with pytest.raises(UndecodablePixels, match="no pixel data"):
        frames[1].stored()


def test_the_normal_points_by_the_right_hand_rule() -> None:
    assert normal_of(AXIAL).tolist() == [0, 0, 1]
    assert normal_of((1, 0, 0, 1, 0, 0)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "claim",
    [{"Rows": 60000, "Columns": 60000}, {"NumberOfFrames": 10**9}, {"Rows": 4000, "Columns": 4000}, {"Rows": 0}],
    ids=["matrix", "frames", "longer than the file", "no rows"],
)
def test_a_claim_beyond_the_file_is_refused_from_the_header(tmp_path: Path, claim: dict[str, int]) -> None:
    path = write(tmp_path, "claim", **claim)
    assert path.stat().st_size < 2000
    with pytest.raises(UndecodablePixels, match=r"claims|gives"):
        load_frames([path])


def test_what_is_not_dicom_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "letter.dcm"
    path.write_bytes(b"Dear colleague, " * 100)
    with pytest.raises(UndecodablePixels, match="not DICOM"):
        load_frames([path])


def test_a_file_that_has_gone_since_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "gone")
    frame = load_frames([path])[0]
    path.unlink()
    with pytest.raises(UndecodablePixels, match="gone"):
        frame.pixels()


def test_a_codestream_that_claims_another_size_never_reaches_a_decoder(tmp_path: Path) -> None:
    ds = pydicom.dcmread(write(tmp_path, "small", noise(64, 64)))
    ds.compress(JPEG2000Lossless)
    at = ds.PixelData.find(b"\xff\x4f\xff\x51") + 8
    ds.PixelData = ds.PixelData[:at] + (60000).to_bytes(4, "big") * 2 + ds.PixelData[at + 8 :]
    ds.save_as(tmp_path / "bomb.dcm")
    frame = load_frames([tmp_path / "bomb.dcm"])[0]
    with pytest.raises(UndecodablePixels, match="is 60000 × 60000"):
        frame.pixels()


def test_a_broken_codestream_is_a_reason_and_never_the_end_of_the_process(tmp_path: Path) -> None:
    """GDCM crashed on a JPEG-LS that claims 65535 × 0; what only GDCM decodes reaches it where the sizes agree."""
    ds = pydicom.dcmread(write(tmp_path, "small", noise(32, 32)))
    ds.compress(JPEGLSLossless)
    at = ds.PixelData.find(b"\xff\xf7") + 5
    ds.PixelData = ds.PixelData[:at] + b"\xff\xff\0\0" + ds.PixelData[at + 4 :]
    ds.save_as(tmp_path / "broken.dcm")
    with pytest.raises(UndecodablePixels, match="is 65535 × 0"):
        load_frames([tmp_path / "broken.dcm"])[0].pixels()


@pytest.mark.parametrize("claim", [(60000, 1), (8, 16384)], ids=["size in a JP2 file", "components"])
def test_a_jpeg_2000_that_claims_much_never_reaches_a_decoder(tmp_path: Path, claim: tuple[int, int]) -> None:
    size, components = claim
    siz = struct.pack(">HIIIIIIIIH", 0, size, size, 0, 0, size, size, 0, 0, components) + b"\x07\x01\x01" * components
    stream = b"\xff\x4f\xff\x51" + struct.pack(">H", len(siz) + 2) + siz
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I", 8000) + b"free" + bytes(7992) + b"\0\0\0\0jp2c"
    ds = pydicom.dcmread(write(tmp_path, "small", noise(8, 8), BitsAllocated=8, BitsStored=8, HighBit=7))
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ds.PixelData = encapsulate([(boxes + stream) if components == 1 else stream])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.save_as(tmp_path / "bomb.dcm")
    with pytest.raises(UndecodablePixels, match="is 60000 × 60000|16384 components"):
        load_frames([tmp_path / "bomb.dcm"])[0].pixels()


def test_few_bytes_hold_no_large_image(tmp_path: Path) -> None:
    siz = struct.pack(">HIIIIIIIIH", 0, 8192, 8192, 0, 0, 8192, 8192, 0, 0, 1) + b"\x07\x01\x01"
    ds = pydicom.dcmread(write(tmp_path, "small", noise(8, 8), BitsAllocated=8, BitsStored=8, HighBit=7))
    ds.Rows = ds.Columns = 8192
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ds.PixelData = encapsulate([b"\xff\x4f\xff\x51" + struct.pack(">H", len(siz) + 2) + siz])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.save_as(tmp_path / "bomb.dcm")
    with pytest.raises(UndecodablePixels, match="bytes can't hold an image"):
        load_frames([tmp_path / "bomb.dcm"])[0].pixels()


@pytest.mark.parametrize(
    "facts", [{"NumberOfFrames": 70_000}, {"NumberOfFrames": 2**31 - 1, "BitsAllocated": -16}], ids=["many", "negative"]
)
def test_frames_are_not_made_because_a_header_claims_them(tmp_path: Path, facts: dict[str, int]) -> None:
    ds = pydicom.dcmread(write(tmp_path, "small", noise(1, 1)))
    ds.PixelData = bytes(140_000)
    for keyword, value in facts.items():
        ds.add_new(keyword, "SS" if value < 0 else "IS", value)
    ds.save_as(tmp_path / "bomb.dcm")
    with pytest.raises(UndecodablePixels, match="frames; at most|samples of -16 bits"):
        load_frames([tmp_path / "bomb.dcm"])


def test_a_modality_lut_is_not_made_because_its_descriptor_claims_it(tmp_path: Path) -> None:
    table = pydicom.Dataset()
    table.add_new("LUTDescriptor", "SL", [2**31 - 1, 0, 16])
    table.add_new("LUTData", "OW", bytes(32))
    frame = load_frames([write(tmp_path, "small", ModalityLUTSequence=[table])])[0]
    with pytest.raises(UndecodablePixels, match="claims 2147483647 entries"):
        frame.pixels()


# What pydicom's permitted decoders can't do either: no meta information, or broken bytes.
UNDECODABLE = {
    "JPEG2000-embedded-sequence-delimiter.dcm", "SC_rgb_jpeg.dcm", "JLSL_RGB_ILV0.dcm", "JLSL_RGB_ILV1.dcm",
    "JLSL_RGB_ILV2.dcm", "JLSN_RGB_ILV0.dcm",
}  # fmt: skip


@pytest.mark.bench
@pytest.mark.filterwarnings("ignore")
def test_every_transfer_syntax_decodes_as_pydicom_decodes_the_whole_data_set(bench: Path) -> None:
    syntaxes = set()
    for path in sorted((bench / "data/dicom/transfer_syntax").iterdir()):
        if path.name in UNDECODABLE:
            with pytest.raises(UndecodablePixels):
                [frame.pixels() for frame in load_frames([path])]
            continue
        ds = pydicom.dcmread(path)
        syntaxes.add(ds.file_meta.TransferSyntaxUID)
        frames = load_frames([path])
        assert len(frames) == int(ds.get("NumberOfFrames") or 1), path.name
        assert np.allclose(frames[-1].pixels(), expected_last(ds), rtol=1e-5, atol=1e-3), path.name
    assert len(syntaxes) >= 13


def expected_last(ds: pydicom.Dataset) -> np.ndarray:
    """The last frame by pydicom's other route: the whole data set in memory."""
    whole = ds.pixel_array
    last = whole[-1] if int(ds.get("NumberOfFrames") or 1) > 1 else whole
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        last = apply_color_lut(last, ds)
    if last.ndim == 3:
        return last.astype(float) @ [0.299, 0.587, 0.114]
    return apply_modality_lut(last, ds)


@pytest.mark.bench
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("folder", ["malformed", "enhanced_multiframe", "xa_us_nm_other", "xray_2d"])
def test_real_files_give_frames_or_a_reason_and_nothing_else(bench: Path, folder: str) -> None:
    paths = sorted((bench / "data/dicom" / folder).iterdir())
    reasons = {path.name: reason for path in paths if (reason := _reason(path))}
    assert len(reasons) < len(paths) / 2
    assert all("decoded" in r or "DICOM" in r or "claims" in r or "header" in r for r in reasons.values()), reasons


def _reason(path: Path) -> str:
    """Why the first frames of a file can't be had; empty when they can."""
    try:
        for frame in load_frames([path])[:3]:
            assert frame.pixels().shape == (frame.rows, frame.columns)
    except UndecodablePixels as error:
        return str(error)
    return ""


@pytest.mark.bench
def test_the_enhanced_and_the_classic_form_of_one_acquisition_agree(bench: Path) -> None:
    """A Philips T1 series kept in both forms, of two scans of one phantom with one prescription."""
    home = bench / "data/dicom/series/mr_phantom_t1_philips_classic_and_enhanced"
    enhanced = load_frames(sorted((home / "401_T1W_FFE_Sno_CS2").iterdir()))
    classic = load_frames(sorted((home / "501_T1W_FFE_Sno_CS4").iterdir()))
    assert len(enhanced) == len(classic) == 24
    assert {f.source.sop_class_uid for f in enhanced} == {"1.2.840.10008.5.1.4.1.1.4.1"}
    assert {f.source.sop_instance_uid for f in enhanced} == {
        str(pydicom.dcmread(f.path, stop_before_pixels=True).SOPInstanceUID) for f in enhanced
    }, "the instance's own, not the classic image's that Philips keeps in a private sequence"
    assert [f.position[2] for f in enhanced] == pytest.approx([f.position[2] for f in classic])
    assert enhanced[0].orientation == classic[0].orientation
