"""The gate `body_part`: do the header's own words agree on the part of the body and its side, with each other and
with the order?
"""

import re
from collections.abc import Iterable, Sequence
from itertools import combinations

from services.gate.judgement import Judgement, Verdict, strictest
from shared.imaging.frames import Frame

NAME = "body_part"

# Words of body part codes (PS3.16 Annex L), descriptions and orders, by region. Latin and the usual short forms.
_REGIONS: dict[str, str] = {
    "head": "head|brain|skull|cranium|cerebrum|neuro|orbit|sinus|face|iac|pituitary|temporal bone",
    "neck": "neck|carotid|larynx|thyroid|cspine|c spine|cervical|cervical spine",
    "chest": "chest|thorax|lung|lungs|pulmonary|heart|cardiac|rib|ribs|sternum|tspine|thoracic spine|mediastinum",
    "breast": "breast|breasts|mammo|mammography|mamma",
    "abdomen": "abdomen|abdominal|liver|kidney|kidneys|pancreas|spleen|bowel|colon|lspine|lumbar|lumbar spine",
    "pelvis": "pelvis|pelvic|hip|hips|prostate|uterus|bladder|sacrum",
    "arm": "shoulder|arm|humerus|elbow|forearm|clavicle|wrist|hand|finger|thumb|scapula",
    "leg": "leg|thigh|femur|knee|tibia|calf|ankle|foot|toe|calcaneus|lower leg",
}
_PATTERNS = {region: re.compile(rf"\b(?:{words})\b") for region, words in _REGIONS.items()}
# Pictures of one are rightly called by the other.
_NEAR = {frozenset(pair) for pair in (
    ("head", "neck"), ("neck", "chest"), ("chest", "abdomen"), ("abdomen", "pelvis"), ("pelvis", "leg"),
    ("chest", "arm"), ("chest", "breast"), ("neck", "arm"),
)}  # fmt: skip
_BREAST_VIEWS = frozenset({"CC", "MLO", "ML", "LM", "LMO", "XCCL", "XCCM"})
_SIDES = {"L": "left", "R": "right"}
# "left lateral" is a way of the beam, a decubitus a way to lie, and these name both sides.
_NO_SIDE = re.compile(r"\b(?:lateral|lat|decub\w*|bilat\w*|both|anterior oblique|posterior oblique|comparison)\b")
_LEFT, _RIGHT = re.compile(r"\b(?:left|lt|links|gauche)\b"), re.compile(r"\b(?:right|rt|rechts|droite?)\b")

Problem = tuple[Verdict, str]


def judge_body_part(frames: Sequence[Frame], requested_procedure: str = "") -> Judgement:
    """The gate's word on one series: codes that contradict each other hold, words that contradict a code warn.

    `requested_procedure` is the order's (OBR-4), empty where there is none. What is said nowhere contradicts nothing.
    Neither words nor codes are compared with the pixels.
    """
    if not frames:
        return Judgement(NAME, "hold", "there is no image in this series")
    problems = dict.fromkeys(problem for frame in _distinct(frames) for problem in _of(frame, requested_procedure))
    verdict = strictest(verdict for verdict, _ in problems)
    reason = "; ".join(words for _, words in problems)
    return Judgement(NAME, verdict, reason or "what the header says of body part and side does not contradict itself")


_LOOKED_AT = (
    "body_part_examined", "anatomic_region", "view_position", "laterality", "image_laterality", "frame_laterality",
    "protocol_name", "series_description",
)  # fmt: skip


def _distinct(frames: Sequence[Frame]) -> Iterable[Frame]:
    return {tuple(str(f.header.get(name, "")) for name in _LOOKED_AT): f for f in frames}.values()


def _of(frame: Frame, requested_procedure: str) -> list[Problem]:
    words = {
        "Protocol Name": str(frame.header.get("protocol_name", "")),
        "Series Description": str(frame.header.get("series_description", "")),
        "the order": requested_procedure,
    }
    plain = {name: re.sub(r"[\W_]+", " ", text.lower()) for name, text in words.items()}
    return [*_parts(frame, plain), *_sides(frame, plain)]


def _parts(frame: Frame, words: dict[str, str]) -> list[Problem]:
    named = (("body_part_examined", "Body Part Examined"), ("anatomic_region", "Anatomic Region"))
    coded = {title: found for name, title in named if (found := _regions(str(frame.header.get(name, "")).lower()))}
    if str(frame.header.get("view_position", "")).upper() in _BREAST_VIEWS and frame.header.get("modality") == "MG":
        coded["View Position"] = {"breast"}
    told: list[Problem] = [
        ("hold", f"{one} says {_listed(a)}, {other} says {_listed(b)}")
        for (one, a), (other, b) in combinations(coded.items(), 2)
        if not _fit(a, b)
    ]
    for title, a in list(coded.items())[:1]:
        for source, text in words.items():
            b = _regions(text)
            if b and not _fit(a, b):
                told.append(("warn", f"{title} says {_listed(a)}, {source} says {_listed(b)}"))
    return told


def _sides(frame: Frame, words: dict[str, str]) -> list[Problem]:
    names = (("image_laterality", "Image Laterality"), ("frame_laterality", "Frame Laterality"),
             ("laterality", "Laterality"))  # fmt: skip
    coded = {title: _SIDES[code] for name, title in names if (code := str(frame.header.get(name, ""))) in _SIDES}
    told: list[Problem] = [
        ("hold", f"{one} says {a}, {other} says {b}")
        for (one, a), (other, b) in combinations(coded.items(), 2)
        if a != b
    ]
    for title, a in list(coded.items())[:1]:
        told += [("warn", f"{title} says {a}, {source} says {b}")
                 for source, text in words.items() if (b := _side(text)) and b != a]  # fmt: skip
    return told


def _regions(text: str) -> set[str]:
    return {region for region, pattern in _PATTERNS.items() if pattern.search(text)}


def _fit(one: set[str], other: set[str]) -> bool:
    return any(a == b or frozenset((a, b)) in _NEAR for a in one for b in other)


def _side(text: str) -> str:
    """The one side that a text names."""
    if _NO_SIDE.search(text):
        return ""
    found = [side for side, pattern in (("left", _LEFT), ("right", _RIGHT)) if pattern.search(text)]
    return found[0] if len(found) == 1 else ""


def _listed(regions: set[str]) -> str:
    return " and ".join(sorted(regions))
