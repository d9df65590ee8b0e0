"""One configuration: the file, the environment over it, and defaults that run without either."""

import pytest
from pydantic import ValidationError

from shared.settings import Config, Core, Destination, Triton, load_config

PAGE = """
[isocenter]
data_dir = "somewhere"
log_level = "WARNING"

[[destinations]]
name = "PACS"
kind = "dicom"
host = "pacs.example"
port = 104
ae_title = "PACS"
"""


def test_without_a_file_the_embedded_default_stands(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ISOCENTER_CONFIG", raising=False)
    core = load_config().section(Core)
    assert core.database_url == f"sqlite:///{tmp_path}/data/isocenter.db"
    assert core.broker_url == "folder://localhost/"


def test_the_environment_wins_over_the_file(monkeypatch, tmp_path):
    path = tmp_path / "isocenter.toml"
    path.write_text(PAGE)
    monkeypatch.setenv("ISOCENTER_CONFIG", str(path))
    monkeypatch.setenv("ISOCENTER_LOG_LEVEL", "ERROR")
    monkeypatch.setenv("ISOCENTER_TRITON_URL", "triton:8001")
    config = load_config()
    assert config.section(Core).log_level == "ERROR"
    assert config.section(Triton).url == "triton:8001"
    assert config.destinations[0].objects == ["SR", "SC"]


def test_what_a_destination_needs_is_said():
    with pytest.raises(ValidationError, match="ae_title"):
        Destination(name="PACS", kind="dicom", host="h", port=104)
    with pytest.raises(ValidationError, match="same name"):
        twice = {"name": "A", "kind": "mllp", "host": "h", "port": 1}
        _ = Config({"destinations": [twice, twice]}).destinations
    with pytest.raises(ValidationError, match="Extra inputs"):
        Core(data_dirr="x")


def test_no_name_in_the_page_steers_the_reading_of_it(tmp_path):
    """`_env_file` would have read another file, `_cli_parse_args` the command line."""
    (tmp_path / "other").write_text("ISOCENTER_DATA_DIR=/elsewhere\n")
    for name, value in (("_env_file", str(tmp_path / "other")), ("_cli_parse_args", True)):
        with pytest.raises(ValidationError, match=name):
            Config({"isocenter": {name: value}}).section(Core)
