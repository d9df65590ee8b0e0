"""`isocenter check`: each mistake is named with its line and what to write."""

import pytest

from shared.cli.check import check_file, check_page, notes_on, sections
from tests.served import REPOSITORY

MODELS = '[triton]\nmodel_repository = "{}"\n'

TWO = """[[destinations]]
name = "A"
kind = "mllp"
host = "h"
port = 1

[[destinations]]
name = "B"
kind = "mllp"
host = "h"
port = 99999
"""

CASES = [
    ("[collekt]\nport = 1\n", ":1: collekt: there is no such table; did you mean [collect]?"),
    ('[isocenter]\n\nlog_level = "LOUD"\n', ":3: isocenter.log_level: Input should be"),
    ("[isocenter]\ndata_dirr = 'x'\n", ":2: isocenter.data_dirr: there is no such setting"),
    (TWO, ":11: destinations.1.port: "),
    ('[[destinations]]\nname = "A"\nkind = "dicom"\nhost = "h"\nport = 1\n', "needs ae_title"),
    ("collect = 5\n", ":1: collect: is a table"),
    ("[isocenter\n", "not TOML"),
    ("[collect]\nport = " + "9" * 5000, "not TOML: a number has too many digits"),
    ("[collect]\nport = 0x" + "f" * 5000, ":2: collect.port: "),
    ("[collect]\nport = " + "[" * 3000 + "]" * 3000, "not TOML: a value is nested too deeply"),
    ('[collect]\n_env_file = "x"\n', ":2: collect._env_file: there is no such setting"),
    ("[collect]\n_cli_parse_args = true\n", ":2: collect._cli_parse_args: there is no such setting"),
    ("[collect]\n_env_prefix = 1.5\n", ":2: collect._env_prefix: there is no such setting"),
]  # fmt: skip


@pytest.mark.parametrize(("page", "said"), CASES, ids=[said for _, said in CASES])
def test_a_mistake_is_named_with_its_line(page, said):
    problems = check_page(page, "isocenter.toml")
    assert any(said in problem for problem in problems), problems


def test_a_gate_that_is_not_there_is_named(tmp_path):
    page = MODELS.format(tmp_path) + "[gates.motion]\nwarn_below = 0.9\n"
    assert check_page(page, "x.toml") == ["x.toml:3: gates.motion: there is no gate of that name"]


def test_a_threshold_that_does_nothing_is_named(tmp_path):
    page = MODELS.format(tmp_path) + '[gates.geometry]\nverdict = "warn"\nwarn_below = 0.9\n'
    (problem,) = check_page(page, "x.toml")
    assert problem.startswith("x.toml:5: gates.geometry.warn_below: would do nothing")


def test_a_package_that_is_not_there_is_named(tmp_path):
    page = MODELS.format(REPOSITORY) + "[packages.chest_opacityy]\nconcurrency = 2\n[packages.motion_ssim]\n"
    words = "packages.chest_opacityy: there is no package of that name; did you mean chest_opacity?"
    assert check_page(page, "x.toml") == [f"x.toml:3: {words}"]


def test_a_setting_of_a_package_that_is_not_there_is_named(tmp_path):
    (problem,) = check_page("[packages.motion_ssim]\nconcurrency = 0\n", "x.toml")
    assert problem.startswith("x.toml:2: packages.motion_ssim.concurrency: ")


def test_a_good_page_has_no_problem(tmp_path):
    assert check_page(MODELS.format(tmp_path), "x.toml") == []


def test_every_service_has_a_table_of_its_own():
    names = {"isocenter", "triton", "admit", "collect", "decide", "gate", "infer", "report", "send", "status"}
    names |= {"retention", "guard"}  # read by services beside their own
    assert set(sections()) == names


def test_a_list_in_the_environment_that_is_no_json_is_a_problem_and_no_crash(monkeypatch):
    monkeypatch.setenv("ISOCENTER_COLLECT_CALLING_AE_TITLES", "PACS1")
    (problem,) = check_page("", "environment")
    assert "calling_ae_titles" in problem
    assert "write it as JSON" in problem


def test_a_home_that_is_not_there_is_a_problem_and_no_crash():
    (problem,) = check_page('[isocenter]\ndata_dir = "~nobody-of-this-name/x"\n', "x.toml")
    assert "x.toml:2: isocenter.data_dir: there is no home folder for ~nobody-of-this-name" in problem


COMMITTING = """[collect]
calling_ae_titles = ["CT1"]

[[destinations]]
name = "A"
kind = "dicom"
host = "h"
port = 104
ae_title = "MAINPACS"
commitment = true
"""


def test_a_pacs_whose_commitment_would_be_turned_away_is_named():
    (problem,) = check_page(COMMITTING, "x.toml")
    assert problem.startswith("x.toml:2: collect.calling_ae_titles: MAINPACS (A, commitment = true) may not call")
    page = COMMITTING.replace('calling_ae_titles = ["CT1"]', "require_called_ae_title = true")
    page += '\n[send]\nae_title = "OTHER"\n'
    (problem,) = check_page(page, "x.toml")
    assert problem.startswith(
        "x.toml:2: collect.require_called_ae_title: answers to storage commitment are sent to OTHER"
    )


def test_a_sender_that_could_not_be_told_what_is_kept_is_noted(tmp_path):
    page = tmp_path / "x.toml"
    page.write_text(COMMITTING.replace('"CT1"', '"CT1", "MAINPACS"'))
    (note,) = notes_on(page)
    assert note.startswith(f"{page}:2: note: nobody has said where CT1 listens")
    page.write_text(page.read_text() + '[[collect.peers]]\nae_title = "CT1"\nhost = "ct1"\nport = 104\n')
    assert notes_on(page) == []


def test_images_that_go_although_a_sender_was_told_that_they_are_kept_are_noted(tmp_path):
    page = tmp_path / "x.toml"
    rule = '[[retention.rules]]\nname = "month"\nremove = "images"\nstates = ["delivered"]\nafter_days = 30\n'
    page.write_text(rule)
    (note,) = notes_on(page)
    assert "images go by month, also those that a sender was told are kept" in note
    page.write_text(rule + "[collect]\ncommitment = false\n")
    assert notes_on(page) == []


def test_a_page_in_another_encoding_is_named_with_its_line(tmp_path):
    (tmp_path / "page.toml").write_bytes(b"[isocenter]\ninstitution_name = 'K\xf6ln'\n")
    assert check_file(tmp_path / "page.toml") == [
        f"{tmp_path}/page.toml: line 2 is not in UTF-8: save the file in that encoding"
    ]


def test_the_mark_that_windows_editors_write_does_no_harm(tmp_path):
    (tmp_path / "page.toml").write_bytes(b"\xef\xbb\xbf[isocenter]\n")
    assert check_file(tmp_path / "page.toml", packages=False) == []
