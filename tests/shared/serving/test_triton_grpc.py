"""Asking a real Triton: right answers by both ways, errors in our words, and no harm from anything that dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import triton_to_np_dtype

from shared.serving import shared_memory_regions
from shared.serving.models import Array, ModelRefused, ModelUnavailable, ServerAway
from shared.serving.shared_memory_regions import is_this_host
from shared.serving.triton_environment import find_environment
from shared.serving.triton_grpc import TritonModels
from shared.serving.triton_server import TritonServer

pytestmark = pytest.mark.triton
Processes = Callable[[str], dict[int, str]]
NUMBERS = ["BOOL", *(f"{kind}{bits}" for kind in ("UINT", "INT") for bits in (8, 16, 32, 64)), "FP16", "FP32", "FP64"]
CHECKOUT = Path(__file__).resolve().parents[3]


def images(rows: int, seed: int = 0, size: int = 128) -> Array:
    return np.random.default_rng(seed).random((rows, 1, size, size), dtype=np.float32)


@pytest.mark.parametrize("rows", [1, 8, 20])
def test_answers_are_right_for_any_number_of_rows(models: TritonModels, rows: int) -> None:
    sent = images(rows)
    for _ in range(2):  # the second time the size of `copy` is known, and it comes through shared memory too
        found = models.infer("mean", {"image": sent})
        np.testing.assert_allclose(found["score"].ravel(), sent.mean(axis=(1, 2, 3)), rtol=1e-5)
        np.testing.assert_array_equal(found["copy"], sent)


def test_only_the_named_outputs_come_back_and_they_are_ours_to_change(models: TritonModels) -> None:
    found = models.infer("mean", {"image": images(2)}, outputs=["copy"])
    assert list(found) == ["copy"]
    found["copy"] += 1


def test_nan_and_infinity_are_left_alone(models: TritonModels) -> None:
    sent = images(3)
    sent[1, 0, 5, 5] = np.nan
    sent[2, 0, 5, 5] = np.inf
    found = models.infer("mean", {"image": sent})
    np.testing.assert_array_equal(found["copy"], sent)
    assert np.isfinite(found["score"].ravel()).tolist() == [True, False, False]


def test_an_array_in_any_memory_order_is_taken(models: TritonModels) -> None:
    sent = np.asfortranarray(images(4))[:, :, ::-1, ::2]
    np.testing.assert_array_equal(models.infer("mean", {"image": sent})["copy"], sent)


def test_every_type_of_number_comes_back_as_it_went(models: TritonModels) -> None:
    sent = {f"{name}_in": np.array([[0, 1, 2], [3, 100, 1]]).astype(triton_to_np_dtype(name)) for name in NUMBERS}
    for name, array in models.infer("numbers", sent).items():
        np.testing.assert_array_equal(array, sent[name.replace("_out", "_in")], strict=True)


def test_text_comes_back_as_it_went(models: TritonModels, environment: Path) -> None:
    if find_environment(environment).python_version >= (3, 13):
        pytest.skip("text needs numpy 1 in Triton's environment")
    sent = np.array([[b"a", b"", "Größe".encode()]], dtype=np.object_)
    assert models.infer("text", {"STRING_in": sent})["STRING_out"].tolist() == sent.tolist()


def test_a_model_that_does_not_batch_is_asked_once(models: TritonModels) -> None:
    found = models.infer("slow", {"square": np.eye(200, dtype=np.float32)})
    np.testing.assert_allclose(found["power"], np.eye(200))


def test_a_larger_output_than_the_last_time_is_no_error(models: TritonModels) -> None:
    for size in (64, 256, 128, 300):
        sent = images(4, size=size)
        np.testing.assert_array_equal(models.infer("mean", {"image": sent})["copy"], sent)


def test_threads_share_one_connection_and_get_their_own_answers(models: TritonModels) -> None:
    def ask(seed: int) -> bool:
        sent = images(1 + seed % 9, seed)
        return bool(np.array_equal(models.infer("mean", {"image": sent})["copy"], sent))

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(ask, range(48)))


def test_requests_that_wait_together_run_as_one_batch(models: TritonModels) -> None:
    before = models.statistics("weigh")
    row = np.ones((1, 4), dtype=np.float32)
    barrier = threading.Barrier(8)

    def ask(value: int) -> float:
        barrier.wait(10)
        return models.infer("weigh", {"row": row * value})["sum"].item()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [10.0 * value for value in range(8)]
    after = models.statistics("weigh")
    assert after["inference_count"] - before["inference_count"] == 8
    assert after["execution_count"] - before["execution_count"] < 8


def test_a_request_that_the_network_can_not_take_fails_alone(models: TritonModels) -> None:
    barrier = threading.Barrier(6)

    def ask(width: int) -> str:
        barrier.wait(10)
        try:
            return str(models.infer("weigh", {"row": np.ones((1, width), dtype=np.float32)})["sum"].item())
        except ModelRefused as error:
            return "refused" if "dimension mismatch" in str(error) else str(error)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, [4, 5, 4, 6, 4, 5])) == ["10.0", "refused", "10.0", "refused", "10.0", "refused"]


@pytest.mark.parametrize(
    ("model_name", "inputs", "outputs", "reason"),
    [
        ("mean", {"image": np.zeros((1, 8, 8), np.float32)}, None, "unexpected shape"),
        ("mean", {"image": np.zeros((1, 3, 8, 8), np.float32)}, None, "unexpected shape"),
        ("mean", {"image": np.zeros((1, 1, 8, 8), np.float64)}, None, "FP64"),
        ("mean", {"image": np.zeros((1, 1, 8, 8), np.complex64)}, None, "complex64"),
        ("mean", {"image": np.zeros((0, 1, 8, 8), np.float32)}, None, "rows"),
        ("mean", {}, None, "missing required input"),
        ("mean", {"picture": np.zeros((1, 1, 8, 8), np.float32)}, None, "picture"),
        ("mean", {"image": np.zeros((1, 1, 8, 8), np.float32)}, ["nothing"], "unexpected inference output"),
    ],
    ids=[
        "too few dimensions",
        "channels",
        "float64",
        "complex",
        "no rows",
        "no input",
        "input's name",
        "output's name",
    ],
)
def test_what_can_never_be_answered_is_refused(
    models: TritonModels, model_name: str, inputs: dict[str, Array], outputs: list[str] | None, reason: str
) -> None:
    with pytest.raises(ModelRefused, match=reason):
        models.infer(model_name, inputs, outputs)


@pytest.mark.parametrize("model_name", ["unheard_of", "broken"])
def test_a_model_that_is_not_there_may_come(models: TritonModels, model_name: str) -> None:
    assert not models.model_ready(model_name)
    with pytest.raises(ModelUnavailable, match="unknown model"):
        models.infer(model_name, {"image": images(1)})


def test_no_answer_in_time_is_unavailable_and_the_next_request_is_served(models: TritonModels) -> None:
    square = np.eye(500, dtype=np.float32)
    for _ in range(3):
        with pytest.raises(ModelUnavailable, match="DEADLINE_EXCEEDED|in time"):
            models.infer("slow", {"square": square}, timeout_s=0.1)
    assert models.infer("slow", {"square": square})["power"].trace() == 500


def test_nobody_there_is_unavailable() -> None:
    with TritonModels("127.0.0.1:1") as models:
        assert not models.ready()
        assert not models.model_ready("mean")
        with pytest.raises(ModelUnavailable, match="UNAVAILABLE"):
            models.infer("mean", {"image": images(1)})


def test_models_are_unloaded_and_loaded(own_server: TritonServer) -> None:
    own_server.start()
    with TritonModels(own_server.url) as models:
        models.unload("mean")
        with pytest.raises(ModelUnavailable):
            models.infer("mean", {"image": images(1)})
        models.load("mean")
        assert models.infer("mean", {"image": images(1)})
        models.load("weigh")
        assert models.model_ready("weigh")
        with pytest.raises(ModelUnavailable, match="broken can't be loaded: .*Protobuf parsing failed"):
            models.load("broken")
        assert models.repository_index()["mean"] == ("READY", "")


@pytest.mark.parametrize("shared_memory", ["auto", "never"])
def test_a_server_killed_in_mid_flight_is_unavailable_and_found_again_when_it_is_back(
    own_server: TritonServer, shared_memory: str
) -> None:
    own_server.start()
    square = np.eye(600, dtype=np.float32)
    with TritonModels(own_server.url, shared_memory) as models:
        models.infer("mean", {"image": images(8)})
        killer = threading.Timer(0.3, os.kill, [own_server.pid, signal.SIGKILL])
        killer.start()
        with pytest.raises(ModelUnavailable) as died:
            models.infer("slow", {"square": square})
        killer.join()
        assert not isinstance(died.value, ServerAway), "it was being asked"
        with pytest.raises(ServerAway):
            models.infer("mean", {"image": images(8)})
        own_server.start()
        deadline = time.monotonic() + 60  # the channel looks again within a second, on a machine that has the time
        while not models.model_ready("mean"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        sent = images(8)
        for _ in range(2):
            np.testing.assert_array_equal(models.infer("mean", {"image": sent})["copy"], sent)


def test_a_killed_python_process_of_a_model_is_replaced(own_server: TritonServer, processes_naming: Processes) -> None:
    own_server.start()
    stubs = processes_naming(f"mean/1/model.onnx {own_server.shared_memory_prefix}")
    assert len(stubs) == 1
    with TritonModels(own_server.url) as models:
        os.kill(next(iter(stubs)), signal.SIGKILL)
        with pytest.raises(ModelUnavailable, match="not healthy"):
            models.infer("mean", {"image": images(8)})
        assert models.infer("mean", {"image": images(8)})["score"].shape == (8, 1, 1, 1)
        assert models.model_ready("slow")


def test_large_tensors_go_through_shared_memory_of_which_no_name_remains(server: TritonServer) -> None:
    with TritonModels(server.url, "auto") as models:
        assert "shared memory" in models.description
        models.infer("mean", {"image": images(8)})
        registered = server_regions(models)
        assert any(name.startswith(shared_memory_regions.own_prefix("io")) for name in registered)
        assert not list(shared_memory_regions.FOLDER.glob(f"{shared_memory_regions.own_prefix('io')}*"))
        mine = {name for name in registered if f"-{id(models._pool):x}-" in name}
    with TritonModels(server.url, "never") as other:
        assert not mine & set(server_regions(other))


def server_regions(models: TritonModels) -> list[str]:
    return list(models._client.get_system_shared_memory_status().regions)


def test_a_server_that_sees_other_shared_memory_is_asked_through_grpc(
    server: TritonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory_regions, "FOLDER", tmp_path)
    with TritonModels(server.url, "auto") as models:
        sent = images(8)
        for _ in range(2):
            np.testing.assert_array_equal(models.infer("mean", {"image": sent})["copy"], sent)
        assert "shared memory" not in models.description
    assert list(tmp_path.iterdir()) == []


def test_registrations_of_a_killed_client_are_undone_by_the_next(server: TritonServer) -> None:
    script = (
        "import os, signal, sys, numpy as np\n"
        "from shared.serving.shared_memory_regions import own_prefix\n"
        "from shared.serving.triton_grpc import TritonModels\n"
        "TritonModels(sys.argv[1]).infer('mean', {'image': np.zeros((8, 1, 128, 128), np.float32)})\n"
        "print(own_prefix('io'), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, server.url], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    prefix = killed.stdout.strip()
    with TritonModels(server.url) as models:
        assert any(name.startswith(prefix) for name in server_regions(models)), killed.stderr
        models.infer("mean", {"image": images(8)})
        assert not any(name.startswith(prefix) for name in server_regions(models))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("localhost:8001", True),
        ("127.0.0.1:8001", True),
        ("[::1]:8001", True),
        ("unix:/run/triton.sock", True),
        ("triton.hospital.example:8001", False),
        ("10.0.0.5:8001", False),
    ],
)
def test_shared_memory_is_only_tried_on_this_host(url: str, expected: bool) -> None:
    assert is_this_host(url) is expected
