"""Text in the pixels: believed where the header says it, found where the detector is installed, never read."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from services.gate import text_detector
from services.gate.burned_in_text import judge_burned_in_text
from services.gate.judgement import Judgement
from services.gate.settings import Settings
from shared.imaging.frames import load_frames
from tests.images import noise, write

NAME = "DOE JANE 1970"


def judge(folder: Path, pixels: NDArray[np.uint16] | None = None, **facts: object) -> Judgement:
    return judge_burned_in_text(load_frames([write(folder, "one", pixels, **facts)]), Settings())


def screen(*lines: str) -> NDArray[np.uint16]:
    """Words on a dim picture."""
    image = Image.fromarray((noise(400, 512) // 20).astype(np.uint8))
    for place, line in enumerate(lines):
        ImageDraw.Draw(image).text((30, 30 + 70 * place), line, 255, font_size=28)
    return np.asarray(image).astype(np.uint16)


def test_the_header_is_believed_where_it_says_that_there_is_text(tmp_path: Path) -> None:
    assert judge(tmp_path, BurnedInAnnotation="YES").verdict == "warn"


def test_without_the_detector_it_says_that_it_did_not_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_detector, "can_look", lambda: False)
    said = judge(tmp_path, BurnedInAnnotation="NO")
    assert said.verdict == "pass"
    assert said.reason.startswith("the header says that there is none; the pixels were not looked into")
    assert judge(tmp_path).reason.startswith("the header does not say; the pixels were not looked into")


def test_text_is_counted_and_not_read(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr", reason="the extra `text` finds text in pixels")
    said = judge(tmp_path, screen(NAME, "ID 4711-0815", "GENERAL HOSPITAL", "2026-11-25 10:30"))
    assert (said.verdict, said.score) == ("warn", pytest.approx(4, abs=2))
    assert not any(word in said.reason for word in (*NAME.split(), "4711", "HOSPITAL"))
    assert judge(tmp_path, screen("L")).verdict == "pass", "a side marker"
    assert judge(tmp_path, screen()).verdict == "pass"
