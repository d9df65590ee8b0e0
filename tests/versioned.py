"""A small package in several versions: version n.0.0 multiplies the sum of its row by n."""

from pathlib import Path

from tests.shared.serving.conftest import FLOAT, constant, network, node, tensor, tensor_info

NAME = "scale"
CONFIG = f"""name: "{NAME}"
backend: "onnxruntime"
max_batch_size: 8
input [{tensor("row", [4])}]
output [{tensor("sum", [1])}]
dynamic_batching {{ }}
instance_group [ {{ count: 1 }} ]
"""
MANIFEST = """schema = 2
[package]
name = "scale"
version = "{number}.0.0"
kind = "{kind}"
title = "t"
intended_use = "u"
[selector]
modality = ["DX"]
[[tensors.inputs]]
name = "row"
shape = [4]
[[outputs]]
name = "nodule"
tensor = "sum"
kind = "binary"
code = {{ value = "27925004", scheme = "SCT", meaning = "Nodule" }}
"""


def weights(number: int) -> bytes:
    return network(
        [node("MatMul", ["row", "weights"], ["sum"])],
        [tensor_info("row", FLOAT, ["n", 4])],
        [tensor_info("sum", FLOAT, ["n", 1])],
        [constant("weights", [4, 1], [float(number)] * 4)],
    )


def add_version(repository: Path, number: int, model: bytes | None = None) -> Path:
    """Puts version `number` in, whole and at once; the first also makes the package's folder."""
    folder = repository / NAME
    folder.mkdir(parents=True, exist_ok=True)
    text = MANIFEST.format(number=number, kind="reader")
    if not (folder / "package.toml").exists():
        (folder / "package.toml").write_text(text)
        (folder / "config.pbtxt").write_text(CONFIG)
    coming = folder / f"{number}.coming"
    coming.mkdir()
    (coming / "model.onnx").write_bytes(weights(number) if model is None else model)
    (coming / "package.toml").write_text(text)
    coming.rename(folder / str(number))
    return folder / str(number)
