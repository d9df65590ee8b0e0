"""A stand-in RIS: it only receives, writes each message down and accepts it. For who has no hospital at hand."""

import re
import socketserver
import threading
from pathlib import Path

from shared.hl7.mllp import Decoder, frame, send_message

_SAFE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class StandInRis:
    """Receives over MLLP on 127.0.0.1 and writes `folder/<MSH-10>.hl7`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        ris = self

        class Receive(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                decoder = Decoder()
                while data := self.request.recv(65536):
                    for received in decoder.feed(data):
                        self.request.sendall(frame(ris.receive(received.content)))

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Receive)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="stand-in RIS", daemon=True).start()

    def receive(self, message: bytes) -> bytes:
        """Writes the message down; returns the acknowledgement."""
        header = message.split(b"\r", 1)[0].decode("ascii", "replace").split("|")
        control_id = header[9] if len(header) > 9 else ""
        if not _SAFE_NAME.fullmatch(control_id):
            return b"MSH|^~\\&|STANDINRIS||||||ACK|0|P|2.5.1\rMSA|AR|\r"
        (self.folder / f"{control_id}.hl7").write_bytes(message)
        return f"MSH|^~\\&|STANDINRIS||||||ACK^R01^ACK|A{control_id}|P|2.5.1\rMSA|AA|{control_id}\r".encode()

    def received(self) -> int:
        """How many messages have come."""
        return sum(1 for _ in self.folder.glob("*.hl7"))

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def send_order(host: str, port: int, message: str) -> str:
    """Sends an order as the RIS would; returns MSA-1 of the answer.

    Raises:
        shared.hl7.mllp.NoAnswer: nobody answered.
    """
    answer = send_message(host, port, message.encode()).decode("utf-8", "replace")
    return next((s.split("|")[1] for s in answer.split("\r") if s.startswith("MSA|")), "")
