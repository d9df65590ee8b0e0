"""A stand-in PACS: it only receives, and writes each object down as it came. For who has no hospital at hand."""

from pathlib import Path
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dsutils import encode_file_meta

from shared.uids import is_valid_uid

_SUCCESS, _REFUSED = 0x0000, 0xC000


class StandInPacs:
    """Receives on 127.0.0.1 and writes `folder/<SOPInstanceUID>.dcm`."""

    ae_title = "STANDINPACS"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        entity = AE(ae_title=self.ae_title)
        entity.supported_contexts = AllStoragePresentationContexts
        entity.add_supported_context("1.2.840.10008.1.1")  # Verification
        handlers: Any = [(evt.EVT_C_STORE, self._store)]
        server: Any = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self._server = server
        self.port: int = server.server_address[1]

    def _store(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        if not is_valid_uid(uid):
            return _REFUSED
        meta = b"\x00" * 128 + b"DICM" + encode_file_meta(event.file_meta)
        (self.folder / f"{uid}.dcm").write_bytes(meta + event.request.DataSet.getvalue())
        return _SUCCESS

    def received(self) -> int:
        """How many objects have come."""
        return sum(1 for _ in self.folder.glob("*.dcm"))

    def stop(self) -> None:
        self._server.shutdown()
