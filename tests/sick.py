"""Packages of one tiny network in Python each, on a real Triton, that a test makes ill and well again as it likes."""

from collections.abc import Sequence
from pathlib import Path

from shared.packages.folder import Package, load_package
from shared.packages.making.draft import Draft, DraftTensor, write_draft

WELL, HANGS, NAN, SHAPE, DIES, KILLS = "well", "hangs", "nan", "shape", "dies", "kills"
"""What it may have: no answer in time, numbers that are none, another shape, an end of its own process, and one that
takes Triton along, as a network in NVIDIA's native backend does that crashes."""

_MODEL = """
import os, signal, time
from pathlib import Path
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.mood = Path(args["model_repository"]) / "mood"
    def execute(self, requests):
        mood = self.mood.read_text()
        if mood == "hangs":
            time.sleep(1.5)
        if mood == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if mood == "kills":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(1.5)
        return [self.answer(request, mood) for request in requests]
    def answer(self, request, mood):
        image = np.from_dlpack(pb_utils.get_input_tensor_by_name(request, "image"))
        mean = image.reshape(len(image), -1).mean(axis=1, dtype=np.float32).reshape(-1, 1)
        mean = mean * np.float32("nan") if mood == "nan" else np.hstack([mean, mean]) if mood == "shape" else mean
        return pb_utils.InferenceResponse([pb_utils.Tensor("mean", np.ascontiguousarray(mean))])
"""


def write_packages(repository: Path, names: Sequence[str], kind: str = "reader") -> list[Package]:
    """Packages of these names that say the mean of a radiograph's pixels, all well."""
    return [_write(repository / name, kind) for name in names]


def make(package: Package, mood: str) -> None:
    """From its next request on."""
    (package.folder / "mood").write_text(mood)


def _write(folder: Path, kind: str) -> Package:
    image, mean = DraftTensor("image", (1, -1, -1)), DraftTensor("mean", (-1,))
    write_draft(Draft(folder.name, kind, "A mean", [image], [mean], modality=["DX"]), folder)
    config = folder / "config.pbtxt"
    config.write_text(config.read_text().replace('"onnxruntime"', '"python"'))
    (folder / "1").mkdir()
    (folder / "1" / "model.py").write_text(_MODEL)
    (folder / "1" / "model.onnx").write_bytes(b"")  # what serves it is beside it
    package = load_package(folder)
    make(package, WELL)
    return package
