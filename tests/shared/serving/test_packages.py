"""The real packages of this repository: Triton serves each, and answers what ONNX Runtime answers in this process."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.serving.model_config import read_config
from shared.serving.onnx_local import LocalModels
from shared.serving.triton_grpc import TritonModels
from shared.serving.triton_server import TritonServer

pytestmark = pytest.mark.triton
REPOSITORY = Path(__file__).resolve().parents[3] / "model_repository"
PACKAGES = sorted(path.parent.name for path in REPOSITORY.glob("*/config.pbtxt"))
ANY_LENGTH = 128


@pytest.fixture(scope="module")
def packages(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    log_file = tmp_path_factory.mktemp("logs") / "triton.log"
    with TritonServer(REPOSITORY, log_file, environment=environment) as server:
        yield server


@pytest.mark.parametrize("name", PACKAGES)
def test_triton_and_onnx_runtime_agree(packages: TritonServer, name: str) -> None:
    assert name not in packages.failed_models, packages.failed_models[name]
    random = np.random.default_rng(7)
    rows = 3
    inputs = {
        tensor.name: random.random((rows, *(ANY_LENGTH if n < 0 else n for n in tensor.dims))).astype(tensor.dtype)
        for tensor in read_config(REPOSITORY / name / "config.pbtxt").inputs
    }
    with TritonModels(packages.url) as triton:
        found = triton.infer(name, inputs)
    expected = LocalModels(REPOSITORY).infer(name, inputs)
    assert found.keys() == expected.keys()
    for output, array in found.items():
        assert array.shape[0] == rows
        np.testing.assert_allclose(array, expected[output], rtol=1e-3, atol=1e-4)
