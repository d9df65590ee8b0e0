"""Several listener processes on one port: what is acknowledged outlives any of them, and limits hold over all."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from pydicom.uid import MRImageStorage

from shared.store import open_book
from tests.dicom_peer import ASSOCIATE_AC, ASSOCIATE_RJ, EXPLICIT, RELEASE_RP, Peer, store_message

MR = [(MRImageStorage, EXPLICIT)]
STUDY = "1.2.826.9"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Running:
    """`python -m services.collect` and what can be asked of it."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.port, self.metrics, self.data = free_port(), free_port(), folder / "data"
        said = {
            "host": '"127.0.0.1"', "port": self.port, "stop_seconds": 5, "least_free_bytes": 0, "processes": 2,
            "quiet_seconds": 2, **settings,
        }  # fmt: skip
        lines = [f'[isocenter]\ndata_dir = "{self.data}"', "[collect]", *(f"{k} = {v}" for k, v in said.items())]
        (folder / "isocenter.toml").write_text("\n".join(lines))
        self.environment = {
            **os.environ, "ISOCENTER_CONFIG": str(folder / "isocenter.toml"),
            "ISOCENTER_METRICS_PORT": str(self.metrics),
        }  # fmt: skip
        self.log = folder / "collect.log"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.collect"], env=self.environment, cwd=Path(__file__).parents[4],
                stderr=log,
            )  # fmt: skip

    def children(self) -> list[int]:
        """The listener processes that listen."""
        try:
            ids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").parent.parent.glob("*/children")
            return sorted({int(one) for path in ids for one in path.read_text().split()})
        except OSError:
            return []

    def listening(self) -> bool:
        """Whether each process has its folder, and the port accepts."""
        folders = list((self.data / "store/.incoming").glob("*-*"))
        return len(folders) >= 2 and len(self.children()) == 2 and self._accepts()

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def half_written(self) -> list[Path]:
        return [p for p in (self.data / "store/.incoming").rglob("*") if p.is_file()]

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=5) as page:
            lines = [line for line in page.read().decode().splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def serving(self, associate) -> list[int]:
        """The processes behind some associations, by the sockets that they hold."""
        ends = {one.socket.getsockname()[1] for one in associate}
        owners = []
        for pid in self.children():
            inodes = {os.readlink(p) for p in Path(f"/proc/{pid}/fd").iterdir() if p.is_symlink()}
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
                part = line.split()
                if int(part[2].rpartition(":")[2], 16) in ends and f"socket:[{part[9]}]" in inodes:
                    owners.append(pid)
        return owners


@pytest.fixture
def run(tmp_path, tools):
    started: list[Running] = []

    def begin(**settings) -> Running:
        running = Running(tmp_path, **settings)
        started.append(running)
        tools.until(running.listening, seconds=40)
        return running

    yield begin
    for running in started:
        running.process.terminate()
        try:
            running.process.wait(20)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()


@pytest.fixture
def pages_in(pages_of):
    books = []

    def begin(running):
        books.append(open_book(f"sqlite:///{running.data}/isocenter.db"))
        return pages_of(books[-1])

    yield begin
    for book in books:
        book.close()


def post(peer: Peer, tools, study: str = STUDY, **more) -> str:
    ds = tools.image(study, **more)
    peer.send(store_message(MRImageStorage, ds.SOPInstanceUID, tools.encode(ds)))
    assert peer.status() == 0
    return str(ds.SOPInstanceUID)


def test_processes_share_the_port_their_counters_and_the_end(run, pages_in, tools) -> None:
    running = run()
    peers = [Peer(running.port, MR) for _ in range(8)]
    assert set(running.serving(peers)) == set(running.children()), "each takes its part"
    sent = {post(peer, tools) for peer in peers for _ in range(5)}
    assert running.metric("isocenter_instances_stored_total{") == 40
    assert running.metric("isocenter_associations_open") == 8
    maps = [Path(f"/proc/{pid}/maps").read_text() for pid in (running.process.pid, *running.children())]
    assert not any("/numpy/" in one or "/PIL/" in one for one in maps), "40 MB a process that nobody asked for"
    running.process.terminate()
    tools.until(lambda: socket.socket().connect_ex(("127.0.0.1", running.port)) != 0)
    sent |= {post(peer, tools) for peer in peers}
    assert [peer.release() for peer in peers] == [RELEASE_RP] * 8
    assert running.process.wait(20) == 0
    assert {row.sop_instance_uid for row in pages_in(running).instances()} == sent
    assert list((running.data / "store/.incoming").iterdir()) == []
    assert "Traceback" not in running.log.read_text()


def test_a_listener_that_is_killed_is_replaced_and_loses_nothing(run, pages_in, tools) -> None:
    running = run()
    pages = pages_in(running)
    peer = Peer(running.port, MR)
    (victim,) = running.serving([peer])
    sent = {post(peer, tools) for _ in range(20)}
    ds = tools.image(STUDY)
    peer.send(store_message(MRImageStorage, ds.SOPInstanceUID, tools.encode(ds))[:-3])
    tools.until(running.half_written)
    os.kill(victim, signal.SIGKILL)  # most likely with rows that are not written yet
    tools.until(lambda: not running.half_written())
    tools.until(lambda: {row.sop_instance_uid for row in pages.instances(STUDY)} == sent)
    tools.until(lambda: len(running.children()) == 2 and victim not in running.children(), seconds=20)
    tools.until(lambda: pages.study(STUDY).state == "waiting", seconds=20)
    assert len(pages.instances(STUDY)) == 20, "it was not complete before its rows were mended"
    again = Peer(running.port, MR)
    post(again, tools, study="1.2.826.10")
    assert running.metric("isocenter_associations_open") == 1


def test_no_listener_outlives_the_service_and_nothing_is_lost(run, pages_in, tools) -> None:
    running = run()
    peer = Peer(running.port, MR)
    sent, children = {post(peer, tools) for _ in range(5)}, running.children()
    running.process.kill()
    running.process.wait()
    running.start()
    sent.add(post(peer, tools))  # an association that is open is served to its end
    assert peer.release() == RELEASE_RP
    tools.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), seconds=20)
    tools.until(running.listening, seconds=40)
    tools.until(lambda: {row.sop_instance_uid for row in pages_in(running).instances(STUDY)} == sent)
    post(Peer(running.port, MR), tools)


