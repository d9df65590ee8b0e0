"""A stand-in PACS as a process of its own: it answers success only for what it has recorded durably.

`python -m tests.chaos.pacs PORT FOLDER`. Each object becomes a file and a line of `accepted.jsonl`, each C-STORE again:
a repeat is another line. It reads `mode` before each answer: `full` answers 0xA700, anything else stores.
"""

import json
import logging
import os
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dsutils import encode_file_meta

from tests.chaos.made_up import data_set_digest

AE_TITLE = "CHAOSPACS"
_SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]  # explicit VR first, as the real one stores


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    logging.disable(logging.CRITICAL)
    entity = AE(ae_title=AE_TITLE)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), _SYNTAXES)
    entity.maximum_associations = 50
    handlers: Any = [(evt.EVT_C_STORE, store, [folder])]
    server: Any = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    assert server is not None
    signal.pause()


def store(event: Any, folder: Path) -> int:
    """Records and answers; a crash in between makes the sender repeat, which is another line."""
    if mode_of(folder) == "full":
        return 0xA700
    meta = b"\x00" * 128 + b"DICM" + encode_file_meta(event.file_meta)
    content = meta + event.request.DataSet.getvalue()
    name = f"{uuid.uuid4().hex}.dcm"
    with (folder / name).open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    record(folder, {
        "sop_instance_uid": str(event.request.AffectedSOPInstanceUID), "digest": data_set_digest(content),
        "file": name, "at": time.time(),
    })  # fmt: skip
    return 0x0000


def mode_of(folder: Path) -> str:
    """What the harness asks of the stand-in at the moment."""
    try:
        return (folder / "mode").read_text().strip()
    except FileNotFoundError:
        return ""


def record(folder: Path, line: dict[str, Any]) -> None:
    """Adds a line to `accepted.jsonl`, on the disk when this returns."""
    with (folder / "accepted.jsonl").open("ab") as file:
        file.write(json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    main()
