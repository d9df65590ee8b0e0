"""`isocenter package new`, `import` and `train`: what comes out is a package from the start, and mistakes are told."""

import shutil

import pytest
from typer.testing import CliRunner

from shared.cli.main import app
from shared.packages.folder import load_package
from shared.packages.making.draft import output_name, write_draft
from shared.packages.making.importing import draft_around
from shared.packages.validation.tensors import check_tensors
from tests.networks import FLOAT, network, node, tensor_info


def run(*arguments):
    result = CliRunner().invoke(app, ["package", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def config(tmp_path, request):
    """A page with an empty folder of packages."""
    (tmp_path / "packages").mkdir()
    page = tmp_path / "isocenter.toml"
    page.write_text(f'[triton]\nmodel_repository = "{tmp_path}/packages"\n')
    return page


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--kind", "gate"),
        ("--output", "landmark"),
        ("--output", "measurement"),
        ("--modality", "CT"),
        ("--by", "series"),
        ("--by", "study"),
    ],
    ids=lambda options: " ".join(options) or "default",
)
def test_a_new_package_can_be_loaded_and_says_what_is_open(config, options):
    code, said = run("new", "lung_nodule", "--config", config, *options)
    folder = config.parent / "packages" / "lung_nodule"
    assert code == 0, said
    package = load_package(folder)
    assert package.is_gate == ("gate" in options)
    assert "TODO" in (folder / "package.toml").read_text()
    assert "TODO" in (folder / "README.md").read_text()
    assert package.manifest.package.use_mark == "not-for-clinical-use"
    assert package.manifest.grouping.by == (options[1] if "--by" in options else "image")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "Lung-Nodule"), "can't be a package's name"),
        (("import", "nowhere.onnx"), "there is no file nowhere.onnx"),
        (("train", "nothing"), "there is no package nothing"),
        (("try", "nothing", "nowhere"), "there is no folder nowhere"),
        (("validate",), "give the name of one package, or --all"),
    ],
)
def test_mistakes_are_told(config, arguments, said):
    code, told = run(*arguments, "--config", config)
    assert code == 2
    assert said in told


def test_a_name_is_taken_once(config):
    assert run("new", "lung_nodule", "--config", config)[0] == 0
    assert "is there already" in run("new", "lung_nodule", "--config", config)[1]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.onnx", b"nothing", "can't be opened by ONNX Runtime"),
        ("model.h5", b"nothing", ".onnx, TorchScript (.ts, .pt) and MONAI bundles are taken"),
        ("model.ts", b"nothing", "give --shape"),
    ],
)
def test_a_file_that_is_no_network_leaves_nothing_behind(config, name, content, said):
    (config.parent / name).write_bytes(content)
    code, told = run("import", config.parent / name, "--name", "imported", "--config", config)
    assert code == 1
    assert said in told
    assert not (config.parent / "packages" / "imported").exists()


@pytest.mark.triton
def test_an_onnx_file_becomes_a_package_that_triton_serves(config, pytestconfig, triton_environment):
    config.write_text(config.read_text() + f'environment = "{triton_environment}"\n')
    network = config.parent / "Any-Network.onnx"
    shutil.copy(pytestconfig.rootpath / "model_repository" / "chest_opacity" / "1" / "model.onnx", network)
    code, said = run("import", network, "--modality", "DX", "--config", config)
    assert code == 0, said
    assert "golden rows on Triton" in said
    manifest = load_package(config.parent / "packages" / "any_network").manifest
    assert manifest.tensors.pixels.shape == [1, 512, 512]
    assert {output.tensor: output.kind for output in manifest.outputs} == {
        "logit": "regression", "patch_logits": "segment",
    }  # fmt: skip


def test_a_network_of_several_pictures_becomes_a_package_that_reads_a_study(config):
    nodes = [node("GlobalAveragePool", [name], [f"{name}_mean"]) for name in ("t1", "flair")]
    given = [tensor_info("t1", FLOAT, ["n", 1, 8, 64, 64]), tensor_info("flair", FLOAT, ["n", 1, 8, 32, 32])]
    made = network(
        [*nodes, node("Sum", ["t1_mean", "flair_mean"], ["sum"])], given, [tensor_info("sum", FLOAT, ["n", 1, 1, 1, 1])]
    )
    folder = config.parent / "packages" / "two"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(made)
    write_draft(draft_around(folder / "1" / "model.onnx", "two", ["MR"], "imported"), folder)
    manifest = load_package(folder).manifest
    assert manifest.grouping.names == ["t1", "flair"]
    assert [step.series for step in manifest.preprocess] == [[], ["t1"], ["flair"]]
    assert [check.state for check in check_tensors(load_package(folder))] == ["ok"]
    assert not run("show", "two", "--config", config)[0]


def test_a_gate_reads_single_images(config):
    code, said = run("new", "fit", "--kind", "gate", "--by", "study", "--config", config)
    assert code != 0
    assert "a gate scores single images" in said


def test_a_torchscript_file_becomes_a_package(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is in the train extra only")
    pytest.importorskip("onnx", reason="onnx is in the train extra only")
    from shared.packages.making.importing import import_network

    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    torch.jit.script(network.eval()).save(str(tmp_path / "two.ts"))
    draft = import_network(tmp_path / "two.ts", "two", tmp_path / "package", ["MR"], (1, 32, 32))
    assert [(t.name, t.shape) for t in draft.inputs] == [("image", (1, 32, 32))]
    assert [(t.name, t.kind, t.labels) for t in draft.outputs] == [("output", "multilabel", ("label_1", "label_2"))]
    assert draft.max_batch_size > 0, "its batch dimension is free"


def test_a_recipe_is_run_with_what_was_asked(config, monkeypatch):
    pytest.importorskip("torch", reason="torch is in the train extra only")
    run("new", "lung_nodule", "--config", config)
    folder = config.parent / "packages" / "lung_nodule"
    assert "has no recipe.py" in run("train", "lung_nodule", "--config", config)[1]
    (folder / "recipe.py").write_text("import sys; open(sys.argv[2] + '/asked', 'w').write(' '.join(sys.argv[1:]))")
    out = config.parent / "made"
    code, said = run("train", "lung_nodule", "--out", out, "--minutes", "2", "--seed", "7", "--config", config)
    assert code == 0, said
    assert (out / "asked").read_text() == f"--out {out} --seed 7 --minutes 2.0"
    (folder / "recipe.py").write_text("raise SystemExit(3)")
    assert run("train", "lung_nodule", "--out", out, "--config", config)[0] == 1


@pytest.mark.parametrize(
    ("given", "name"), [("Left Lung", "left_lung"), ("7", "output_7"), ("été", "t"), ("a" * 60, "a" * 48)]
)
def test_whatever_a_tensor_is_called_gives_a_name(given, name):
    assert output_name(given) == name
