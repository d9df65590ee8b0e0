"""The page of a quality score: the slice to look at large, the median and best beside it, the strip of all below."""

from PIL import Image

from services.report.drawing.canvas import Canvas
from services.report.drawing.page import BOTTOM, EDGE, HEIGHT, TOP, WIDTH, footing, heading
from services.report.drawing.palette import INK, MUTED, PANEL, VERDICTS
from services.report.drawing.placed_picture import place
from services.report.drawing.scale_bar import draw_scale
from services.report.drawing.score_strip import draw_strip, verdict_of
from services.report.facts import RunFacts
from services.report.identity import use_mark
from shared.findings import QualityScore, SourceImage

_STRIP = 236
_CAPTION = 52
_LARGE = 700


def order(finding: QualityScore) -> list[int]:
    """Indices of the slices, those to look at first: the lowest score, or the highest where the gate flags."""
    first_is_highest = finding.flag_above is not None
    return sorted(range(len(finding.instances)), key=lambda n: finding.instances[n].score, reverse=first_is_highest)


def shown(finding: QualityScore, image: SourceImage | None = None) -> list[tuple[str, int]]:
    """Which slices the page shows, with their captions' first word: the first one large, or else `image`."""
    ranks = order(finding)
    if not ranks:
        return []
    first, last = ("Worst", "Best") if finding.flag_above is None else ("Highest", "Lowest")
    rank = next((n for n, index in enumerate(ranks) if finding.instances[index].image == image), 0)
    chosen = [(f"#{rank + 1} {first.lower()}" if rank else first, ranks[rank])]
    if len(ranks) > 2:
        chosen.append(("Median", ranks[len(ranks) // 2]))
    if len(ranks) > 1:
        chosen.append((last, ranks[-1]))
    return chosen


def images(finding: QualityScore, image: SourceImage | None = None) -> list[SourceImage]:
    """The images whose pixels the page needs, the large one first."""
    return [finding.instances[index].image for _, index in shown(finding, image)]


def image_names(facts: RunFacts, finding: QualityScore) -> list[str]:
    """What a viewer calls each image: `7`, the Instance Number; of frames `f12`, or `7 f12` where several have frames.

    Where an instance says no number, the image's place in the order of the slices stands in for all.
    """
    numbers = {str(ds.SOPInstanceUID): ds.get("InstanceNumber") for ds in facts.sources}
    images = [scored.image for scored in finding.instances]
    if any(numbers.get(image.sop_instance_uid) is None for image in images):
        return [str(place) for place in range(1, len(images) + 1)]
    alone = len({image.sop_instance_uid for image in images}) == 1
    return [_name(numbers[image.sop_instance_uid], image.frame, alone) for image in images]


def _name(number: int, frame: int | None, alone: bool) -> str:
    if not frame:
        return str(number)
    return f"f{frame}" if alone else f"{number} f{frame}"


def draw_page(facts: RunFacts, finding: QualityScore, image: SourceImage | None = None) -> Image.Image:
    """The page, 1600 by 1300, with the slice to look at large, or `image`."""
    canvas = Canvas(WIDTH, HEIGHT)
    count = len(finding.instances)
    subtitle = f"{finding.code.meaning} · {count} image{'s' if count != 1 else ''}"
    heading(canvas, facts.title, subtitle, f"{finding.value:.3f}", finding.verdict.upper(), finding.verdict)
    low = BOTTOM - _STRIP - 16
    slices = shown(finding, image)
    for position, (word, index) in enumerate(slices):
        _draw_slice(canvas, facts, finding, word, index, _slot(position, low))
    _draw_reason(canvas, facts, finding, low)
    if count:
        names = image_names(facts, finding)
        draw_strip(canvas, (EDGE, BOTTOM - _STRIP, WIDTH - EDGE, BOTTOM - 6), finding, slices[0][1], names)
    gates = facts.gates_of(finding.series_instance_uid)
    made_by = f"Isocenter · {finding.package} {finding.version}"
    footing(canvas, gates, use_mark(facts), made_by, facts.released)
    return canvas.image


def _slot(position: int, low: float) -> tuple[float, float, float, float]:
    if position == 0:
        return EDGE, TOP, EDGE + _LARGE, low
    width = (WIDTH - 2 * EDGE - _LARGE - 2 * 20) / 2
    left = EDGE + _LARGE + 20 + (position - 1) * (width + 20)
    return left, TOP, left + width, TOP + width + _CAPTION


def _draw_slice(
    canvas: Canvas, facts: RunFacts, finding: QualityScore, word: str, index: int,
    box: tuple[float, float, float, float],
) -> None:  # fmt: skip
    left, top, right, bottom = box
    scored = finding.instances[index]
    verdict = verdict_of(finding, scored.score)
    canvas.panel(box, PANEL)
    picture = facts.pictures.get(scored.image)
    if picture is None:
        canvas.text(((left + right) / 2, (top + bottom) / 2), "no picture", 30, MUTED, anchor="mm")
    else:
        spot = left, top, right, bottom - _CAPTION + 8
        placed = place(canvas, picture, spot)
        if right - left >= _LARGE:
            draw_scale(canvas, picture, placed, spot)
    y = bottom - _CAPTION / 2
    canvas.verdict_mark((left + 32, y), 13, verdict, VERDICTS[verdict])
    canvas.text((right - 18, y), f"{scored.score:.3f}", 32, INK, anchor="rm", bold=True)
    room = right - left - 64 - 118
    name = image_names(facts, finding)[index]
    wide = (
        f"{word}: {'frame' if name[0] == 'f' else 'image'} {name.lstrip('f')} ({index + 1} of {len(finding.instances)})"
    )
    canvas.text((left + 58, y), wide if right - left > 500 else f"{word}: {name}", 32, INK, anchor="lm", room=room)


def _draw_reason(canvas: Canvas, facts: RunFacts, finding: QualityScore, low: float) -> None:
    width = (WIDTH - 2 * EDGE - _LARGE - 2 * 20) / 2
    top = TOP + width + _CAPTION + 20
    left = EDGE + _LARGE + 20
    lines = max(1, int((low - top) // 41))
    canvas.paragraph((left, top), facts.reason_of(finding) or _in_words(finding), 31, WIDTH - EDGE - left, lines, INK)


def _in_words(finding: QualityScore) -> str:
    """The verdict where the gate gave no reason."""
    if finding.verdict == "hold" and finding.hold_below is not None:
        return f"The series' score {finding.value:.3f} is below {finding.hold_below:g}: it is held."
    if finding.verdict == "warn" and finding.warn_below is not None:
        return f"The series' score {finding.value:.3f} is below {finding.warn_below:g}: read with care."
    return f"The series' score is {finding.value:.3f}: fit to be read."
