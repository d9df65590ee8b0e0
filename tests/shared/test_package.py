"""Manifests: the shipped ones are good, and each mistake is named with file and line."""

import pytest

from shared.package import PackageError, load_package, load_packages

GOOD = """schema = 1
[package]
name = "lung_nodule"
version = "1.0.0"
kind = "reader"
title = "t"
intended_use = "u"
[selector]
modality = ["CT"]
[tensors]
input = { name = "image", dtype = "FP32", shape = [1, 64, 64] }
[[outputs]]
name = "nodule"
tensor = "logit"
kind = "binary"
code = { value = "27925004", scheme = "SCT", meaning = "Nodule" }
"""

MISTAKES = [
    ('kind = "reader"', 'kind = "reading"', ":5: package.kind:"),
    ('version = "1.0.0"', 'version = "one"', ":4: package.version:"),
    ('modality = ["CT"]', 'modality = "CT"', ":9: selector.modality:"),
    ('tensor = "logit"\n', "", ":12: outputs.0.tensor: is required"),
    ('kind = "reader"', 'kind = "gate"', "needs a [gate] table"),
    ("schema = 1", "schema = 2", ":1: schema:"),
    ('kind = "binary"\n', 'kind = "binary"\nthreshold = 50.0\n', ":16: outputs.0.threshold:"),
    ('kind = "binary"\n', 'kind = "binary"\nthreshold = nan\n', ":16: outputs.0.threshold:"),
    ('name = "lung_nodule"', 'name = "other_name"', "make them equal"),
]


def write(folder, text):
    folder.mkdir()
    (folder / "package.toml").write_text(text)
    return folder


def test_a_good_manifest(tmp_path):
    package = load_package(write(tmp_path / "lung_nodule", GOOD))
    assert (package.name, package.version, package.is_gate) == ("lung_nodule", "1.0.0", False)
    assert package.manifest.package.use_mark == "not-for-clinical-use", "the safe default"


@pytest.mark.parametrize(("found", "written", "said"), MISTAKES, ids=[written or said for _, written, said in MISTAKES])
def test_a_mistake_is_named_with_its_line(tmp_path, found, written, said):
    assert found in GOOD
    with pytest.raises(PackageError) as error:
        load_package(write(tmp_path / "lung_nodule", GOOD.replace(found, written)))
    assert said in str(error.value)


def test_a_bad_package_leaves_the_others_alone(tmp_path):
    write(tmp_path / "lung_nodule", GOOD)
    write(tmp_path / "broken", "schema = ")
    packages, errors = load_packages(tmp_path)
    assert [p.name for p in packages] == ["lung_nodule"]
    assert len(errors) == 1
    assert "broken" in errors[0]


def test_the_shipped_packages_are_good(pytestconfig):
    packages, errors = load_packages(pytestconfig.rootpath / "model_repository")
    assert not errors
    assert {"chest_opacity", "motion_ssim"} <= {p.name for p in packages}
    for package in packages:
        assert len(package.weights_digest()) == 64
        assert (package.folder / "README.md").is_file(), "a card"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"x = " + b"9" * 5000, "too many digits"),
        (b"x = " + b"[" * 3000 + b"]" * 3000, "nested too deeply"),
        (b"x = '\xff'", "UTF-8"),
    ],
    ids=["digits", "nested", "encoding"],
)
def test_what_no_manifest_should_hold_leaves_only_that_package_out(tmp_path, line, said):
    (tmp_path / "lung_nodule").mkdir()
    (tmp_path / "lung_nodule" / "package.toml").write_bytes(GOOD.encode() + b"\n[training]\n" + line)
    packages, errors = load_packages(tmp_path)
    assert packages == []
    assert len(errors) == 1
    assert said in errors[0]


def test_a_manifest_that_is_no_file_is_said(tmp_path):
    (tmp_path / "lung_nodule" / "package.toml").mkdir(parents=True)
    assert "can't be read" in load_packages(tmp_path)[1][0]


def test_only_plain_numbers_are_versions_of_weights(tmp_path):
    folder = tmp_path / "lung_nodule"
    for version in ("1", "²"):
        (folder / version).mkdir(parents=True)
        (folder / version / "model.onnx").write_bytes(version.encode())
    (folder / "package.toml").write_text(GOOD)
    assert load_package(folder).weights_digest() == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
