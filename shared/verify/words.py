"""What a picture and a page say, as text."""

import hashlib
import re
from collections.abc import Sequence
from io import BytesIO

from pydicom import Dataset

_MOST = 10_000  # of the 10240 letters of LT
MORE = "More is in the report."
_SEAL = re.compile(r"\s*pixels sha256 ([0-9a-f]{64})\s*$")


def seal(lines: Sequence[str], pixels: bytes) -> str:
    """What a picture says, and the digest of its pixels as they were drawn; at most what LT holds."""
    last = f"pixels sha256 {hashlib.sha256(pixels).hexdigest()}"
    while sum(len(line) + 2 for line in [*lines, last]) > _MOST:
        lines = [*lines[:-2], MORE] if lines[-1] == MORE else [*lines[:-1], MORE]
    return "\r\n".join([*lines, last])


def words_of_picture(ds: Dataset) -> str | None:
    """Image Comments; None where the pixels are not those that were drawn."""
    text = str(ds.get("ImageComments") or "")
    found = _SEAL.search(text)
    if found is None or hashlib.sha256(ds.pixel_array.tobytes()).hexdigest() != found[1]:
        return None
    return _SEAL.sub("", text)


def words_of_page(ds: Dataset) -> str:
    """The page from its findings on, without the line at its foot."""
    from pypdf import PdfReader  # only who checks pages needs it

    pages = [page.extract_text() for page in PdfReader(BytesIO(ds.EncapsulatedDocument)).pages]
    foot = re.compile(r"^.* · Isocenter \S+ · page \d+$", re.MULTILINE)
    return foot.sub("", "\n".join(pages)).partition("\nFindings\n")[2]
