"""The gate `header_consistency`, of a whole study: one patient, one accession, one frame of reference a series?"""

from collections.abc import Mapping, Sequence
from typing import Any

from services.gate.judgement import Judgement, Verdict, strictest
from shared.imaging.frames import Frame

NAME = "header_consistency"
# What all images of a study share (PS3.3 A.1.2: one patient, one study), and how bad it is where they do not.
_SHARED: tuple[tuple[str, str, Verdict], ...] = (
    ("patient_id", "Patient ID", "hold"), ("patient_birth_date", "Patient's Birth Date", "hold"),
    ("patient_sex", "Patient's Sex", "warn"), ("accession_number", "Accession Number", "warn"),
)  # fmt: skip


def judge_header_consistency(headers: Sequence[Mapping[str, Any]], series: Mapping[str, Sequence[Frame]]) -> Judgement:
    """The gate's word on a study: `headers` of all its images, and the frames of the series that are read.

    The reason says which attribute differs and never its values: they are the patient's.
    """
    told: list[tuple[Verdict, str]] = []
    for name, title, verdict in _SHARED:
        values = {str(header[name]).strip() for header in headers if str(header.get(name, "")).strip()}
        if len(values) > 1:
            told.append((verdict, f"{len(values)} different values of {title} in one study"))
    # PS3.3 C.7.4.1: a series has one frame of reference
    torn = [uid for uid, frames in series.items() if len(_references(frames)) > 1]
    if torn:
        told.append(("hold", f"{len(torn)} series with several frames of reference: its images do not fit together"))
    reason = "; ".join(words for _, words in told) or "one patient, one accession, one frame of reference a series"
    return Judgement(NAME, strictest(verdict for verdict, _ in told), reason)


def _references(frames: Sequence[Frame]) -> set[str]:
    return {uid for frame in frames if (uid := str(frame.header.get("frame_of_reference_uid", "")))}
