"""Tiny networks, and one real Triton that serves them to the tests of shared/serving."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from shared.serving.triton_environment import EnvironmentMissing, find_environment
from shared.serving.triton_grpc import TritonModels
from shared.serving.triton_server import TritonServer
from tests.networks import ELEMENTS, FLOAT, constant, network, node, tensor_info


def package(folder: Path, config: str, model: bytes) -> None:
    """One package folder: config.pbtxt and 1/model.onnx."""
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(model)
    (folder / "config.pbtxt").write_text(f'name: "{folder.name}"\nbackend: "onnxruntime"\n{config}')


def tensor(name: str, dims: Sequence[int], data_type: str = "TYPE_FP32") -> str:
    return f'{{ name: "{name}" data_type: {data_type} dims: [ {", ".join(map(str, dims))} ] }}'


def mean_network() -> bytes:
    """image [N,1,H,W] → score [N,1,1,1] (its mean) and copy [N,1,H,W] (itself)."""
    return network(
        [node("GlobalAveragePool", ["image"], ["score"]), node("Identity", ["image"], ["copy"])],
        [tensor_info("image", FLOAT, ["n", 1, "h", "w"])],
        [tensor_info("score", FLOAT, ["n", 1, 1, 1]), tensor_info("copy", FLOAT, ["n", 1, "h", "w"])],
    )


def weigh_network() -> bytes:
    """row [N,k] × weights [4,1] → sum [N,1]; config.pbtxt lets any k pass, the network only 4."""
    return network(
        [node("MatMul", ["row", "weights"], ["sum"])],
        [tensor_info("row", FLOAT, ["n", "k"])],
        [tensor_info("sum", FLOAT, ["n", 1])],
        [constant("weights", [4, 1], [1.0, 2.0, 3.0, 4.0])],
    )


def slow_network(products: int) -> bytes:
    """square [m,m] multiplied by itself again and again: seconds of work for m in the hundreds, and no batch."""
    names = ["square", *[f"p{i}" for i in range(products - 1)], "power"]
    nodes = [node("MatMul", [before, "square"], [after]) for before, after in zip(names, names[1:], strict=False)]
    return network(nodes, [tensor_info("square", FLOAT, ["m", "m"])], [tensor_info("power", FLOAT, ["m", "m"])])


def types_network(names: Sequence[str]) -> bytes:
    """For each type, its tensor in [N,3] → out of the same."""
    return network(
        [node("Identity", [f"{name}_in"], [f"{name}_out"]) for name in names],
        [tensor_info(f"{name}_in", ELEMENTS[name], ["n", 3]) for name in names],
        [tensor_info(f"{name}_out", ELEMENTS[name], ["n", 3]) for name in names],
    )


def types_config(names: Sequence[str]) -> str:
    inputs = ", ".join(tensor(f"{name}_in", [3], f"TYPE_{name}") for name in names)
    outputs = ", ".join(tensor(f"{name}_out", [3], f"TYPE_{name}") for name in names)
    return f"max_batch_size: 8\ninput [{inputs}]\noutput [{outputs}]\ninstance_group [ {{ count: 1 }} ]\n"


def write_packages(repository: Path) -> None:
    """mean and weigh batch, slow doesn't; broken and misnamed can't be loaded."""
    image, score, copy = tensor("image", [1, -1, -1]), tensor("score", [1, 1, 1]), tensor("copy", [1, -1, -1])
    batches = "dynamic_batching { max_queue_delay_microseconds: 20000 }\n"
    one = "instance_group [ { count: 1 } ]\n"
    mean = f"max_batch_size: 8\ninput [{image}]\noutput [{score}, {copy}]\n{batches}{one}"
    weigh = f"max_batch_size: 8\ninput [{tensor('row', [-1])}]\noutput [{tensor('sum', [1])}]\n{batches}{one}"
    slow = f"max_batch_size: 0\ninput [{tensor('square', [-1, -1])}]\noutput [{tensor('power', [-1, -1])}]\n{one}"
    threads = 'parameters { key: "intra_op_thread_count" value: { string_value: "1" } }\n'
    package(repository / "mean", mean, mean_network())
    package(repository / "weigh", weigh + threads, weigh_network())
    package(repository / "slow", slow + threads, slow_network(400))
    package(repository / "broken", mean, b"this is no network")
    package(repository / "misnamed", mean, weigh_network())
    numbers = [name for name in ELEMENTS if name != "STRING"]
    package(repository / "numbers", types_config(numbers), types_network(numbers))
    package(repository / "text", types_config(["STRING"]), types_network(["STRING"]))
    (repository / "README.md").write_text("A loose file, which Triton ignores.")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model_repository")
    write_packages(folder)
    return folder


@pytest.fixture(scope="session")
def environment() -> Path:
    try:
        return find_environment().folder
    except EnvironmentMissing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def server(repository: Path, environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """For tests that leave it as it is."""
    with TritonServer(repository, tmp_path_factory.mktemp("logs") / "triton.log", environment=environment) as started:
        yield started


@pytest.fixture(params=["auto", "never"])
def models(request: pytest.FixtureRequest, server: TritonServer) -> Iterator[TritonModels]:
    """Triton asked through shared memory, and through gRPC alone."""
    with TritonModels(server.url, request.param) as client:
        yield client


@pytest.fixture
def own_server(repository: Path, environment: Path, tmp_path: Path) -> Iterator[TritonServer]:
    """For one test to do with as it likes; not started yet."""
    server = TritonServer(repository, tmp_path / "triton.log", environment=environment, models=["mean", "slow"])
    yield server
    server.stop()


@pytest.fixture
def processes_naming() -> Callable[[str], dict[int, str]]:
    """Living processes whose command line has this text: the server's guard and stubs name their shared memory."""

    def find(text: str) -> dict[int, str]:
        found: dict[int, str] = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if text in command:
                found[int(folder.name)] = command
        return found

    return find
