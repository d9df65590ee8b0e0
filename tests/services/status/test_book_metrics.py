"""The book's gauges on /metrics."""

import shutil
import subprocess
from datetime import timedelta

import pytest
from celery import Celery
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlmodel import select

from services.status.api import make_api
from shared.packages.installed import Installed
from shared.settings import Core
from shared.store import Book, Circuit, Commitment, Delivery, Study, utc_now
from shared.store.moves import move
from shared.study import DeliveryEvent
from shared.versions.choice import reads
from tests.services.status.conftest import around
from tests.versioned import NAME, add_version


def samples(client: TestClient) -> dict[tuple[str, ...], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def test_counts_of_the_book(client: TestClient, book: Book) -> None:
    found = samples(client)
    assert found["isocenter_studies", "held"] == 2
    assert found["isocenter_studies", "delivered"] == 4
    assert found["isocenter_studies", "dead"] == 1
    assert sum(v for k, v in found.items() if k[0] == "isocenter_studies") == 15
    assert found["isocenter_deliveries", "PACS", "waiting"] == 1
    assert found["isocenter_deliveries", "RIS", "dead"] == 1
    assert sum(v for k, v in found.items() if k[:3] == ("isocenter_runs", "chest_opacity", "superseded")) == 1
    assert 0 <= found["isocenter_oldest_waiting_seconds", "decide"] < 60
    assert found["isocenter_oldest_waiting_seconds", "report"] == 0
    # clean 14.2, moved 16.8, slight 15.1, twice 7.4, held 8.9 s
    assert found["isocenter_turnaround_seconds",] == pytest.approx((8.9 + 14.2) / 2, abs=0.01)


def test_what_destinations_have_not_yet_committed_to(client: TestClient, book: Book) -> None:
    with book.write() as session:
        delivery = session.exec(select(Delivery).where(Delivery.state == "waiting")).one()
        move(session, delivery, DeliveryEvent.STORED)
        delivery.waiting_since = utc_now() - timedelta(minutes=20)
        asked = {"transaction_uid": "1.2", "calling_ae_title": "CT1"}
        session.add_all([Commitment(id="1", **asked), Commitment(id="2", state="dead", **asked)])
    found = samples(client)
    assert found["isocenter_oldest_uncommitted_seconds", "PACS"] == pytest.approx(1200, abs=60)
    assert found["isocenter_oldest_waiting_seconds", "send"] == 0, "it waits for the PACS, not for hands of ours"
    assert (found["isocenter_commitments", "asked"], found["isocenter_commitments", "dead"]) == (1, 1)


def test_versions_that_wait_to_be_chosen(client: TestClient, book: Book, core: Core) -> None:
    add_version(core.data_dir / "models", 1)
    installed = Installed(core.data_dir / "models")
    with book.write() as session:
        reads(session, installed, installed[NAME, "1.0.0"])
    assert not [key for key in samples(client) if key[0] == "isocenter_version_waits"]
    add_version(core.data_dir / "models", 2)
    with TestClient(make_api(around(book, core, Celery())), base_url="http://127.0.0.1") as later:
        assert samples(later)["isocenter_version_waits", NAME, "2.0.0"] == 1


def test_packages_that_are_left_alone(client: TestClient, book: Book) -> None:
    with book.write() as session:
        session.add(Circuit(package="chest_opacity", version="1.0.0", failures=4, open_until=utc_now()))
        session.add(Circuit(package="cobb_angle", version="1.0.0", failures=1))
    found = {key: value for key, value in samples(client).items() if key[0] == "isocenter_package_failures"}
    assert found == {("isocenter_package_failures", "chest_opacity", "1.0.0"): 4}


def test_what_is_gone_from_the_book_is_gone_from_the_metrics(client: TestClient, book: Book) -> None:
    samples(client)
    with book.write() as session:
        for delivery in session.exec(select(Delivery).where(Delivery.destination == "RIS")):
            session.delete(delivery)
        for study in session.exec(select(Study).where(Study.state == "collecting")):
            session.delete(study)
    found = samples(client)
    assert not [key for key in found if key[:2] == ("isocenter_deliveries", "RIS")]
    assert found["isocenter_studies", "collecting"] == 0


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_no_fault(client: TestClient) -> None:
    text = client.get("/metrics").content
    found = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60)
    faults = [line for line in (found.stdout + found.stderr).decode().splitlines() if "isocenter" in line]
    assert faults == []
