"""In which character set an object's text is written (PS3.3 C.12.1.1.2)."""

from collections.abc import Iterator, Sequence

from pydicom import Dataset
from pydicom.charset import python_encoding
from pydicom.multival import MultiValue

UTF_8 = "ISO_IR 192"
_DEFAULT = ("", "ISO_IR 6", "ISO 2022 IR 6")
_ALONE = (UTF_8, "GB18030", "GBK")  # never beside others (PS3.3 C.12.1.1.2)
_TEXT = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")


def choose_character_set(ds: Dataset, source: Dataset) -> None:
    """Gives `ds` the source's own character set where that has every letter of its text; else it stays in UTF-8."""
    wanted = source.get("SpecificCharacterSet")
    names = [str(n or "") for n in wanted] if isinstance(wanted, list | MultiValue) else [str(wanted or "")]
    if not _can_write(_texts(ds), names):
        return
    if any(names):
        ds.SpecificCharacterSet = names if len(names) > 1 else names[0]
    else:
        del ds.SpecificCharacterSet


def _can_write(texts: Iterator[str], names: Sequence[str]) -> bool:
    if any(name not in python_encoding for name in names) or (len(names) > 1 and names[0] in _ALONE):
        return False
    # pydicom takes the default repertoire for Latin-1, of which it is the first half (PS3.5 6.1.2.1)
    encodings = ["ascii" if name in _DEFAULT else python_encoding[name] for name in names]
    return all(any(_has(encoding, letter) for encoding in encodings) for letter in set("".join(texts)))


def _has(encoding: str, letter: str) -> bool:
    try:
        letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _texts(ds: Dataset) -> Iterator[str]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in _TEXT and element.value is not None:
            values = element.value if isinstance(element.value, list | MultiValue) else [element.value]
            yield from (str(value) for value in values)
