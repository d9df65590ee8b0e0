"""The API over HTTP: what it answers, what it refuses and how it says so."""

from collections.abc import Iterator

import pytest
from celery import Celery
from fastapi.testclient import TestClient
from sqlmodel import select

from services.status.api import PAGE, make_api
from shared.settings import Core
from shared.store import Book, Delivery, Journal
from tests.services.status.conftest import around

UNKNOWN = "1.2.3"


def uid_of(client: TestClient, accession: str) -> str:
    return str(client.get(f"/studies/{accession}").json()["study_instance_uid"])


def test_list_filters_and_order(client: TestClient) -> None:
    studies = client.get("/studies").json()["studies"]
    assert len(studies) == 15
    assert [s["accession_number"] for s in studies][:2] == ["MR-24817", "CT-10442"]
    held = client.get("/studies", params={"state": ["held", "dead"]}).json()["studies"]
    assert {s["state"] for s in held} == {"held", "dead"}
    assert len(client.get("/studies?limit=2&offset=1").json()["studies"]) == 2
    assert [s["accession_number"] for s in client.get("/studies?q=US").json()["studies"]] == ["US-00391"]
    assert client.get("/studies?since=2099-01-01T00:00:00Z").json() == {"studies": []}


@pytest.mark.parametrize(
    "query", ["state=lost", "limit=0", "limit=100000", "since=yesterday", "since=2026-01-01T00:00:00", "offset=-1"]
)
def test_a_wrong_query_is_told(client: TestClient, query: str) -> None:
    answer = client.get(f"/studies?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_one_study_by_uid_and_by_accession_number(client: TestClient) -> None:
    by_accession = client.get("/studies/MR-24809").json()
    assert by_accession["state"] == "held"
    assert by_accession["journal"][0]["event"] == "completed"
    assert client.get(f"/studies/{by_accession['study_instance_uid']}").json() == by_accession
    journal = client.get("/studies/MR-24809/journal?limit=2").json()["journal"]
    assert [line["event"] for line in journal] == ["delivered", "held"]


@pytest.mark.parametrize("name", [UNKNOWN, "%00", "..%2F..%2Fetc", "' or 1=1 --"])
def test_an_unknown_study_is_404_with_a_reason(client: TestClient, name: str) -> None:
    for answer in (
        client.get(f"/studies/{name}"), client.get(f"/studies/{name}/journal"),
        client.post(f"/studies/{name}/replay", json={}),
    ):  # fmt: skip
        assert answer.status_code == 404, name
        assert answer.json()["detail"]


def test_no_patient_in_any_answer(client: TestClient) -> None:
    studies = client.get("/studies").json()["studies"]
    texts = [client.get("/studies").text, client.get("/metrics").text]
    texts += [client.get(f"/studies/{s['study_instance_uid']}").text for s in studies]
    assert all("patient_id" not in text and "patient_name" not in text for text in texts)


@pytest.mark.parametrize(
    ("accession", "button", "body", "state"),
    [
        ("MR-24817", "complete", {"who": "ann"}, "waiting"),
        ("DX-87991", "replay", {"who": "ann"}, "waiting"),
        ("DX-88121", "cancel", {"who": "ann", "why": "wrong patient"}, "cancelled"),
        ("DX-88020", "release", {"who": "ann", "why": "one view suffices"}, "running"),
    ],
)
def test_buttons(client: TestClient, book: Book, accession: str, button: str, body: dict[str, str], state: str) -> None:
    rung: list[int] = []
    book.ring = rung.extend
    answer = client.post(f"/studies/{accession}/{button}", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == state
    assert rung, "the bells are rung after the commit"
    with book.read() as session:
        uid = answer.json()["study_instance_uid"]
        lines = session.exec(
            select(Journal).where(Journal.study_instance_uid == uid, Journal.actor == "page: ann")
        ).all()
    assert lines[-1].state == state


def test_a_delivery_alone_is_replayed(client: TestClient) -> None:
    study = client.get("/studies/DX-87991").json()
    dead = next(d for d in study["deliveries"] if d["state"] == "dead")
    moved = client.post("/studies/DX-87991/replay", json={"id": dead["id"]}).json()
    assert moved["state"] == "running"
    assert {d["kind"]: d["state"] for d in moved["deliveries"]} == {
        "SR": "delivered", "SC": "delivered", "ORU": "waiting",
    }  # fmt: skip


def test_a_part_of_another_study_is_not_replayed_and_nothing_is_moved(client: TestClient) -> None:
    dead = next(d for d in client.get("/studies/DX-87991").json()["deliveries"] if d["state"] == "dead")
    answer = client.post("/studies/DX-88048/replay", json={"id": dead["id"]})
    assert answer.status_code == 409
    assert "another study" in answer.json()["detail"]
    assert client.get("/studies/DX-87991").json()["state"] == "dead"


@pytest.mark.parametrize(
    ("accession", "button", "body", "says"),
    [
        ("US-00391", "complete", {}, "complete already"),
        ("DX-88125", "replay", {}, "under way"),
        ("US-00391", "cancel", {}, "nothing to stop"),
        ("MR-24809", "release", {"who": "ann", "why": "x"}, "nothing to release"),
        ("DX-88020", "release", {"who": "ann"}, "a reason"),
    ],
)
def test_a_button_that_does_nothing_here_says_why(
    client: TestClient, accession: str, button: str, body: dict[str, str], says: str
) -> None:
    answer = client.post(f"/studies/{accession}/{button}", json=body)
    assert answer.status_code == 409
    assert says in answer.json()["detail"]


def test_buttons_can_be_off(client_without_buttons: TestClient) -> None:
    answer = client_without_buttons.post("/studies/DX-87991/replay", json={})
    assert answer.status_code == 403
    assert "allow_actions" in answer.json()["detail"]
    assert client_without_buttons.get("/page-settings").json()["allow_actions"] is False


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_on_a_page_elsewhere_presses_nothing(client: TestClient, kind: str) -> None:
    answer = client.post("/studies/DX-87991/replay", content="{}", headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert client.post("/studies/DX-87991/replay").status_code == 422
    assert client.get("/studies/DX-87991").json()["state"] == "dead"


def test_a_foreign_host_name_is_refused(client: TestClient) -> None:
    assert client.get("/studies", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/studies", headers={"Host": "localhost:8600"}).status_code == 200


def test_the_picture_of_a_result(client: TestClient) -> None:
    study = client.get("/studies/MR-24811").json()
    picture = next(d for d in study["deliveries"] if d["kind"] == "SC")
    answer = client.get(f"/results/{picture['run_id']}/{picture['identifier']}.png")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")
    report = next(d for d in study["deliveries"] if d["kind"] == "SR")
    for path in (f"{picture['run_id']}/{report['identifier']}", f"{picture['run_id']}/1.2.3", "x/y", "..%2F..%2F/x"):
        answer = client.get(f"/results/{path}.png")
        assert answer.status_code == 404
        assert answer.json()["detail"]


def test_a_result_outside_the_results_is_never_read(client: TestClient, book: Book, core: Core) -> None:
    study = client.get("/studies/MR-24811").json()
    picture = next(d for d in study["deliveries"] if d["kind"] == "SC")
    inside = core.data_dir / f"results/{study['study_instance_uid']}/{picture['run_id']}/SC.dcm"
    inside.rename(core.data_dir / "elsewhere.dcm")
    with book.write() as session:
        row = session.get(Delivery, picture["id"])
        assert row is not None
        row.path = "results/../elsewhere.dcm"
        session.add(row)
    answer = client.get(f"/results/{picture['run_id']}/{picture['identifier']}.png")
    assert (answer.status_code, answer.json()) == (404, {"detail": "the file of this result is no longer kept"})


def test_health_and_readiness(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "up"}
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert set(answer.json()["checks"]) == {"database", "broker", "triton", "disk"}


@pytest.fixture
def client_with_no_disk(book: Book, core: Core, celery: Celery) -> Iterator[TestClient]:
    surroundings = around(book, core, celery)
    surroundings.checks.disk_free_gib = 10**9
    with TestClient(make_api(surroundings), base_url="http://127.0.0.1") as made:
        yield made


def test_not_ready_is_503_and_names_what_is_red(client_with_no_disk: TestClient) -> None:
    answer = client_with_no_disk.get("/readyz")
    assert answer.status_code == 503
    assert [name for name, check in answer.json()["checks"].items() if not check["ok"]] == ["disk"]
    assert client_with_no_disk.get("/healthz").status_code == 200


def test_a_database_that_is_away_is_503_in_words(client: TestClient, book: Book) -> None:
    from sqlalchemy import create_engine

    book.engine.dispose()
    book.engine = create_engine("sqlite:////nowhere/isocenter.db")
    answer = client.get("/studies")
    assert answer.status_code == 503
    assert "database" in answer.json()["detail"]
    assert client.get("/readyz").json()["checks"]["database"]["ok"] is False


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for file in PAGE.iterdir():
        text = client.get(f"/page/{file.name}").text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text
        assert "innerHTML" not in text, "what comes from outside is written as text"
    assert client.get("/page/../api.py").status_code == 404


def test_openapi_names_every_path(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/studies", "/studies/{name}", "/studies/{name}/replay", "/replay", "/cancel", "/readyz", "/metrics",
            "/events"} <= set(paths)  # fmt: skip


def test_many_are_replayed_by_filter(client: TestClient) -> None:
    asked = {"state": "dead", "who": "me", "why": "the PACS is back"}
    shown = client.post("/replay", json={**asked, "dry_run": True}).json()
    assert len(shown["moved"]) >= 1
    assert {one["state"] for one in shown["moved"]} == {"dead"}
    first = client.post("/replay", json={**asked, "limit": 1}).json()
    assert [one["id"] for one in first["moved"]] == [shown["moved"][0]["id"]]
    assert first["more"] is (len(shown["moved"]) > 1)
    client.post("/replay", json=asked)
    assert client.post("/replay", json=asked).json() == {"moved": [], "not_moved": [], "more": False}


@pytest.mark.parametrize("button", ["replay", "cancel"])
@pytest.mark.parametrize(
    "body",
    [{}, {"state": "deaf"}, {"state": "dead", "destination": "PAX"}, {"state": "dead", "limit": 501},
     {"state": "dead", "since": "2026-01-31T12:00:00"}],
)  # fmt: skip
def test_a_wrong_filter_is_422(client: TestClient, button: str, body: dict[str, object]) -> None:
    assert client.post(f"/{button}", json=body).status_code == 422


def test_many_are_not_moved_where_buttons_are_off(client_without_buttons: TestClient) -> None:
    for button in ("replay", "cancel"):
        assert client_without_buttons.post(f"/{button}", json={"state": "dead"}).status_code == 403


@pytest.mark.parametrize("field", ["who", "why", "id"])
def test_half_a_character_in_a_body_is_a_mistake_of_the_sender(client: TestClient, field: str) -> None:
    body = f'{{"{field}": "\\ud800"}}'
    answer = client.post("/studies/1.2/replay", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", field]


def test_a_body_longer_than_any_button_needs_is_not_held(client: TestClient) -> None:
    answer = client.post("/studies/1.2/complete", content=b" " * 70_000, headers={"content-type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_no_calendar_has_is_no_fault_of_the_database(client: TestClient, since: str) -> None:
    assert client.get("/studies", params={"since": since}).status_code == 422
