"""The page calls an image what the viewer calls it."""

from copy import deepcopy
from dataclasses import replace

import pytest

from services.report.drawing import quality_page
from services.report.drawing.canvas import Canvas
from services.report.facts import RunFacts


def numbered(facts: RunFacts) -> RunFacts:
    """The same series with Instance Numbers that run against the slices, from 112 on down."""
    sources = deepcopy(facts.sources)
    for place, image in enumerate(i.image for i in facts.findings[0].instances):
        (source,) = (ds for ds in sources if image.sop_instance_uid == ds.SOPInstanceUID)
        source.InstanceNumber = 112 - place
    return replace(facts, sources=sources)


def test_images_are_called_by_their_instance_numbers(mr_facts: RunFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    text = Canvas.text
    monkeypatch.setattr(Canvas, "text", lambda *a, **k: said.append(a[2]) or text(*a, **k))
    quality_page.draw_page(numbered(mr_facts), mr_facts.findings[0])
    assert {"Worst: image 101 (12 of 12)", "Median: 107", "Best: 112", "101", "112"} <= set(said)


def test_a_frame_is_named(mr_facts: RunFacts) -> None:
    finding = mr_facts.findings[0]
    frames = [
        i.model_copy(update={"image": i.image.model_copy(update={"frame": n})})
        for n, i in enumerate(finding.instances, 1)
    ]
    enhanced = finding.model_copy(update={"instances": tuple(frames)})
    assert quality_page.image_names(numbered(mr_facts), enhanced)[:2] == ["112 f1", "111 f2"]
    image = finding.instances[0].image
    sole = [i.model_copy(update={"image": image.model_copy(update={"frame": n})}) for n, i in enumerate(frames, 1)]
    assert quality_page.image_names(mr_facts, finding.model_copy(update={"instances": tuple(sole)}))[:2] == ["f1", "f2"]


def test_without_instance_numbers_the_place_counts(mr_facts: RunFacts) -> None:
    facts = numbered(mr_facts)
    facts.sources[3].InstanceNumber = None
    assert quality_page.image_names(facts, facts.findings[0]) == [str(n) for n in range(1, 13)]
