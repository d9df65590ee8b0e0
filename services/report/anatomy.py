"""A body part's name as a coded anatomic region: digital radiographs must have both say the same."""

import re
from functools import cache

from pydicom import Dataset
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

from services.report.image_origin import coded

_COMMON_REGIONS = 4031  # CID 4031, Common Anatomic Region
_OTHER_NAMES = {
    "THORAX": "CHEST", "CSPINE": "CERVICALSPINE", "TSPINE": "THORACICSPINE", "LSPINE": "LUMBARSPINE",
    "SSPINE": "SACRUM", "LEG": "LOWERLEG", "ARM": "UPPERARM", "WHOLEBODY": "ENTIREBODY",
}  # fmt: skip


def region_of(body_part: str) -> Dataset | None:
    """The code (PS3.16 CID 4031) of a Body Part Examined; None where the list does not name it."""
    name = re.sub(r"[^A-Z]", "", body_part.upper())
    found = _regions().get(_OTHER_NAMES.get(name, name))
    return coded(found[0], found[1], "SCT") if found else None


@cache
def _regions() -> dict[str, tuple[str, str]]:
    regions = {}
    for keyword in cid_concepts[_COMMON_REGIONS]["SCT"]:
        entry = concepts["SCT"][keyword]
        assert isinstance(entry, dict)
        for value, (meaning, groups) in entry.items():
            if _COMMON_REGIONS in groups:
                regions[re.sub(r"[^A-Z]", "", meaning.upper().removesuffix(" JOINT"))] = value, meaning
    return regions
