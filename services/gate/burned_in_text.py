"""The gate `burned_in_text`: is something written in the pixels? It says how much, and never what: that is PHI."""

from collections.abc import Sequence

from services.gate import text_detector
from services.gate.judgement import InstanceNote, Judgement
from services.gate.settings import Settings
from shared.imaging.frames import Frame, UndecodablePixels

NAME = "burned_in_text"


def judge_burned_in_text(frames: Sequence[Frame], settings: Settings) -> Judgement:
    """The gate's word on one series, at most warn; its score is the largest number of texts found in an image.

    Burned In Annotation (0028,0301) is believed where it says YES; elsewhere some images are looked into, where the
    detector is installed. A side marker or two are no text.
    """
    if not frames:
        return Judgement(NAME, "hold", "there is no image in this series")
    said = {str(frame.header.get("burned_in_annotation", "")).upper() for frame in frames}
    if "YES" in said:
        return Judgement(NAME, "warn", "the header says that there is text in the pixels (Burned In Annotation)")
    header = "the header says that there is none" if said == {"NO"} else "the header does not say"
    if settings.text_images == 0:
        return Judgement(NAME, "pass", f"{header}; the pixels were not looked into: gate.text_images is 0")
    if not text_detector.can_look():
        return Judgement(NAME, "pass", f"{header}; the pixels were not looked into: {text_detector.MISSING}")
    return _looked(frames, settings, header)


def _looked(frames: Sequence[Frame], settings: Settings, header: str) -> Judgement:
    counts: dict[int, int] = {}
    for index in _some(len(frames), settings.text_images):
        frame = frames[index]
        try:
            pixels = frame.stored().values
        except UndecodablePixels:
            continue
        inverted = frame.header.get("photometric_interpretation") == "MONOCHROME1"
        counts[index] = text_detector.text_boxes(pixels, inverted)
    if not counts:
        return Judgement(NAME, "pass", f"{header}; no image could be decoded and looked into")
    most = max(counts.values())
    words = f"{header}; {len(counts)} of {len(frames)} images were looked into: at most {most} pieces of text in one"
    notes = tuple(
        InstanceNote(frames[i].source.sop_instance_uid, float(count), frames[i].source.frame)
        for i, count in counts.items()
        if count > settings.most_texts
    )
    return Judgement(NAME, "warn" if notes else "pass", words, float(most), instances=notes)


def _some(count: int, wanted: int) -> list[int]:
    """Places spread over the series, both ends among them."""
    if wanted == 1 or count == 1:
        return [count // 2]
    return sorted({round(n * (count - 1) / (wanted - 1)) for n in range(wanted)})
