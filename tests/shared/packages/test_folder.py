"""Manifests: the shipped ones are good, and each mistake is named with file and line."""

import hashlib

import pytest

from shared.packages.folder import PackageError, load_all_versions, load_package, load_packages, load_versions
from shared.packages.limits import broken_limits

GOOD = """schema = 2
[package]
name = "lung_nodule"
version = "1.0.0"
kind = "reader"
title = "t"
intended_use = "u"
[selector]
modality = ["CT"]
[[tensors.inputs]]
name = "image"
shape = [1, 64, 64]
[[outputs]]
name = "nodule"
tensor = "logit"
kind = "binary"
code = { value = "27925004", scheme = "SCT", meaning = "Nodule" }
"""

LABEL = 'name = "a", code = { value = "a", scheme = "99ISO", meaning = "a" }'
CALIBRATED = f"{LABEL}, calibration = {{ slope = 2.0 }}"


def labelled(kind, *labels, more=""):
    """An output's lines from its kind on."""
    return f'kind = "{kind}"\nlabels = [{", ".join(f"{{ {label} }}" for label in labels)}]\n{more}\n'


MISTAKES = [
    ('kind = "reader"', 'kind = "reading"', ":5: package.kind:"),
    ('version = "1.0.0"', 'version = "one"', ":4: package.version:"),
    ('modality = ["CT"]', 'modality = "CT"', ":9: selector.modality:"),
    ('tensor = "logit"\n', "", ":13: outputs.0.tensor: is required"),
    ('kind = "reader"', 'kind = "gate"', "needs a [gate] table"),
    ("schema = 2", "schema = 3", ":1: schema:"),
    ('meaning = "Nodule"', 'meaning = "Mass"', "SCT 27925004 means 'nodule'; the manifest says 'Mass'"),
    ('scheme = "SCT"', 'scheme = "SNOMED"', "code.scheme 'SNOMED' is not one of"),
    ('kind = "binary"\n', 'kind = "binary"\nunit = "cubic cm"\n', "is not in UCUM"),
    ('kind = "binary"\n', 'kind = "binary"\nactivation = "softmax"\n', 'write "sigmoid"'),
    ('kind = "binary"\n', 'kind = "landmark"\ncalibration = { slope = 2.0 }\n', "calibration is of a single number"),
    ('kind = "binary"\n', 'kind = "ordinal"\n', "names its labels"),
    ('kind = "binary"\n', 'kind = "binary"\ngeometry = "angle"\n', 'geometry and of are for kind = "measurement"'),
    ('kind = "binary"\n', 'kind = "measurement"\nof = "lung"\nunit = "mm3"\n', "is no segment output of this package"),
    ('kind = "binary"\n', labelled("ordinal", LABEL), "a scale of two grades or more"),
    ('kind = "binary"\n', labelled("multilabel", LABEL, LABEL), "two labels have one name"),
    ('kind = "binary"\n', labelled("segment", CALIBRATED), "a label has a calibration only where"),
    (
        'kind = "binary"\n',
        labelled("multilabel", CALIBRATED, more='activation = "softmax"'),
        "is of a logit of its own",
    ),
    ("shape = [1, 64, 64]\n", 'shape = [3]\nsource = "features"\n', 'exactly one input has source = "pixels"'),
    ("[selector]", '[explanation]\nkind = "slice_weights"\n[selector]', "the tensor that holds it"),
    ('kind = "binary"\n', 'kind = "binary"\nthreshold = 50.0\n', ":17: outputs.0.threshold:"),
    (
        'kind = "binary"\n',
        'kind = "binary"\nsite = { code = { value = "76752008", scheme = "SCT", meaning = "Lung" } }\n',
        "the manifest says 'Lung'",
    ),
    ('kind = "binary"\n', 'kind = "binary"\nsite = { laterality = "left" }\n', "outputs.0.site.code: is required"),
    ('kind = "binary"\n', 'kind = "binary"\nthreshold = nan\n', ":17: outputs.0.threshold:"),
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


def versioned(tmp_path, newest="2.0.0"):
    """Two versions side by side, each with its own manifest."""
    folder = tmp_path / "lung_nodule"
    for number in ("1", "2"):
        (folder / number).mkdir(parents=True)
        (folder / number / "model.onnx").write_bytes(number.encode())
    (folder / "1" / "package.toml").write_text(GOOD)
    (folder / "package.toml").write_text(GOOD.replace("1.0.0", newest))
    return folder


def test_versions_lie_side_by_side(tmp_path):
    folder = versioned(tmp_path)
    assert [(p.version, p.number) for p in load_versions(folder)] == [("1.0.0", 1), ("2.0.0", 2)]
    assert load_package(folder).version == "2.0.0", "the newest one stands for the package"
    assert [p.version for p in load_all_versions(tmp_path)[0]] == ["1.0.0", "2.0.0"]


def test_two_versions_of_one_name_are_refused(tmp_path):
    with pytest.raises(PackageError, match=r"two versions are called 1\.0\.0"):
        load_versions(versioned(tmp_path, newest="1.0.0"))


def test_weights_that_the_manifest_does_not_name_are_refused(tmp_path):
    folder = tmp_path / "lung_nodule"
    (folder / "1").mkdir(parents=True)
    weights = bytes(1000)
    (folder / "1" / "model.onnx").write_bytes(weights)
    named = f'[weights]\ndigest = "sha256:{hashlib.sha256(weights).hexdigest()}"\n'
    (folder / "package.toml").write_text(GOOD + named)
    assert load_package(folder).version == "1.0.0"
    (folder / "1" / "model.onnx").write_bytes(weights[:500] + b"\x01" + weights[501:])
    with pytest.raises(PackageError, match="put the file back that was validated"):
        load_package(folder)


def test_a_manifest_of_the_first_schema_is_still_read(tmp_path):
    first = GOOD.replace("schema = 2", "schema = 1").replace(
        '[[tensors.inputs]]\nname = "image"\nshape = [1, 64, 64]\n',
        '[tensors]\ninput = { name = "image", dtype = "FP32", shape = [1, 64, 64] }\n',
    )
    assert load_package(write(tmp_path / "lung_nodule", first)).manifest.tensors.pixels.shape == [1, 64, 64]


def test_limits_hold_the_figures(tmp_path):
    text = GOOD + "[validation]\nauroc = 0.8\n[limits]\nauroc = { min = 0.85 }\nbrier = { max = 0.2 }\n"
    manifest = load_package(write(tmp_path / "lung_nodule", text)).manifest
    assert broken_limits(manifest) == ["auroc is 0.8, below the limit 0.85", "brier: [validation] has no such figure"]
