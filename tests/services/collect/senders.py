"""Independent senders of DICOM, each an implementation of its own; what is not installed is skipped."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.dicom.header import Header, read_header
from shared.dicom.problems import UnreadableInstance
from tests.collecting import ROOT, free_port, listens

_SECONDS = 120
_STORESCU_PROPOSES = {
    "1.2.840.10008.1.2": "-xi", "1.2.840.10008.1.2.1": "-xe", "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.1.99": "-xd", "1.2.840.10008.1.2.5": "-xr", "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx", "1.2.840.10008.1.2.4.70": "-xs", "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu", "1.2.840.10008.1.2.4.90": "-xv", "1.2.840.10008.1.2.4.91": "-xw",
}  # fmt: skip
_PIXELMED = Path("/usr/share/java/pixelmed.jar")
_DCMJS = ROOT / ".venv/peers/node_modules/dcmjs-dimse"
_PIXELMED_SENDS = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50")  # a JVM for each
_SEND_BY_DCMJS = """
const { Client, requests, log } = require(process.argv[1]);
log.setLevel('silent');
const client = new Client();
for (const file of require('fs').readFileSync(0, 'utf8').trim().split('\\n'))
  client.addRequest(new requests.CStoreRequest(file));
client.on('closed', () => process.exit(0));
client.on('networkError', () => process.exit(1));
client.send('127.0.0.1', Number(process.argv[2]), 'DCMJS', 'ISOCENTER');
setTimeout(() => process.exit(1), 60000);
"""


def storescu(port: int, files: list[Path]) -> None:
    """DCMTK: each file in its own transfer syntax, an association for each syntax that it knows."""
    _need("storescu", "dcmtk")
    by_option: dict[str, list[Path]] = {}
    for file, header in readable(files):
        if option := _STORESCU_PROPOSES.get(header.transfer_syntax_uid):
            by_option.setdefault(option, []).append(file)
    for option, some in by_option.items():
        to = ["-aet", "STORESCU", "-aec", "ISOCENTER", "127.0.0.1", str(port)]
        _run(["env", "TCP_NODELAY=1", "storescu", option, "-R", "-nh", *to, *map(str, some)])


def gdcmscu(port: int, files: list[Path]) -> None:
    """GDCM's own implementation: an association a file."""
    _need("gdcmscu", "libgdcm-tools")
    for file in files:
        _run(["gdcmscu", "--store", "--aetitle", "GDCMSCU", "--call", "ISOCENTER", "127.0.0.1", str(port), str(file)])


def pixelmed(port: int, files: list[Path]) -> None:
    """PixelMed, in Java, an association for each transfer syntax: of several it labels all by the first."""
    _need("java", "default-jre-headless")
    if not _PIXELMED.is_file():
        pytest.skip("PixelMed is not installed (Debian: pixelmed-apps)")
    program = ["java", "-cp", f"{_PIXELMED}:/usr/share/java/*", "com.pixelmed.network.StorageSOPClassSCU"]
    by_syntax: dict[str, list[Path]] = {}
    for file, header in readable(files):
        by_syntax.setdefault(header.transfer_syntax_uid, []).append(file)
    for syntax in _PIXELMED_SENDS:
        names = "\n".join(map(str, by_syntax.get(syntax, []))) + "\n"
        _run([*program, "127.0.0.1", str(port), "ISOCENTER", "PIXELMED", "-"], names)


def dcmjs(port: int, files: list[Path]) -> None:
    """dcmjs-dimse, in JavaScript: it writes each data set anew, and dies of the odd ones."""
    _need("node", "nodejs")
    if not _DCMJS.is_dir():
        pytest.skip(
            f"dcmjs-dimse is not installed: npm install --prefix {_DCMJS.parents[1].relative_to(ROOT)} dcmjs-dimse"
        )
    _run(["node", "-e", _SEND_BY_DCMJS, str(_DCMJS), str(port)], "\n".join(map(str, files)))


def orthanc(port: int, files: list[Path], folder: Path) -> None:
    """Orthanc as a modality: it is given the files, and pushes what it holds."""
    with _running_orthanc(port, folder) as api:
        held = [one for file in files if (one := _upload(api, file))]
        order = {"Resources": held, "Synchronous": True, "Permissive": True}  # permissive: it goes on after a refusal
        url = f"{api}/modalities/isocenter/store"
        urllib.request.urlopen(url, json.dumps(order).encode(), timeout=_SECONDS).close()


@contextmanager
def _running_orthanc(port: int, folder: Path) -> Iterator[str]:
    _need("Orthanc", "orthanc")
    http = free_port()
    (folder / "orthanc.json").write_text(json.dumps({
        "Name": "modality", "StorageDirectory": str(folder), "IndexDirectory": str(folder), "DicomAet": "ORTHANC",
        "DicomServerEnabled": False, "HttpPort": http, "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
        "Plugins": [], "SyncStorageArea": False, "DicomScuTimeout": 60,
        "DicomModalities": {"isocenter": ["ISOCENTER", "127.0.0.1", port]},
    }))  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["env", "TCP_NODELAY=1", "Orthanc", str(folder / "orthanc.json")],
                                   stdout=log, stderr=log)  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while not listens(http):
            assert process.poll() is None, (folder / "log").read_text(errors="replace")
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"http://127.0.0.1:{http}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _upload(api: str, file: Path) -> str:
    """Orthanc's identifier of the instance, or nothing when it can't use the file."""
    try:
        with urllib.request.urlopen(f"{api}/instances", file.read_bytes(), timeout=30) as answer:
            return str(json.load(answer)["ID"])
    except urllib.error.HTTPError:
        return ""


def _need(program: str, package: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian: {package})")


def _run(command: list[str], given: str = "") -> None:
    """Whether it says success is not asked: the wire and the store tell what came of it."""
    subprocess.run(
        command, input=given, capture_output=True, timeout=_SECONDS, text=True, errors="replace", check=False
    )


def readable(files: list[Path]) -> Iterator[tuple[Path, Header]]:
    """The files that can be sent byte for byte, with their headers."""
    for file in files:
        try:
            header = read_header(file)
        except UnreadableInstance:
            continue
        if header.sop_class_uid and header.sop_instance_uid:
            yield file, header
