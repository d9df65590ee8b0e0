"""/packages over HTTP: what stands, what is chosen and rolled back, and what is refused."""

import pytest
from fastapi.testclient import TestClient

from shared.settings import Core
from tests.versioned import NAME, add_version


@pytest.fixture(autouse=True)
def _versions(core: Core) -> None:
    for number in (1, 2):
        add_version(core.data_dir / "models", number)


def test_a_version_is_used_and_rolled_back(client: TestClient) -> None:
    assert client.get("/packages").json() == {"packages": [NAME]}
    assert client.get(f"/packages/{NAME}/agreement").json()["version"] == "2.0.0"
    body = {"version": "1.0.0", "canary": "2.0.0", "share": 0.2, "who": "ann", "why": "a\0try"}
    found = client.post(f"/packages/{NAME}/use", json=body).json()
    assert (found["version"], found["canary"], found["share"], found["before"]) == ("1.0.0", "2.0.0", 0.2, "2.0.0")
    assert found["why"] == "chosen by page: ann: a\ufffdtry"
    found = client.post(f"/packages/{NAME}/rollback", json={"who": "ann"}).json()
    assert (found["version"], found["canary"]) == ("2.0.0", "")
    assert [choice["version"] for choice in found["choices"]] == ["2.0.0", "1.0.0"]
    assert client.post(f"/packages/{NAME}/rollback", json={}).status_code == 409


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("nothing/use", {"version": "1.0.0"}, 404),
        (f"{NAME}/use", {"version": "7.0.0"}, 409),
        (f"{NAME}/use", {"version": "1.0.0", "share": 2}, 422),
        ("%00/rollback", {}, 404),
    ],
)
def test_what_can_not_be_done_is_said(client: TestClient, path: str, body: dict[str, object], status: int) -> None:
    answer = client.post(f"/packages/{path}", json=body)
    assert (answer.status_code, bool(answer.json()["detail"])) == (status, True)


def test_no_buttons_where_they_are_off(client_without_buttons: TestClient) -> None:
    for button, body in (("use", {"version": "1.0.0"}), ("rollback", {})):
        assert client_without_buttons.post(f"/packages/{NAME}/{button}", json=body).status_code == 403
    assert client_without_buttons.get(f"/packages/{NAME}/agreement?since=2026-01-01T00:00:00").status_code == 422
