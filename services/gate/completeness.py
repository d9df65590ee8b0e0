"""The gate `completeness`: is every slice there, once, with a picture in it?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.gate.content import Content
from services.gate.judgement import InstanceNote, Judgement, by_threshold, strictest, thresholds_of
from services.gate.stacks import Stack, phase_of, stacks_of
from shared.dicom.planning import is_planning
from shared.imaging.frames import Frame
from shared.settings import GateThresholds

NAME = "completeness"
WARN_BELOW, HOLD_BELOW = 1.0, 0.9
"""Of the part of the expected slices that is there: one missing warns, more than a tenth holds."""
SLICE_MODALITIES = frozenset({"CT", "MR", "PT"})
_MOST_TOLD = 5


@dataclass(frozen=True)
class _Count:
    """What counting found."""

    missing: int = 0
    where: tuple[str, ...] = ()
    copies: tuple[Frame, ...] = ()
    of_what: str = "images"


def judge_completeness(frames: Sequence[Frame], content: Content, own: GateThresholds | None = None) -> Judgement:
    """The gate's word on one series; its score is the part of the expected slices that is there with a picture."""
    if not frames:
        return Judgement(NAME, "hold", "there is no image in this series", 0.0)
    count = _count(frames)
    empty = [frames[index] for index in lost_blanks(len(frames), content.blank)]
    broken = [frames[index] for index, _ in content.undecodable]
    whole = len(frames) - len(count.copies)
    usable = max(0, whole - len(empty) - len(broken))
    score = usable / (whole + count.missing)
    warn_below, hold_below = thresholds_of(own, WARN_BELOW, HOLD_BELOW)
    verdict = by_threshold(score, warn_below, hold_below)
    if broken:
        verdict = "hold"
    elif count.copies:
        verdict = strictest([verdict, "warn"])
    return Judgement(
        NAME, verdict, _reason(frames, content, count, empty), round(score, 6),
        instances=tuple(_note(frame) for frame in _unique([*count.copies, *empty, *broken])),
    )  # fmt: skip


def _count(frames: Sequence[Frame]) -> _Count:
    stacks = stacks_of(frames)
    placed = sum(len(stack.frames) for stack in stacks)
    if len(frames) == 1 or is_localizer(frames):
        return _Count(of_what="image" if len(frames) == 1 else "localizer images")
    if placed < len(frames):
        return _by_number(frames)
    found = [_in_stack(stack) for stack in stacks]
    missing, where = sum(f.missing for f in found), tuple(word for f in found for word in f.where)
    promised = _promised(frames)
    if promised > len(frames) + missing:
        where, missing = (*where, f"the scanner wrote that there are {promised}"), promised - len(frames)
    return _Count(missing, where, tuple(frame for f in found for frame in f.copies), _what(stacks))


def _what(stacks: Sequence[Stack]) -> str:
    places, images = sum(len(stack.places) for stack in stacks), sum(len(stack.frames) for stack in stacks)
    return "slices" if places == images else f"images of {places} place{'s' * (places > 1)}"


def _in_stack(stack: Stack) -> _Count:
    """Missing places, places with fewer phases than the others, and copies."""
    usual = _usual_phases(stack)
    missing, where = 0, []
    for index, absent in stack.gaps():
        missing += absent * usual
        where.append(f"{absent} between {_called(stack.places[index][0])} and {_called(stack.places[index + 1][0])}")
    copies: list[Frame] = []
    for place in stack.places:
        here = _copies(place, usual)
        copies += here
        if len(place) - len(here) < usual:
            missing += usual - len(place) + len(here)
            where.append(f"{usual - len(place) + len(here)} of {usual} phases at {_called(place[0])}")
    return _Count(missing, tuple(where), tuple(copies))


def _usual_phases(stack: Stack) -> int:
    """How many images most places have, copies aside."""
    counts = Counter(len({(phase_of(f), f.instance_number) for f in place}) for place in stack.places)
    return max(counts, key=lambda phases: (counts[phases], -phases))


