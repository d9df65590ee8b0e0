"""The gate `pixels`: is there contrast in every picture, and was it not clipped?"""

from collections.abc import Sequence

from services.gate.completeness import lost_blanks
from services.gate.content import Content
from services.gate.judgement import InstanceNote, Judgement, by_threshold, thresholds_of
from services.gate.settings import Settings
from shared.imaging.frames import Frame
from shared.settings import GateThresholds

NAME = "pixels"
WARN_BELOW, HOLD_BELOW = 1.0, 0.9
"""Of the part of the images whose pixels can be used: one bad one warns, more than a tenth holds."""
_NO_PICTURES = frozenset({"SEG", "SM", "RTDOSE"})


def judge_pixels(
    frames: Sequence[Frame], content: Content, settings: Settings, own: GateThresholds | None = None
) -> Judgement:
    """The gate's word on one series; its score is the part of the images that are neither blank, flat nor clipped."""
    if not frames:
        return Judgement(NAME, "hold", "there is no image in this series", 0.0)
    modality = str(frames[0].header.get("modality", ""))
    if modality in _NO_PICTURES:
        return Judgement(NAME, "pass", f"{modality}: masks, maps and tiles may well be flat; they are not judged", 1.0)
    blank = set(lost_blanks(len(frames), content.blank))
    clipped = {index for index, share in enumerate(content.clipped) if share > settings.clipped_share}
    undecoded = {index for index, _ in content.undecodable}
    bad = blank | clipped | content.flat | undecoded
    score = round(1 - len(bad) / len(frames), 6)
    verdict = by_threshold(score, *thresholds_of(own, WARN_BELOW, HOLD_BELOW))
    told = [
        f"{len(found)} {words}"
        for found, words in (
            (blank, "blank"), (content.flat, "with hardly a grey value"), (undecoded, "not to be decoded"),
            (clipped, f"clipped (more than {settings.clipped_share:.0%} of the pixels inside are as bright as can be)"),
        )
        if found
    ]  # fmt: skip
    reason = f"{len(frames)} images: " + ("; ".join(told) or "all with contrast, none clipped")
    notes = tuple(InstanceNote(frames[i].source.sop_instance_uid, 0.0, frames[i].source.frame) for i in sorted(bad))
    return Judgement(NAME, verdict, reason, score, instances=notes)
