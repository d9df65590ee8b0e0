"""The database away at collect's start, in the middle, and while a listener dies: images are taken all the while."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import MRImageStorage
from pynetdicom import AE
from sqlalchemy import make_url

from shared.dicom.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, REQUEST, write_request
from shared.store import open_book
from tests.collecting import CollectProcess
from tests.dicom_peer import EXPLICIT, RELEASE_RP, Peer, store_message
from tests.proxy import Proxy

pytestmark = pytest.mark.postgres
AWAY, BACK = "database away", "database back"


@pytest.fixture
def database() -> Iterator[Proxy]:
    with Proxy(5432) as proxy:
        yield proxy


@pytest.fixture
def collect(postgres_url: str, database: Proxy, tmp_path: Path) -> Iterator[CollectProcess]:
    """Two listeners, few rows that may wait, and PostgreSQL behind the proxy."""
    url = make_url(postgres_url).set(port=database.port).render_as_string(hide_password=False)
    collect = CollectProcess(tmp_path, url, processes=2, most_pending_rows=100, quiet_seconds=1)
    yield collect
    collect.stop()


class Sender:
    """Sends studies and remembers what was answered with success."""

    def __init__(self, collect: CollectProcess, tools: Any) -> None:
        self.collect, self.tools = collect, tools
        self.kept: dict[str, set[str]] = {}

    def send(self, study: str, count: int) -> None:
        peer, sop = Peer(self.collect.port, [(MRImageStorage, EXPLICIT)]), self.kept.setdefault(study, set())
        for _ in range(count):
            ds = self.tools.image(study)
            peer.send(store_message(MRImageStorage, ds.SOPInstanceUID, self.tools.encode(ds)))
            assert peer.status() == 0, self.collect.log()
            sop.add(str(ds.SOPInstanceUID))
        assert peer.release() == RELEASE_RP

    def all_is_in(self, pages: Any) -> bool:
        """Every row is there and every study complete."""
        rows = {uid: {row.sop_instance_uid for row in pages.instances(uid)} for uid in self.kept}
        return rows == self.kept and all(pages.study(uid).state == "waiting" for uid in self.kept)


def kill_a_listener(collect: CollectProcess, tools: Any) -> None:
    victim = tools.until(lambda: len(collect.listeners()) == 2 and collect.listeners(), seconds=30)[0]
    os.kill(victim, signal.SIGKILL)
    tools.until(lambda: len(collect.listeners()) == 2 and victim not in collect.listeners(), seconds=30)


def ask_commitment(port: int) -> Any:
    ae = AE(ae_title="PACS1")
    ae.add_requested_context(PUSH_MODEL)
    assoc = ae.associate("127.0.0.1", port)
    request = write_request("1.2.3.4", [(MRImageStorage, "1.2.3.5")])
    status, _ = assoc.send_n_action(request, REQUEST, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    assoc.release()
    return status


def await_all(collect: CollectProcess, sender: Sender, postgres_url: str, tools: Any, pages_of: Any) -> None:
    book = open_book(postgres_url)
    try:
        tools.until(lambda: sender.all_is_in(pages_of(book)), seconds=60)
        revisions = {pages_of(book).study(uid).revision for uid in sender.kept}
        assert revisions == {1}, "none was complete before its last row was there"
    finally:
        book.close()


def test_a_collect_that_starts_without_its_database_takes_images(
    collect: CollectProcess, database: Proxy, postgres_url: str, tools: Any, pages_of: Any
) -> None:
    database.refuse()
    collect.start()
    sender = Sender(collect, tools)
    for number in range(3):
        sender.send(f"1.2.826.{number}", 80)
    assert ask_commitment(collect.port).Status == 0x0110
    kill_a_listener(collect, tools)
    sender.send("1.2.826.2", 4)
    sender.send("1.2.826.3", 10)
    database.resume()
    tools.until(lambda: BACK in collect.log(), seconds=30)
    await_all(collect, sender, postgres_url, tools, pages_of)
    assert (collect.log().count(AWAY), collect.log().count(BACK)) == (1, 1), collect.log()
    assert "Traceback" not in collect.log()


def test_a_database_that_goes_and_a_listener_that_dies_meanwhile(
    collect: CollectProcess, database: Proxy, postgres_url: str, tools: Any, pages_of: Any
) -> None:
    collect.start()
    sender = Sender(collect, tools)
    sender.send("1.2.826.0", 10)
    database.refuse()
    sender.send("1.2.826.0", 10)
    sender.send("1.2.826.1", 100)
    kill_a_listener(collect, tools)
    sender.send("1.2.826.2", 100)
    database.resume()
    await_all(collect, sender, postgres_url, tools, pages_of)
    assert "Traceback" not in collect.log()
