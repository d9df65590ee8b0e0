"""Letters of a PDF: text stays text, in an embedded font where that has it, else in CJK fonts that readers bring."""

from functools import cache
from itertools import groupby
from xml.sax.saxutils import escape

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont

REGULAR, BOLD = "Vera", "VeraBd"
# By the character sets of PS3.3 C.12.1.1.2, the first that has a letter counts; none of them is embedded.
_CJK = (
    ("shift_jis", "HeiseiKakuGo-W5"), ("gb2312", "STSong-Light"), ("euc_kr", "HYGothic-Medium"),
    ("big5", "MSung-Light"),
)  # fmt: skip
_UNKNOWN = "?"


@cache
def register_fonts() -> None:
    """Makes the fonts known to reportlab; once for each process."""
    for name in (REGULAR, BOLD):
        pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    for _, name in _CJK:
        pdfmetrics.registerFont(UnicodeCIDFont(name))


def can_print(text: str) -> bool:
    """Whether there is a font for every letter."""
    return all(_font_of(letter) for letter in text)


def markup(text: str) -> str:
    """`text` for a reportlab Paragraph, each run of letters in a font that has them; `?` where none does."""
    parts = []
    for name, letters in groupby(text, key=_font_of):
        run = escape("".join(letters))
        if name is None:
            run = _UNKNOWN * len(run)
        parts.append(run if name in (REGULAR, None) else f'<font name="{name}">{run}</font>')
    return "".join(parts)


@cache
def _font_of(letter: str) -> str | None:
    register_fonts()
    if letter in " \n" or ord(letter) in pdfmetrics.getFont(REGULAR).face.charToGlyph:
        return REGULAR
    return next((name for codec, name in _CJK if _has(codec, letter)), None)


def _has(codec: str, letter: str) -> bool:
    try:
        letter.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
