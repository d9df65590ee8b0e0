"""Isocenter's own Triton: it starts, says what it can't serve, and leaves nothing behind however it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest

from shared.serving import shared_memory_regions, triton_server
from shared.serving.triton_environment import EnvironmentMissing
from shared.serving.triton_grpc import TritonModels
from shared.serving.triton_server import TritonNotStarted, TritonServer

pytestmark = pytest.mark.triton
Processes = Callable[[str], dict[int, str]]
CHECKOUT = Path(__file__).resolve().parents[3]
FREE = {"grpc": 0, "metrics": 0}
IMAGE = np.ones((1, 1, 4, 4), dtype=np.float32)


def segments(prefix: str) -> list[str]:
    return [path.name for path in shared_memory_regions.FOLDER.iterdir() if path.name.startswith(prefix)]


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_every_package_is_served_and_a_broken_one_is_named_with_its_reason(server: TritonServer) -> None:
    with TritonModels(server.url) as models:
        assert all(models.model_ready(name) for name in ("mean", "numbers", "slow", "weigh"))
        assert not models.model_ready("broken")
    assert "Protobuf parsing failed" in server.failed_models["broken"]
    assert "config.pbtxt names tensor 'image'; model.onnx has ['row']" in server.failed_models["misnamed"]
    assert set(server.failed_models) - {"text"} == {"broken", "misnamed"}


def test_triton_tells_its_metrics(server: TritonServer) -> None:
    with TritonModels(server.url) as models:
        models.infer("mean", {"image": IMAGE})
    with urlopen(server.metrics_url, timeout=5) as answer:
        assert b'nv_inference_count{model="mean"' in answer.read()


def test_nothing_listens_beyond_this_machine(server: TritonServer) -> None:
    assert server.url.startswith("127.0.0.1:")


def test_stopping_leaves_no_process_and_no_shared_memory(own_server: TritonServer, processes_naming: Processes) -> None:
    own_server.start()
    prefix = own_server.shared_memory_prefix
    assert len(processes_naming(prefix)) >= 3, "guard, server's stub for mean, stub for slow"
    assert len(segments(prefix)) == 2
    own_server.stop()
    assert not own_server.running
    assert processes_naming(prefix) == {}
    assert segments(prefix) == []
    own_server.stop()


def test_a_server_that_was_killed_is_started_again_on_the_same_port(
    own_server: TritonServer, processes_naming: Processes
) -> None:
    own_server.start()
    url, prefix = own_server.url, own_server.shared_memory_prefix
    os.kill(own_server.pid, signal.SIGKILL)
    assert until(lambda: not own_server.running)
    assert until(lambda: not processes_naming(prefix) and not segments(prefix))
    own_server.start()
    assert own_server.url == url
    with TritonModels(url) as models:
        assert models.infer("mean", {"image": IMAGE})["score"].item() == 1.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_triton_ends_with_the_process_that_started_it(
    repository: Path, environment: Path, tmp_path: Path, processes_naming: Processes, number: signal.Signals
) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from shared.serving.triton_server import TritonServer\n"
        "repository, environment, log = map(Path, sys.argv[1:])\n"
        "server = TritonServer(repository, log, environment=environment, models=['mean']).start()\n"
        "print(server.shared_memory_prefix, flush=True)\n"
        "time.sleep(600)\n"
    )
    arguments = [str(repository), str(environment), str(tmp_path / "triton.log")]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        prefix = owner.stdout.readline().strip()
        assert processes_naming(prefix)
        owner.send_signal(number)
    assert until(lambda: not processes_naming(prefix) and not segments(prefix), 15), processes_naming(prefix)


def test_a_port_that_is_taken_is_an_error_that_names_it(repository: Path, environment: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = TritonServer(repository, tmp_path / "triton.log", environment=environment, models=[], grpc_port=port)
        with pytest.raises(
            TritonNotStarted, match=rf"grpc port 127\.0\.0\.1:{port} can't be had: Address already in use"
        ):
            server.start()
        assert not server.running


def test_a_port_that_is_lost_to_a_race_is_replaced(
    own_server: TritonServer, server: TritonServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers = [{"grpc": int(server.url.rpartition(":")[2]), "metrics": 0}, triton_server.choose_ports("127.0.0.1", FREE)]
    monkeypatch.setattr(triton_server, "choose_ports", lambda address, asked: offers.pop(0))
    monkeypatch.setattr(triton_server, "check_free", lambda address, ports: None)
    own_server.start(timeout_s=40)
    assert own_server.url != server.url
    with TritonModels(own_server.url) as models:
        assert models.server_id() == own_server.shared_memory_prefix


def test_a_server_that_is_not_ready_in_time_is_ended(own_server: TritonServer, processes_naming: Processes) -> None:
    with pytest.raises(TritonNotStarted, match="not ready in time"):
        own_server.start(timeout_s=0.01)
    assert not own_server.running
    assert processes_naming(own_server.shared_memory_prefix) == {}


def test_no_environment_is_an_error_that_says_what_to_do(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMissing, match="run: python deploy/triton/setup_environment.py"):
        TritonServer(repository, tmp_path / "triton.log", environment=tmp_path / "none").start()
