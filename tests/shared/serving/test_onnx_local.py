"""The in-process fallback answers and refuses as Triton does, and is never taken silently."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.serving import open_models
from shared.serving.model_config import read_config
from shared.serving.models import Array, ModelRefused, ModelUnavailable
from shared.serving.onnx_local import LocalModels
from shared.serving.triton_grpc import TritonModels
from shared.serving.triton_server import TritonServer


@pytest.fixture
def local(repository: Path) -> Iterator[LocalModels]:
    models = LocalModels(repository)
    yield models
    models.close()


def images(rows: int) -> Array:
    return np.random.default_rng(1).random((rows, 1, 32, 32), dtype=np.float32)


def test_answers_are_right_for_more_rows_than_a_batch(local: LocalModels) -> None:
    sent = images(20)
    found = local.infer("mean", {"image": sent})
    np.testing.assert_allclose(found["score"].ravel(), sent.mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_array_equal(found["copy"], sent)
    assert local.statistics("mean") == {"name": "mean", "inference_count": 20, "execution_count": 3}


@pytest.mark.triton
def test_the_answers_are_tritons(local: LocalModels, server: TritonServer) -> None:
    with TritonModels(server.url) as triton:
        for name, array in triton.infer("mean", {"image": images(9)}).items():
            np.testing.assert_allclose(local.infer("mean", {"image": images(9)})[name], array, rtol=1e-6)


@pytest.mark.parametrize(
    ("model_name", "inputs", "outputs"),
    [
        ("mean", {"image": np.zeros((1, 8, 8), np.float32)}, None),
        ("mean", {"image": np.zeros((1, 3, 8, 8), np.float32)}, None),
        ("mean", {"image": np.zeros((1, 1, 8, 8), np.float64)}, None),
        ("mean", {"image": np.zeros((0, 1, 8, 8), np.float32)}, None),
        ("mean", {}, None),
        ("mean", {"image": np.zeros((1, 1, 8, 8), np.float32)}, ["nothing"]),
        ("weigh", {"row": np.zeros((1, 5), np.float32)}, None),
    ],
)
def test_what_triton_refuses_is_refused(
    local: LocalModels, model_name: str, inputs: dict[str, Array], outputs: list[str] | None
) -> None:
    with pytest.raises(ModelRefused):
        local.infer(model_name, inputs, outputs)


@pytest.mark.parametrize("model_name", ["unheard_of", "broken", "../mean/1"])
def test_a_model_that_is_not_there_may_come(local: LocalModels, model_name: str) -> None:
    assert not local.model_ready(model_name)
    with pytest.raises(ModelUnavailable):
        local.infer(model_name, {"image": images(1)})


def test_models_are_unloaded_and_loaded(local: LocalModels) -> None:
    local.unload("mean")
    with pytest.raises(ModelUnavailable):
        local.infer("mean", {"image": images(1)})
    local.load("mean")
    assert local.infer("mean", {"image": images(1)})


def test_time_that_is_up_is_unavailable(local: LocalModels) -> None:
    with pytest.raises(ModelUnavailable, match="in time"):
        local.infer("mean", {"image": images(1)}, timeout_s=-1)


def test_a_malformed_configuration_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text('name: "x"\nmax_batch: 3\n')
    with pytest.raises(ValueError, match="2:"):
        read_config(path)


def test_on_linux_the_fallback_is_never_the_default(
    repository: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ValueError, match="no address"):
        open_models("", repository)
    assert isinstance(open_models("127.0.0.1:1", repository), TritonModels)
    assert caplog.records == []


def test_the_fallback_says_what_it_is(
    repository: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    models = open_models("", repository)
    assert "NOT Triton" in models.description
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert isinstance(open_models("triton.example:8001", repository), TritonModels)
