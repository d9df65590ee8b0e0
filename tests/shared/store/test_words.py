"""Every kind of finding has its words: a page that can't say one would show no study at all."""

from typing import get_args

import pytest

from shared.findings import (
    ArrayFile,
    Classification,
    Code,
    DerivedImage,
    Embedding,
    Finding,
    Grade,
    HeatMap,
    KeyImage,
    Landmark,
    Measurement,
    NotSure,
    OrdinalGrade,
    Placed,
    QualityScore,
    Region,
    Segment,
    Segmentation,
    SourceImage,
    dump_findings,
)
from shared.store.words import findings_in_words

CODE = Code(value="1", scheme="99ISO", meaning="Thing")
IMAGE = SourceImage(series_instance_uid="1.1", sop_instance_uid="1.2", sop_class_uid="1.3")
SAID = {"name": "thing", "code": CODE, "package": "any", "version": "1.0.0"}
PLACED = Placed(array=ArrayFile(path="a.npz", digest="sha256:0", shape=(1, 2, 2), dtype="uint8"), images=(IMAGE,))
POINT = Region(image=IMAGE, graphic_type="POINT", points=((1.0, 2.0),))
FINDINGS = [
    (QualityScore(**SAID, series_instance_uid="1.1", value=0.9, unit="1", verdict="pass"), "0.900, pass"),
    (Classification(**SAID, present=True, probability=0.9, threshold=0.5), "present, probability 0.90"),
    (OrdinalGrade(**SAID, grade=0, grades=(Grade(name="mild", code=CODE, probability=0.7),)), "probability 0.70"),
    (Measurement(**SAID, value=12.3, unit="mm"), "12.3 mm"),
    (Landmark(**SAID, regions=(POINT,)), "1 place"),
    (Segmentation(**SAID, segments=(Segment(number=1, name="lung", code=CODE),), placed=PLACED), "lung"),
    (HeatMap(**SAID, placed=PLACED), "a map"),
    (KeyImage(**SAID, image=IMAGE, weight=0.5), "weight 0.50"),
    (DerivedImage(**SAID, placed=PLACED), "1 derived image"),
    (Embedding(**SAID, array=PLACED.array.model_copy(update={"shape": (128,)})), "kept as 128 numbers"),
    (NotSure(**SAID, confidence=0.25, minimum_confidence=0.5), "say, confidence 0.25 (at least 0.50)"),
]


@pytest.mark.parametrize(("finding", "said"), FINDINGS, ids=[finding.kind for finding, _ in FINDINGS])
def test_a_finding_is_said(finding, said):
    (words,) = findings_in_words(dump_findings([finding]))
    assert words.startswith("Thing: ")
    assert said in words


def test_no_kind_is_left_out():
    union = get_args(Finding)[0]
    assert {type(finding) for finding, _ in FINDINGS} == set(get_args(union))
