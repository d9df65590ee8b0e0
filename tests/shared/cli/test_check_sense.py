"""`isocenter check` on settings that are right by themselves and make no sense together."""

import subprocess

import pytest

from shared.cli.check import check_page, notes_on

KEY_AND_CERTIFICATE = ["-keyout", "k.pem", "-out", "c.pem"]
RULE = '[[retention.rules]]\nname = "old"\nremove = "images"\nstates = ["delivered"]\nafter_days = 30\n'
DICOM = '[[destinations]]\nname = "A"\nkind = "dicom"\nhost = "h"\nport = 1\nae_title = "A"\n'

PROBLEMS = [
    ('[isocenter]\ndatabase_url = "postgres://u:hush@h/d"\n', ":2: isocenter.database_url: does not begin as it must"),
    ('[isocenter]\n\nbroker_url = "amq://u:hush@h//"\n', ":3: isocenter.broker_url: does not begin as it must"),
    ("[retention]\nwhen_free_below_bytes = 1000\n", ":2: retention.when_free_below_bytes: images are refused below"),
    ("[gates.geometry]\nhold_below = 0.9\nwarn_below = 0.5\n", ":3: gates.geometry.warn_below: what is below it"),
    (DICOM.replace('"h"', '""'), ":4: destinations.0.host: "),
    (DICOM.replace('"A"\n', '"  "\n').replace('name = "  "', 'name = "A"'), "needs ae_title"),
    (DICOM + "timeout_seconds = 0\n", ":7: destinations.0.timeout_seconds: "),
    ("[triton]\ntimeout_seconds = -1\n", ":2: triton.timeout_seconds: "),
    ("[collect]\nprot = 104\n", ":2: collect.prot: there is no such setting; did you mean port?"),
    ('[collect]\ncalling_ae_titles = "CT1"\n', ':2: collect.calling_ae_titles: is a list: write ["CT1"]'),
]

NOTES = [
    ('[collect]\ntls_key = "k.pem"\n', ":2: collect.tls_key: note: nothing is encrypted without tls_port"),
    (
        "[retention]\nwhen_free_below_bytes = 50_000_000_000\n",
        ":2: retention.when_free_below_bytes: note: does nothing",
    ),
    (RULE + "early_after_days = 3\n", ":1: retention.rules: note: early_after_days of old does nothing"),
    ("[admit]\nport = 2575\n[status]\nport = 2575\n", ":4: status.port: note: admit listens on 2575 too"),
]


@pytest.mark.parametrize(("page", "said"), PROBLEMS, ids=[said for _, said in PROBLEMS])
def test_what_can_not_be_meant_is_named_with_its_line(page, said):
    problems = check_page(page, "isocenter.toml", packages=False)
    assert any(said in problem for problem in problems), problems
    assert "hush" not in " ".join(problems)


@pytest.mark.parametrize(("page", "said"), NOTES, ids=[said for _, said in NOTES])
def test_what_does_nothing_is_noted_with_its_line(tmp_path, page, said):
    path = tmp_path / "isocenter.toml"
    path.write_text(page)
    assert check_page(page, str(path), packages=False) == []
    assert any(said in note for note in notes_on(path)), notes_on(path)


def test_one_port_can_not_be_plain_and_encrypted(tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", *KEY_AND_CERTIFICATE],
        cwd=tmp_path, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    page = (
        f'[collect]\nport = 104\ntls_port = 104\ntls_certificate = "{tmp_path}/c.pem"\ntls_key = "{tmp_path}/k.pem"\n'
    )
    (problem,) = check_page(page, "x.toml", packages=False)
    assert problem.startswith("x.toml:3: collect.tls_port: is the port for what is not encrypted")


def test_a_good_page_has_no_notes(tmp_path):
    path = tmp_path / "isocenter.toml"
    quiet = "[collect]\ncommitment = false\n[retention]\nwhen_free_below_bytes = 50_000_000_000\n"
    path.write_text(DICOM + quiet + RULE + "early_after_days = 3\n")
    assert notes_on(path) == []
