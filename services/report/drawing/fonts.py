"""Which font has a letter: the two that come along, then those of the machine, each by its usual file name.

Debian's fonts-dejavu-core, fonts-tlwg-loma-ttf, fonts-droid-fallback and fonts-nanum (or fonts-noto-core and
fonts-noto-cjk) have the scripts of DICOM's character sets.
"""

import unicodedata
from functools import cache
from itertools import groupby
from pathlib import Path

import reportlab
from PIL import ImageFont, features
from reportlab.pdfbase.ttfonts import TTFError, TTFontFile

OWN = ""  # Pillow's own font, so that what is in plain letters looks the same on every machine
VERA = "Vera.ttf"
MACHINE = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "Loma.ttf", "NotoSansThai-Regular.ttf", "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf", "DroidSansFallbackFull.ttf", "DroidSansFallback.ttf", "NanumGothic.ttf",
)  # fmt: skip
NO_FONT = "[letters without a font]"
_REPLACED = {
    "–": "-", "—": "-", "−": "-", "≥": ">=", "≤": "<=", "×": "x", "µ": "u", "’": "'", "‘": "'", "“": '"', "”": '"',
}  # fmt: skip
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size: int, name: str = OWN) -> Font:
    """The font of that name (one of `runs`) in `size` pixels."""
    return ImageFont.truetype(str(path_of(name)), size) if name else ImageFont.load_default(size=size)


@cache
def path_of(name: str) -> Path | None:
    """Where a font lies; None where it is not installed."""
    if name == VERA:
        return Path(reportlab.__file__).parent / "fonts" / VERA
    try:
        return Path(str(ImageFont.truetype(name, 10).path))  # Pillow looks through the machine's folders
    except OSError:
        return None


@cache
def letters_of(name: str) -> frozenset[int]:
    """The letters of a font; none where it is not installed or can't be read."""
    path = path_of(name)
    try:
        return frozenset(TTFontFile(str(path)).charToGlyph) if path else frozenset()
    except (TTFError, OSError, ValueError):
        return frozenset()


@cache
def font_of(word: str) -> str | None:
    """The first font that has all letters of `word`; None where there is none."""
    if all(" " <= letter <= "~" or letter in "·°±…" for letter in word):
        return OWN
    if is_from_right(word) and not features.check("raqm"):
        return None  # without it the letters would stand unjoined and from left to right
    return next((name for name in (VERA, *MACHINE) if all(ord(letter) in letters_of(name) for letter in word)), None)


def printable(text: str) -> str:
    """`text` in letters that there are fonts for: signs in plain ones, and what none has is named as such."""
    replaced = "".join(_REPLACED.get(letter, letter) for letter in unicodedata.normalize("NFC", text))
    plain = "".join(letter if _is_letter(letter) else unicodedata.normalize("NFKD", letter) for letter in replaced)
    drawn = ((font_of(letter) is not None, letter) for letter in plain)
    return "".join(
        "".join(letter for _, letter in group) if has_font else NO_FONT
        for has_font, group in groupby(drawn, key=lambda pair: pair[0])
    )


def _is_letter(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "LM"


def is_from_right(text: str) -> bool:
    return any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text)


def runs(text: str) -> list[tuple[str, str]]:
    """`text` in runs of one font each: a word is kept in one font where one has all of it."""
    parts: list[tuple[str, str]] = []
    for word in text.split(" "):
        if parts:
            parts.append((parts[-1][0], " "))
        name = font_of(word)
        parts += [(name, word)] if name is not None else [(font_of(letter) or OWN, letter) for letter in word]
    return [(name, "".join(letters for _, letters in group)) for name, group in groupby(parts, key=lambda p: p[0])]


def length(text: str, size: int) -> float:
    """Width in pixels."""
    return sum(font(size, name).getlength(letters) for name, letters in runs(text))
