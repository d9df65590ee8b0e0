"""TLS on the DICOM port: who may connect, and how (PS3.15 B.9)."""

import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydicom.uid import MRImageStorage
from pynetdicom import AE

from services.collect.settings import Settings
from tests.dicom_peer import EXPLICIT

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, what it signed for us and for a sender, and a stranger that signed itself."""
    folder = tmp_path_factory.mktemp("tls")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("authority", "stranger"):
        _openssl("req", "-x509", *new, "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt",
                 "-days", "2", "-subj", f"/CN={name}")  # fmt: skip
    for name in ("collect", "sender"):
        key, request, certificate = (f"{folder}/{name}.{kind}" for kind in ("key", "csr", "crt"))
        _openssl("req", *new, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signed_by = ("-CA", f"{folder}/authority.crt", "-CAkey", f"{folder}/authority.key", "-CAcreateserial")
        _openssl("x509", "-req", "-in", request, *signed_by, "-days", "2", "-out", certificate)
    return folder


@pytest.fixture
def collect(start, papers):
    return start(
        tls_port=0, tls_certificate=papers / "collect.crt", tls_key=papers / "collect.key",
        tls_client_authorities=papers / "authority.crt",
    )  # fmt: skip


def associate(port: int, papers: Path, who: str, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(papers / "authority.crt")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, newest
    if who:
        context.load_cert_chain(papers / f"{who}.crt", papers / f"{who}.key")
    entity = AE(ae_title="PACS1")
    entity.acse_timeout = entity.network_timeout = entity.connection_timeout = 10
    entity.add_requested_context(MRImageStorage, EXPLICIT)
    return entity.associate("127.0.0.1", port, tls_args=(context, None))


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_sender_with_a_signed_certificate_stores(collect, papers, tools, newest) -> None:
    ds = tools.image("1.2.826.8", PixelData=os.urandom(300_000))
    ds.file_meta = meta_of(ds)
    assoc = associate(collect.ports[1], papers, "sender", newest)
    assert assoc.is_established
    assert [assoc.send_c_store(ds).Status for _ in range(3)] == [0, 0, 0]
    assoc.release()
    (stored,) = collect.folder.root.glob("1.2.826.8/*/*.dcm")
    assert stored.read_bytes().endswith(tools.encode(ds))


def meta_of(ds):
    from pynetdicom.dsutils import create_file_meta

    return create_file_meta(sop_class_uid=ds.SOPClassUID, sop_instance_uid=ds.SOPInstanceUID, transfer_syntax=EXPLICIT)


@pytest.mark.parametrize("who", ["", "stranger"])
def test_others_do_not_get_in(collect, papers, who) -> None:
    assert not associate(collect.ports[1], papers, who).is_established


@pytest.mark.skipif(shutil.which("storescu") is None, reason="dcmtk's storescu is not here")
def test_dcmtk_speaks_tls(collect, papers, tools, tmp_path) -> None:
    ds = tools.image("1.2.826.9", PixelData=bytes(200_000))
    ds.file_meta = meta_of(ds)
    ds.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    done = subprocess.run(
        ["storescu", "-xe", "-R", "+tls", f"{papers}/sender.key", f"{papers}/sender.crt", "+cf",
         f"{papers}/authority.crt", "127.0.0.1", str(collect.ports[1]), str(tmp_path / "image.dcm")],
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list(collect.folder.root.glob("1.2.826.9/*/*.dcm"))) == 1


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("collect.crt", "nowhere.key", "nowhere.key can't be read"),
        ("collect.crt", "sender.key", "are no certificate with its key"),
        ("collect.crt", None, "needs tls_certificate and tls_key"),
    ],
)
def test_files_that_do_not_fit_are_told(papers, certificate, key, words) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(tls_certificate=papers / certificate, tls_key=papers / key if key else None, tls_port=2762)
