"""Maps, derived images and embeddings: kept as arrays, on the grid that their kind promises."""

from typing import Any

import numpy as np
import pytest

from services.infer.handlers import findings_of
from shared.findings import Classification, DerivedImage, Embedding, HeatMap
from shared.inference import Unreadable
from tests.services.infer.readings import CODE, package, reading
from tests.services.infer.test_segments import Kept, by_series, on_image, stack

MAP = {"kind": "attribution_map", "tensor": "map"}
LABELS = [{"name": name, "code": CODE} for name in ("one", "two")]


def test_a_map_lies_on_the_model_s_grid_and_names_what_it_explains() -> None:
    kept, values = Kept(), np.arange(6.0).reshape(2, 3)
    found, heat = findings_of(package({}, explanation=MAP), reading(logit=0.75, map=values), kept)
    assert isinstance(found, Classification)
    assert isinstance(heat, HeatMap)
    assert (heat.name, heat.explains, heat.placed.boxes) == ("found_map", "found", ((0.0, -50.0, 200.0, 150.0),))
    assert np.array_equal(kept["found_map"], values[np.newaxis])


def test_what_is_absent_has_no_map() -> None:
    assert len(findings_of(package({}, explanation=MAP), reading(logit=0.25, map=np.ones((2, 2))), Kept())) == 1


def test_each_label_has_its_own_map() -> None:
    made = package({"kind": "multilabel", "labels": LABELS}, explanation=MAP)
    kept, values = Kept(), np.stack([np.zeros((4, 4)), np.ones((4, 4))])
    found = findings_of(made, reading(logit=[0.1, 0.9], map=values), kept)
    assert [f.explains for f in found if isinstance(f, HeatMap)] == ["found.two"]
    assert (kept["found.two_map"] == 1).all()
    with pytest.raises(Unreadable, match=r"\[4, 4\] a row; 2 × n × n was due"):
        findings_of(made, reading(logit=[0.1, 0.9], map=values[0]), Kept())


def test_a_map_of_a_series_has_a_plane_for_each_image() -> None:
    said = stack(0.75)
    made = by_series({}).manifest.model_copy(update={"explanation": package({}, explanation=MAP).manifest.explanation})
    of = type(by_series({}))(by_series({}).folder, made)
    for shape, boxes in (((3, 2, 2), 3), ((2, 4, 6), 0)):  # as many planes as images, or others: brought to the images
        outputs = {**said.outputs, "map": np.ones(shape, np.float32)}
        kept = Kept()
        _, heat = findings_of(of, type(said)(said.grid, False, outputs), kept)
        assert isinstance(heat, HeatMap)
        assert (len(heat.placed.images), len(heat.placed.boxes)) == (3, boxes)
        assert kept["found_map"].shape == (shape if boxes else (3, 4, 6))


@pytest.mark.parametrize("kind", ["landmark", "embedding", "segment"])
def test_a_map_is_of_a_score(kind: str) -> None:
    labels = {"labels": LABELS} if kind == "segment" else {}
    with pytest.raises(ValueError, match="an attribution map is of a score"):
        package({"kind": kind, **labels}, explanation=MAP)


IMAGE: dict[str, Any] = {"name": "clean", "kind": "image", "unit": "mm/s", "range": [-1, 9]}


def test_a_derived_image_lies_on_the_source() -> None:
    kept = Kept()
    (found,) = findings_of(package(IMAGE), on_image(np.full((2, 4), 5.0)), kept)
    assert isinstance(found, DerivedImage)
    assert (found.unit, found.range, found.placed.array.shape) == ("mm/s", (-1.0, 9.0), (1, 4, 6))
    assert kept["clean"][0, 1].tolist() == [-1, -1, 5, 5, 5, 5], "the least value beyond what the model saw"
    with pytest.raises(Unreadable, match="values 5 to 10, outside -1 to 9"):
        findings_of(package(IMAGE), on_image([[5.0] * 4, [10.0] * 4]), Kept())
    with pytest.raises(Unreadable, match=r"\[2, 2, 4\] a row; n × n was due"):
        findings_of(package(IMAGE), on_image(np.zeros((2, 2, 4))), Kept())


def test_an_embedding_is_kept_as_it_is() -> None:
    kept = Kept()
    (found,) = findings_of(package({"kind": "embedding"}), reading(logit=[[0.25, 0.5, -1.0]]), kept)
    assert isinstance(found, Embedding)
    assert (kept["found"].tolist(), kept["found"].dtype) == ([0.25, 0.5, -1.0], np.float32)
    with pytest.raises(Unreadable, match="n was due"):
        findings_of(package({"kind": "embedding"}), reading(logit=np.zeros((2, 3))), Kept())