def test_an_open_association_holds_its_study_in_whatever_process(run, pages_in, tools) -> None:
    running = run(quiet_seconds=0.2)
    pages, peers = pages_in(running), [Peer(running.port, MR) for _ in range(4)]
    for number, peer in enumerate(peers):
        post(peer, tools, study=f"1.2.826.9.{number}")
    tools.until(lambda: all(pages.study(f"1.2.826.9.{number}") for number in range(4)))
    time.sleep(2)
    assert {pages.study(f"1.2.826.9.{number}").state for number in range(4)} == {"collecting"}
    for peer in peers:
        peer.release()
    tools.until(lambda: {pages.study(f"1.2.826.9.{n}").state for n in range(4)} == {"waiting"})


def test_limits_hold_over_all_processes(run, tools) -> None:
    running = run(most_associations=6, most_associations_per_ae=4)
    ours = [Peer(running.port, MR, calling="CT1") for _ in range(4)]
    assert {peer.answer[0] for peer in ours} == {ASSOCIATE_AC}
    refused = Peer(running.port, MR, calling="CT1").answer
    assert (refused[0], tuple(refused[1][1:])) == (ASSOCIATE_RJ, (2, 3, 2))
    others = [Peer(running.port, MR, calling="CT2") for _ in range(2)]
    assert {peer.answer[0] for peer in others} == {ASSOCIATE_AC}
    assert Peer(running.port, MR, calling="CT3").answer[0] == ASSOCIATE_RJ
    ours[0].close()
    tools.until(lambda: Peer(running.port, MR, calling="CT3").answer[0] == ASSOCIATE_AC)
