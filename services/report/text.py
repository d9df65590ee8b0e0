"""In which character set an object's text is written (PS3.3 C.12.1.1.2), and what its bytes say that came in."""

import warnings
from collections.abc import Iterator, Sequence

from pydicom import Dataset, config
from pydicom.charset import convert_encodings, decode_bytes, encode_string, python_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.multival import MultiValue
from pydicom.valuerep import TEXT_VR_DELIMS

UTF_8 = "ISO_IR 192"
UNDECODED = "�"  # what pydicom puts in the place of bytes that are not of the declared set
_DEFAULT = ("", "ISO_IR 6", "ISO 2022 IR 6")
_ALONE = (UTF_8, "GB18030", "GBK")  # never beside others (PS3.3 C.12.1.1.2)
_TEXT = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
# Our own words in the letters of every set; what comes from the images is in their own.
_PLAIN = {"²": "2", "³": "3", "°": " deg", "µ": "u", "·": "-", "–": "-", "±": "+-", "≥": ">=", "≤": "<=", "×": "x"}


def choose_character_set(ds: Dataset, source: Dataset) -> str:
    """Gives `ds` the source's own character set where that has every letter of its text; else it stays in UTF-8.

    Returns:
        Why it stays in UTF-8, in words; empty where it does not.
    """
    names = _names(source)
    lacking: dict[str, set[str]] = {}
    for candidate in (names, *_without_extensions(names)):
        lacking = {}
        for element in _texts(ds):
            for text in _values(element):
                if letters := _not_written(text, candidate):
                    lacking.setdefault(element.keyword, set()).update(letters)
        if all(letters <= _PLAIN.keys() for letters in lacking.values()):
            _write_plainly(ds, set().union(*lacking.values()))
            ds.SpecificCharacterSet = candidate if len(candidate) > 1 else candidate[0]
            if not any(candidate):
                del ds.SpecificCharacterSet
            return ""
    declared = " and ".join(filter(None, names)) or "the default"
    return f"in UTF-8, since the images' character set ({declared}) can't write {' and '.join(sorted(lacking))}"


def _names(source: Dataset) -> list[str]:
    declared = source.get("SpecificCharacterSet")
    return [str(n or "") for n in (declared if isinstance(declared, list | MultiValue) else [declared])]


def _without_extensions(names: Sequence[str]) -> list[list[str]]:
    """A single-byte set that only stands beside the default, by itself: the same letters without escape sequences."""
    if len(names) == 2 and names[0] in _DEFAULT:
        alone = names[1].replace("ISO 2022 IR", "ISO_IR")
        return [[alone]] if alone in python_encoding and alone != names[1] else []
    return []


def _not_written(text: str, names: Sequence[str]) -> set[str]:
    """The letters of `text` that can't be written in these sets; all where it does not come back as it was."""
    if any(name not in python_encoding for name in names) or (len(names) > 1 and names[0] in _ALONE):
        return set(text)
    if text.isascii():
        return set()
    lacking = {letter for letter in text if not any(_has(name, letter) for name in names)}
    if lacking:
        return lacking
    if len(names) > 1 and names[0] in _DEFAULT and (latin := {c for c in text if "\x80" <= c <= "\xff"}):
        return latin  # pydicom takes the default repertoire for Latin-1 and would not switch
    encodings = convert_encodings(list(names))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        back = decode_bytes(encode_string(text, encodings), encodings, TEXT_VR_DELIMS)
    return set() if back == text else set(text)


def _has(name: str, letter: str) -> bool:
    # pydicom takes the default repertoire for Latin-1, of which it is the first half (PS3.5 6.1.2.1)
    encoding = "ascii" if name in _DEFAULT else python_encoding[name]
    try:
        encoded = letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return encoding != "shift_jis" or len(encoded) == 1  # JIS X 0201 has no kanji


def _write_plainly(ds: Dataset, letters: set[str]) -> None:
    table = str.maketrans({letter: _PLAIN[letter] for letter in letters})
    for element in _texts(ds) if letters else ():
        values = [text.translate(table) for text in _values(element)]
        if element.VR != "PN" and values != _values(element):
            element.value = values if len(values) > 1 else values[0]


def _texts(ds: Dataset) -> Iterator[DataElement]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in _TEXT and element.value is not None:
            yield element


def _values(element: DataElement) -> list[str]:
    """Its values; a name in its components, each of which begins in the first set."""
    values = element.value if isinstance(element.value, list | MultiValue) else [element.value]
    texts = [str(value) for value in values]
    if element.VR == "PN":
        return [part for text in texts for group in text.split("=") for part in group.split("^")]
    return texts


def read_as_utf_8(raw: object, source: Dataset) -> DataElement | None:
    """An element whose text is in UTF-8 and declared as what it is not, or not at all; None for every other.

    Text of another set with letters beyond ASCII is valid UTF-8 only by the rarest chance.
    """
    if not isinstance(raw, RawDataElement) or not isinstance(raw.value, bytes) or raw.value.isascii():
        return None
    element = source[raw.tag]
    undeclared = all(name in _DEFAULT for name in _names(source))
    if element.VR not in _TEXT or not (undeclared or UNDECODED in str(element.value)):
        return None
    try:
        text = raw.value.decode("utf-8").rstrip("\0 ")
    except UnicodeDecodeError:
        return None
    return DataElement(raw.tag, element.VR, text, validation_mode=config.IGNORE)
