"""Letters of a PDF: text stays text, in an embedded font where one has it; CJK in fonts that readers bring."""

import unicodedata
from functools import cache
from itertools import groupby
from xml.sax.saxutils import escape

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont

from services.report.drawing import fonts

REGULAR, BOLD = "Vera", "VeraBd"
# By the character sets of PS3.3 C.12.1.1.2, the first that has a letter counts; none of them is embedded.
_CJK = (
    ("shift_jis", "HeiseiKakuGo-W5"), ("gb2312", "STSong-Light"), ("euc_kr", "HYGothic-Medium"),
    ("big5", "MSung-Light"),
)  # fmt: skip


@cache
def register_fonts() -> None:
    """Makes the fonts known to reportlab; once for each process."""
    for name in (REGULAR, BOLD):
        pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    for name in filter(fonts.letters_of, fonts.MACHINE):
        pdfmetrics.registerFont(TTFont(name, str(fonts.path_of(name))))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    for _, name in _CJK:
        pdfmetrics.registerFont(UnicodeCIDFont(name))


def can_print(text: str) -> bool:
    """Whether there is a font for every letter."""
    return all(_font_of(letter) for letter in text)


def markup(text: str) -> str:
    """`text` for a reportlab Paragraph, each run of letters in a font that has them; what none has is named as such."""
    parts = []
    for name, letters in groupby(text, key=_font_of):
        run = escape("".join(letters))
        if name is None:
            run = fonts.NO_FONT
        parts.append(run if name in (REGULAR, None) else f'<font name="{name}">{run}</font>')
    return "".join(parts)


@cache
def _font_of(letter: str) -> str | None:
    register_fonts()
    if letter in " \n" or ord(letter) in pdfmetrics.getFont(REGULAR).face.charToGlyph:
        return REGULAR
    if fonts.is_from_right(letter):
        return None  # nothing here joins such letters and orders them
    of_machine = next((name for name in fonts.MACHINE if ord(letter) in fonts.letters_of(name)), None)
    of_reader = next((name for codec, name in _CJK if _has(codec, letter)), None)
    is_wide = unicodedata.east_asian_width(letter) in "WFH"
    return (of_reader or of_machine) if is_wide else (of_machine or of_reader)


def _has(codec: str, letter: str) -> bool:
    try:
        letter.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
