"""The list of kinds says which SOP classes come out; docs/conformance.md is written from it."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import dcmread

from services.report.facts import ResultObject, RunFacts
from services.report.identity import SERIES_OFFSET
from services.report.result_kinds import BUILDERS, SOP_CLASSES, UNREAD, build_objects
from services.report.secondary_capture import FRAMES
from services.report.segmentation import LABEL_MAP
from shared.result_profiles import Flavour

FLAVOURS = [Flavour(sr_flavour=name) for name in ("comprehensive-3d", "comprehensive", "enhanced")]


@pytest.mark.parametrize("kind", sorted(set(SOP_CLASSES) - {"PM", "DERIVED"}))  # tests of these make them
def test_what_is_written_is_of_the_classes_that_are_stated(kind: str, dx_facts: RunFacts) -> None:
    facts = replace(dx_facts, outcome="held", findings=[]) if kind in UNREAD else dx_facts
    wanted = dict.fromkeys((f.of_kind(kind) for f in FLAVOURS), ())
    made: list[ResultObject] = build_objects(facts, kind, wanted, (BUILDERS | UNREAD)[kind])
    seen = {dcmread(BytesIO(r.content)).SOPClassUID for r in made}
    # an outline is never a label map, and one image never several frames: test_labels and test_several_frames make them
    assert seen == set(SOP_CLASSES[kind]) - {LABEL_MAP, FRAMES}


def test_no_two_objects_share_a_series(dx_facts: RunFacts, written: Callable[..., list[ResultObject]]) -> None:
    made = [written(dx_facts, kind) for kind in BUILDERS]
    series = [dcmread(BytesIO(objects[0].content)) for objects in made if objects]
    assert len({ds.SeriesInstanceUID for ds in series}) == len({ds.SeriesNumber for ds in series}) == len(series) >= 5
    assert len(set(SERIES_OFFSET.values())) == len(SOP_CLASSES)
