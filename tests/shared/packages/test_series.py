"""What a manifest that reads a study may not say, and on which line it is told."""

from pathlib import Path

import pytest

from shared.packages.folder import PackageError, load_package
from shared.packages.manifest import Manifest
from shared.packages.named_series import lacking
from shared.packages.selector_tables import NamedSeries, SelectorTable

PAGE = """\
schema = 2
[package]
name = "tiny"
version = "1.0.0"
kind = "reader"
title = "Tiny"
intended_use = "none"
[selector]
modality = ["DX"]
[grouping]
by = "study"
optional = ["lateral"]
[[grouping.series]]
name = "pa"
view_position = ["PA"]
[[grouping.series]]
name = "lateral"
view_position = ["LL"]
[[preprocess]]
step = "modality_lut"
series = ["pa"]
[[tensors.inputs]]
name = "front"
shape = [1, 8, 8]
series = "pa"
[[tensors.inputs]]
name = "side"
shape = [1, 8, 8]
series = "lateral"
[[tensors.inputs]]
name = "there"
shape = [2]
source = "present"
[[outputs]]
name = "found"
tensor = "logit"
kind = "binary"
code = { value = "x", scheme = "99ISO", meaning = "x" }
"""


def load(folder: Path, page: str) -> Manifest:
    (folder / "tiny").mkdir()
    (folder / "tiny" / "package.toml").write_text(page)
    return load_package(folder / "tiny").manifest


def test_what_a_study_is_made_of(tmp_path: Path) -> None:
    manifest = load(tmp_path, PAGE)
    assert manifest.grouping.required == ["pa"]
    assert manifest.series_of(manifest.outputs[0]) == "pa"
    assert manifest.reads_single_images("lateral")
    assert lacking(manifest, {"pa": "1.2"}) == ""
    assert "no pa (view PA), without which tiny does not read" in lacking(manifest, {"lateral": "1.2"})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('by = "study"\noptional = ["lateral"]', 'by = "series"', ':10: grouping: by = "study" names what'),
        ('optional = ["lateral"]', 'optional = ["side"]', ":10: grouping: optional names side: there are pa, lateral"),
        ('optional = ["lateral"]', 'optional = ["pa", "lateral"]', ":10: grouping: one series at least"),
        ('name = "lateral"', 'name = "pa"', ":10: grouping: two series have one name"),
        ('series = ["pa"]', 'series = ["ap"]', ":21: preprocess.0.series: there is no series 'ap'"),
        ('series = "lateral"', 'series = "side"', ":29: tensors.inputs.1.series: there is no series 'side'"),
        ('series = "lateral"\n', "", ":26: tensors.inputs.1.series: which series is it of? Write one of pa, lateral"),
        ('shape = [1, 8, 8]\nseries = "lateral"', 'shape = [1, -1, 8]\nseries = "lateral"',
         ":28: tensors.inputs.1.shape: lateral may be missing, and zeros stand in: write every size"),
        ('[1, 8, 8]\nseries = "pa"', '[8, 8]\nseries = "pa"', ":24: tensors.inputs.0.shape: is [channels"),
        ("shape = [2]", "shape = [3]", ":32: tensors.inputs.2.shape: present tells of each series"),
        ('series = "lateral"', 'series = "pa"', "tensors: exactly one input has source"),
        ('kind = "binary"', 'kind = "binary"\nseries = "lateral"', "outputs: every output is of a series that may be"),
        ('kind = "binary"', 'kind = "binary"\nseries = "x"', ":38: outputs.0.series: there is no series 'x'"),
        ('source = "present"', 'source = "features"\n[[tensors.inputs.features]]\ntag = "KVP"\norder = "priority"',
         "write tag or order, one of both"),
        ('shape = [2]\nsource = "present"',
         'shape = [1]\nsource = "features"\nseries = "lateral"\n[[tensors.inputs.features]]\ntag = "KVP"',
         "lateral may be missing: write what stands in, as missing"),
        ('[grouping]\n', '[gate]\nwarn_below = 0.5\nhold_below = 0.2\n[grouping]\n', "gate"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in PAGE
    with pytest.raises(PackageError) as told:
        load(tmp_path, PAGE.replace(old, new, 1))
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ('name = "front"\nshape = [1, 8, 8]\nseries = "pa"', "tensors.inputs.0.series: series is for grouping.by"),
        ('name = "there"\nshape = [2]\nsource = "present"', "tensors.inputs.1.source: present is for grouping.by"),
    ],
)
def test_only_a_study_has_series(tmp_path: Path, kept: str, words: str) -> None:
    head, tail = PAGE[: PAGE.index("[grouping]")], PAGE[PAGE.index("[[outputs]]") :]
    front = "" if "front" in kept else '[[tensors.inputs]]\nname = "image"\nshape = [1, 8, 8]\n'
    with pytest.raises(PackageError) as told:
        load(tmp_path, f"{head}{front}[[tensors.inputs]]\n{kept}\n{tail}")
    assert words in str(told.value)


def test_what_a_selector_wants_is_told_in_words() -> None:
    wanted = NamedSeries(name="rcc", modality=["MG"], view_position=["CC"], laterality=["R"], minimum_instances=2)
    assert wanted.in_words == "MG, view CC, laterality R, 2 images"
    assert SelectorTable().in_words == "any series"
    assert wanted.takes_image({"view_position": "CC", "image_laterality": "R"})
    assert not wanted.takes_image({"view_position": "CC", "image_laterality": "L"})
    assert not wanted.takes_image({"view_position": "CC"})
    assert SelectorTable(laterality=["R"]).takes_image({})