def _copies(place: tuple[Frame, ...], usual: int) -> list[Frame]:
    """Images at one place that nothing tells apart.

    Those with the number and phase of another are copies. Where all places hold as many that differ in number only,
    the place was imaged several times, on purpose; what a place has beyond the others is a copy.
    """
    seen: set[tuple[object, ...]] = set()
    kept: list[Frame] = []
    copies: list[Frame] = []
    for frame in place:
        key = (phase_of(frame), frame.instance_number, frame.frame_index if frame.source.frame else None)
        (copies if key in seen else kept).append(frame)
        seen.add(key)
    phases: set[tuple[object, ...]] = set()
    for frame in kept if len(kept) > usual else []:
        if phase_of(frame) in phases:
            copies.append(frame)
        phases.add(phase_of(frame))
    return copies


def _by_number(frames: Sequence[Frame]) -> _Count:
    """By instance number, where images have no place in the patient."""
    numbers = [f.instance_number for f in frames if f.instance_number is not None and f.source.frame is None]
    if len(numbers) < len(frames) or frames[0].header.get("modality") not in SLICE_MODALITIES:
        return _Count()
    counts = Counter(numbers)
    order = sorted(counts)
    jumps = np.diff(order)
    usual = float(np.median(jumps)) if len(jumps) else 1.0
    gaps = [(order[i], order[i + 1], round(float(j) / usual) - 1) for i, j in enumerate(jumps) if j >= 1.5 * usual]
    twice = {number for number, times in counts.items() if times > 1}
    copies = [f for n, f in enumerate(frames) if f.instance_number in twice and f.instance_number in numbers[:n]]
    where = tuple(f"{absent} between instance {before} and instance {after}" for before, after, absent in gaps)
    return _Count(sum(absent for *_, absent in gaps), where, tuple(copies), "images without a position")


def _promised(frames: Sequence[Frame]) -> int:
    """Images in Acquisition (0020,1002), where one acquisition makes up the series; else 0."""
    said = {f.header.get("images_in_acquisition") for f in frames}
    acquisitions = {f.header.get("acquisition_number") for f in frames}
    value = said.pop() if len(said) == 1 else None
    single = all(f.source.frame is None for f in frames)
    return value if single and len(acquisitions) == 1 and isinstance(value, int) else 0


def lost_blanks(count: int, blank: frozenset[int]) -> list[int]:
    """Blank frames between pictures; at the ends of a series they are padding. All of them when there is no picture."""
    pictures = [index for index in range(count) if index not in blank]
    if not pictures:
        return sorted(blank)
    return [index for index in sorted(blank) if pictures[0] < index < pictures[-1]]


def is_localizer(frames: Sequence[Frame]) -> bool:
    """Whether these are planning images, in several planes on purpose."""
    types = [_words(frame.header.get("image_type")) for frame in frames]
    return is_planning(types, str(frames[0].header.get("series_description", "")))


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(part) for part in value) if isinstance(value, tuple) else (str(value),)


def _reason(frames: Sequence[Frame], content: Content, count: _Count, empty: Sequence[Frame]) -> str:
    parts: list[str] = []
    if content.undecodable:
        index, why = content.undecodable[0]
        parts.append(f"{len(content.undecodable)} of {len(frames)} can't be decoded ({_called(frames[index])}: {why})")
    if count.missing:
        parts.append(f"{count.missing} missing ({_listed(count.where)})")
    if count.copies:
        parts.append(f"{len(count.copies)} copied ({_listed([_called(f) for f in count.copies])})")
    if empty:
        parts.append(f"{len(empty)} blank ({_listed([_called(f) for f in empty])})")
    said = f"{len(frames)} {count.of_what}: " + ("; ".join(parts) or "none missing, copied or blank")
    padding = len(content.blank) - len(empty)
    return said + (f"; {padding} blank at the ends" if padding else "")


def _listed(words: Sequence[str]) -> str:
    more = len(words) - _MOST_TOLD
    return ", ".join(words[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")


def _called(frame: Frame) -> str:
    """An image by the number that a person finds it by."""
    if frame.source.frame is not None:
        return f"frame {frame.source.frame}"
    return "an image without a number" if frame.instance_number is None else f"instance {frame.instance_number}"


def _note(frame: Frame) -> InstanceNote:
    return InstanceNote(frame.source.sop_instance_uid, 0.0, frame.source.frame)


def _unique(frames: Sequence[Frame]) -> list[Frame]:
    return list({(frame.source.sop_instance_uid, frame.frame_index): frame for frame in frames}.values())
