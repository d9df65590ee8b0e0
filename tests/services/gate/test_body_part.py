"""Codes against codes, words against codes, and words that only seem to say something."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from services.gate.body_part import judge_body_part
from shared.imaging.frames import load_frames
from tests.images import write


def judge(folder: Path, order: str = "", **facts: object) -> tuple[str, str]:
    said = judge_body_part(load_frames([write(folder, "one", **facts)]), order)
    return said.verdict, said.reason


def region(meaning: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "SCT", meaning
    return [item]


def test_two_codes_that_contradict_each_other_hold(tmp_path: Path) -> None:
    sides = judge(tmp_path, ImageLaterality="L", Laterality="R")
    assert sides == ("hold", "Image Laterality says left, Laterality says right")
    parts = judge(tmp_path, BodyPartExamined="CHEST", AnatomicRegionSequence=region("Knee"))
    assert parts == ("hold", "Body Part Examined says chest, Anatomic Region says leg")
    assert judge(tmp_path, Modality="MG", BodyPartExamined="KNEE", ViewPosition="MLO")[0] == "hold"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"BodyPartExamined": "HEAD", "ProtocolName": "Knee_T1_sag"}, "Protocol Name says leg"),
        ({"Laterality": "L", "SeriesDescription": "HAND RIGHT PA"}, "Series Description says right"),
        ({"BodyPartExamined": "CHEST", "order": "XR^Abdomen supine"}, ""),
        ({"BodyPartExamined": "CHEST", "order": "XR^Ankle left"}, "the order says leg"),
        ({"ImageLaterality": "R", "order": "KNEE LT"}, "the order says left"),
    ],
)
def test_words_that_contradict_a_code_warn(tmp_path: Path, facts: dict[str, object], words: str) -> None:
    verdict, reason = judge(tmp_path, **facts)  # type: ignore[arg-type]
    assert verdict == ("warn" if words else "pass")
    assert words in reason


@pytest.mark.parametrize(
    "facts",
    [
        {}, {"BodyPartExamined": "BRAIN", "ProtocolName": "cspine and head"},
        {"Laterality": "B", "ProtocolName": "left"}, {"Laterality": "R", "ProtocolName": "both left"},
        {"Laterality": "R", "SeriesDescription": "CHEST LEFT LATERAL"},
        {"BodyPartExamined": "UNKNOWN", "ProtocolName": "knee"}, {"BodyPartExamined": "EXTREMITY", "ProtocolName": "x"},
        {"BodyPartExamined": "LSPINE", "SeriesDescription": "abdomen pelvis"},
        {"ImageLaterality": "L", "Laterality": "L"},
    ],
)  # fmt: skip
def test_what_contradicts_nothing_passes(tmp_path: Path, facts: dict[str, object]) -> None:
    assert judge(tmp_path, **facts)[0] == "pass"  # type: ignore[arg-type]
