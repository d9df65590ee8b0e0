"""/packages over HTTP: what stands, what is chosen and rolled back, and what is refused."""

import pytest
from celery import Celery
from fastapi.testclient import TestClient
from sqlmodel import select

from services.status.api import make_api
from shared.packages.installed import Installed
from shared.settings import Core
from shared.store import Book, Circuit, Run, ShadowRun, utc_now
from shared.store.circuits import QUARANTINED
from shared.versions.choice import use
from tests.services.status.conftest import around
from tests.versioned import NAME, add_version


@pytest.fixture(autouse=True)
def _versions(core: Core) -> None:
    for number in (1, 2):
        add_version(core.data_dir / "models", number)


def test_a_version_is_used_and_rolled_back(client: TestClient) -> None:
    (before,) = client.get("/packages").json()["packages"]
    assert (before["name"], [one["part"] for one in before["versions"]]) == (NAME, ["reads", ""])
    assert client.get(f"/packages/{NAME}/agreement").json()["version"] == "2.0.0"
    body = {"version": "1.0.0", "canary": "2.0.0", "share": 0.2, "who": "ann", "why": "a\0try"}
    found = client.post(f"/packages/{NAME}/use", json=body).json()
    assert (found["version"], found["canary"], found["share"], found["before"]) == ("1.0.0", "2.0.0", 0.2, "2.0.0")
    assert found["why"] == "chosen by page: ann: a\ufffdtry"
    found = client.post(f"/packages/{NAME}/rollback", json={"who": "ann"}).json()
    assert (found["version"], found["canary"]) == ("2.0.0", "")
    assert [choice["version"] for choice in found["choices"]] == ["2.0.0", "1.0.0"]
    assert client.post(f"/packages/{NAME}/rollback", json={}).status_code == 409


def test_how_each_version_does_is_told(client: TestClient, book: Book, core: Core) -> None:
    with book.write() as session:
        installed = Installed(core.data_dir / "models")
        use(session, installed, NAME, "1.0.0", shadow="2.0.0", who="anna", why="a look")
        run = session.exec(select(Run)).first()
        assert run is not None
        run.package, run.version, run.state, run.reason = NAME, "2.0.0", "dead", "its worker ended in the middle"
        facts = {"run_id": run.id, "study_instance_uid": run.study_instance_uid, "package": NAME, "version": "2.0.0"}
        run.failure = "broke_off"
        session.add(run)
        for key, differs in (("a", True), ("b", False), ("c", False)):
            session.add(ShadowRun(id=key, state="read", differs=differs, **facts))
        session.add(Circuit(package=NAME, version="1.0.0", failures=3, open_until=utc_now(), reason="no answer"))
        add_version(core.data_dir / "models", 3)
        runs = session.exec(select(Run).where(Run.id != run.id).limit(1)).all()
        for delivered in runs:  # it was read, and what became of its report is no failure of the package
            delivered.package, delivered.version, delivered.state, delivered.reason = NAME, "2.0.0", "dead", "no answer"
            session.add(delivered)
    with TestClient(make_api(around(book, core, Celery())), base_url="http://127.0.0.1") as later:
        (found,) = later.get("/packages").json()["packages"]
    third, second, first = found["versions"]
    assert (third["version"], third["waits"], third["part"]) == (
        "3.0.0", True, "waiting for `isocenter package use scale 3.0.0`",
    )  # fmt: skip
    assert (second["part"], second["shadow"]) == ("shadow", {"read": 3, "differ": 1})
    assert second["last_failure"] == "its worker ended in the middle"
    assert second["last_failure_at"]
    assert first["part"] == "reads (chosen by anna: a look)"
    assert first["left_alone"].startswith("scale waits, since its model failed 3 times in a row: no answer")
    assert (found["before"], found["pinned"]) == ("2.0.0", "")


def test_a_quarantine_is_lifted_and_who_did_it_and_why_is_kept(client: TestClient, book: Book) -> None:
    assert client.post(f"/packages/{NAME}/lift", json={"who": "ann", "why": "mended"}).status_code == 409
    with book.write() as session:
        session.add(Circuit(package=NAME, version="2.0.0", nonsense=3, open_until=QUARANTINED, reason="NaN"))
    (found,) = client.get("/packages").json()["packages"]
    assert "is quarantined" in found["versions"][0]["left_alone"]
    found = client.post(f"/packages/{NAME}/lift", json={"who": "ann", "why": "m\0ended"}).json()
    assert (found["versions"][0]["left_alone"], found["versions"][0]["last_failure"]) == ("", "")
    assert found["versions"][0]["lifted"] == "lifted by page: ann: m\ufffdended"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("nothing/use", {"version": "1.0.0"}, 404),
        (f"{NAME}/use", {"version": "7.0.0"}, 409),
        (f"{NAME}/use", {"version": "1.0.0", "share": 2}, 422),
        ("%00/rollback", {}, 404),
        ("nothing/lift", {}, 404),
    ],
)
def test_what_can_not_be_done_is_said(client: TestClient, path: str, body: dict[str, object], status: int) -> None:
    answer = client.post(f"/packages/{path}", json=body)
    assert (answer.status_code, bool(answer.json()["detail"])) == (status, True)


def test_no_buttons_where_they_are_off(client_without_buttons: TestClient) -> None:
    for button, body in (("use", {"version": "1.0.0"}), ("rollback", {}), ("lift", {})):
        assert client_without_buttons.post(f"/packages/{NAME}/{button}", json=body).status_code == 403
    assert client_without_buttons.get(f"/packages/{NAME}/agreement?since=2026-01-01T00:00:00").status_code == 422
