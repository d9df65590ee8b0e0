"""A small series in each character set that hospitals use, its names byte by byte as in the standard's examples.

The bytes come from Python's codecs and escape sequences put in by hand (PS3.3 C.12.1.1.2, PS3.5 6.1.2 and annexes H to
K), not from the library that reads them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR
from pydicom.uid import ImplicitVRLittleEndian

from shared.phantoms import dicom
from shared.phantoms.brain_mr import brain_volume

TEXTS = ("PatientName", "StudyDescription", "ReferringPhysicianName", "InstitutionName")


@dataclass(frozen=True)
class Source:
    """`declared` is Specific Character Set; the rest is what the four attributes of TEXTS say, and in which bytes."""

    declared: str | list[str]
    said: tuple[str, ...]
    written: tuple[bytes, ...]


def in_one(declared: str, codec: str, *said: str) -> Source:
    """A set without code extensions."""
    return Source(declared, said, tuple(text.encode(codec) for text in said))


def in_parts(declared: list[str], *texts: list[tuple[str, Callable[[str], bytes]]]) -> Source:
    """A set with code extensions: each text in parts, each part with what writes it."""
    said = tuple("".join(part for part, _ in text) for text in texts)
    return Source(declared, said, tuple(b"".join(write(part) for part, write in text) for text in texts))


def of_components(write: Callable[[str], bytes]) -> Callable[[str], bytes]:
    """At each delimiter of a name the first set is back."""
    return lambda text: b"^".join(write(part) for part in text.split("^"))


@of_components
def kanji(text: str) -> bytes:
    """JIS X 0208 in G0 (ESC $ B), then ASCII again (ESC ( B)."""
    return text.encode("iso2022_jp")


@of_components
def kanji_after(text: str) -> bytes:
    """The same where the first set is JIS X 0201, whose Roman letters come back with ESC ( J."""
    return text.encode("iso2022_jp").replace(b"\x1b(B", b"\x1b(J")


@of_components
def hangul(text: str) -> bytes:
    """KS X 1001 in G1 (ESC $ ) C)."""
    return b"\x1b$)C" + text.encode("euc_kr")


@of_components
def cyrillic(text: str) -> bytes:
    """ISO 8859-5 in G1 (ESC - L)."""
    return b"\x1b-L" + text.encode("iso8859-5")


def plain(text: str) -> bytes:
    return text.encode("ascii")


def katakana(text: str) -> bytes:
    """JIS X 0201: a byte each."""
    return text.encode("shift_jis")


def latin(text: str) -> bytes:
    return text.encode("latin-1")


SOURCES = {
    "none": in_one("", "ascii", "Mueller^Hans", "Chest PA", "Weiss^Anna", "St. Mary's"),
    "latin 1": in_one("ISO_IR 100", "latin-1", "Müller^Jérôme", "Röntgen Thorax", "Ångström^Åse", "Hôpital Nº 1"),
    "latin 2": in_one("ISO_IR 101", "iso8859-2", "Dvořák^Žofie", "RTG hrudníku", "Kowalski^Łukasz", "Žďár"),
    "cyrillic": in_one("ISO_IR 144", "iso8859-5", "Люксембург^Юлия", "Рентген", "Щукин^Ёж", "Больница № 1"),
    "thai": in_one("ISO_IR 166", "tis-620", "นามสกุล^ชื่อ", "เอกซเรย์ทรวงอก", "แพทย์^หนึ่ง", "โรงพยาบาล"),
    "utf-8": in_one("ISO_IR 192", "utf-8", "Wang^XiaoDong=王^小東", "胸部 Röntgen", "Дед^김=金^희", "病院 ก"),
    "gb18030": in_one("GB18030", "gb18030", "Wang^XiaoDong=王^小东", "胸部正位 €", "李^伟", "北京医院𠀀"),
    "gbk": in_one("GBK", "gbk", "Wang^XiaoDong=王^小东", "胸部正位", "李^伟", "北京医院"),
    "katakana": in_one("ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ", "ｷｮｳﾌﾞ", "ｽｽﾞｷ", "ﾋﾞｮｳｲﾝ"),
    "japanese": in_parts(
        ["", "ISO 2022 IR 87"],
        [("Yamada^Tarou=", plain), ("山田^太郎", kanji), ("=", plain), ("やまだ^たろう", kanji)],
        [("胸部正面", kanji)], [("Suzuki=", plain), ("鈴木^花子", kanji)], [("東京病院", kanji)],
    ),
    "japanese with katakana": in_parts(
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        [("ﾔﾏﾀﾞ^ﾀﾛｳ=", katakana), ("山田^太郎", kanji_after), ("=", plain), ("やまだ^たろう", kanji_after)],
        [("胸部正面", kanji_after)], [("ｽｽﾞｷ=", katakana), ("鈴木", kanji_after)],
        [("東京病院", kanji_after)],
    ),
    "korean": in_parts(
        ["", "ISO 2022 IR 149"],
        [("Hong^Gildong=", plain), ("洪^吉洞", hangul), ("=", plain), ("홍^길동", hangul)],
        [("흉부 정면", hangul)], [("Kim=", plain), ("金", hangul)], [("서울 병원", hangul)],
    ),
    "latin and cyrillic": in_parts(
        ["ISO 2022 IR 100", "ISO 2022 IR 144"],
        [("Müller^Jürgen=", latin), ("Мюллер^Юрген", cyrillic)], [("Röntgen", latin)], [("Weiß", latin)],
        [("Klinik Süd", latin)],
    ),
}  # fmt: skip


def write_source(source: Source, folder: Path) -> list[Path]:
    """The series as files."""
    return write_with(source.declared, dict(zip(TEXTS, source.written, strict=True)), folder)


def write_with(declared: str | list[str], texts: dict[str, bytes], folder: Path) -> list[Path]:
    """Three slices with these bytes under these keywords, whatever is declared."""
    volume = brain_volume(3, slices=3, size=48, spacing_mm=(10.0, 4.0))
    paths = []
    for number, ds in enumerate(
        dicom.mr_series(volume, dicom.Visit(dicom.BRAIN_PATIENT, "A-1"), spacing_mm=(10.0, 4.0))
    ):
        put_bytes(ds, declared, texts)
        paths.append(folder / f"{number}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True, implicit_vr=True)
    return paths


def put_bytes(ds: Dataset, declared: str | list[str], texts: dict[str, bytes]) -> None:
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian  # in which the dictionary's VR counts
    ds.SpecificCharacterSet = declared
    for keyword, content in texts.items():
        vr = "LO" if dictionary_VR(keyword) == "PN" else dictionary_VR(keyword)  # a name would be encoded again
        ds[keyword] = DataElement(keyword, vr, content, already_converted=True)
