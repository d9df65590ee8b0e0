"""A package of a test's own at work: its network answers in ONNX Runtime, infer and report do theirs, on one book."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import select
from typer.testing import CliRunner

from services.infer.work import Reader
from services.report.main import Reporter
from services.report.settings import Settings
from shared.cli.main import app
from shared.packages.folder import Package, load_package
from shared.packages.installed import Installed
from shared.result_profiles import DICOM_KINDS
from shared.serving import Models, open_models
from shared.serving.triton_server import TritonServer
from shared.settings import Core, Destination
from shared.stage import Stage, run_next
from shared.store import Run, open_book
from shared.store.moves import move
from shared.study import RunEvent, RunState
from tests.served import gating

CODE = {"value": "x", "scheme": "99ISO", "meaning": "Something"}
DESTINATIONS = [
    Destination(name="pacs", kind="dicom", host="h", port=104, ae_title="A", objects=list(DICOM_KINDS)),
    Destination(name="ris", kind="mllp", host="h", port=2575),
]


def tiny_package(
    repository: Path, network: bytes, tensors: Mapping[str, Sequence[int]], outputs: Sequence[dict[str, Any]],
    image: Sequence[int] = (1, -1, -1), inputs: Sequence[dict[str, Any]] = (), **more: Any,
) -> Package:  # fmt: skip
    """`tiny` in `repository`: `tensors` are the outputs' dims by name, `image` those of its input; or `inputs`, as the
    manifest has them."""
    taken = list(inputs) or [{"name": "image", "shape": list(image)}]
    folder = repository / "tiny"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(network)
    shapes = {one["name"]: one["shape"] for one in taken}
    given, said = (
        ", ".join(f'{{ name: "{name}", data_type: TYPE_FP32, dims: {list(dims)} }}' for name, dims in side.items())
        for side in (shapes, tensors)
    )
    (folder / "config.pbtxt").write_text(
        f'name: "tiny"\nbackend: "onnxruntime"\nmax_batch_size: 8\ninput [ {given} ]\noutput [ {said} ]\n'
    )
    manifest = {
        "schema": 2, "selector": {}, "tensors": {"inputs": taken},
        "package": {"name": "tiny", "version": "1.0.0", "kind": "reader", "title": "Tiny", "intended_use": "none"},
        "outputs": [{"code": CODE} | output for output in outputs], **more,
    }  # fmt: skip
    (folder / "package.toml").write_text("".join(f"{key} = {_toml(value)}\n" for key, value in manifest.items()))
    return load_package(folder)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list | tuple) else json.dumps(value)


@dataclass
class AtWork:
    """One study with the files `paths`, and `package` to read it."""

    home: Path
    package: Package
    paths: Sequence[Path]
    triton: Path | None = None  # its environment: a real one then answers, instead of ONNX Runtime in this process

    destinations: Sequence[Destination] = tuple(DESTINATIONS)

    def __post_init__(self) -> None:
        self.core = Core(data_dir=self.home / "data")
        self.book = open_book(f"sqlite:///{self.home}/isocenter.db")
        self.book.migrate()
        gating(self.book, self.core.store_dir, self.paths, [("tiny", "reader")])
        with self.book.write() as session:
            move(session, session.exec(select(Run)).one(), RunEvent.PASSED)

    def run(self) -> Run:
        """The run as it stands in the book."""
        with self.book.read() as session:
            return session.exec(select(Run)).one()

    def read(self) -> Run:
        """infer's work."""
        with self._models() as models:
            reader = Reader(self.book, self.core, Installed(self.package.folder.parent), models, 20.0)
            assert run_next(self.book, Stage("infer", Run, (RunState.READY,), reader.work))
        return self.run()

    @contextmanager
    def _models(self) -> Iterator[Models]:
        repository = self.package.folder.parent
        if self.triton is None:
            yield open_models("", repository, in_process=True)
            return
        with TritonServer(repository, self.home / "triton.log", environment=self.triton) as server:
            models = open_models(server.url, repository)
            try:
                yield models
            finally:
                models.close()

    def report(self) -> Path:
        """report's work: the folder with the run's objects."""
        reporter = Reporter(self.book, self.core, Settings(), self.destinations, Installed(self.package.folder.parent))
        assert run_next(self.book, Stage("report", Run, (RunState.READ, RunState.HOLDING), reporter.work))
        run = self.run()
        return self.core.results_dir / run.study_instance_uid / run.id


def words_of(folder: Path) -> str:
    """Everything that the run's SR and message say, in one text."""
    paths = [*folder.glob("SR*.dcm"), *folder.glob("*.hl7")]
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in paths)


def agrees(folder: Path) -> None:
    done = CliRunner().invoke(app, ["verify-results", str(folder)])
    assert done.exit_code == 0, done.output
