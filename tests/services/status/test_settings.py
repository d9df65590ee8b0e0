"""Where the page may be asked for."""

from services.status.settings import Settings


def test_on_this_host_only_its_own_names() -> None:
    assert "localhost" in Settings().allowed_hosts
    assert "*" not in Settings().allowed_hosts


def test_elsewhere_any_name_unless_some_are_given() -> None:
    assert Settings(host="0.0.0.0").allowed_hosts == ["*"]
    assert Settings(host="0.0.0.0", host_names=["isocenter.hospital"]).allowed_hosts == ["isocenter.hospital"]
