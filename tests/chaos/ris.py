"""A stand-in RIS as a process of its own: it answers AA only for what it has recorded durably.

`python -m tests.chaos.ris PORT FOLDER`. It reads `mode` before each answer: `slow` takes a while, `late` answers after
its sender has given up, `silent` records the message and closes without an answer, which is how duplicates are made.
"""

import hashlib
import signal
import socketserver
import sys
import threading
import time
from pathlib import Path

from tests.chaos.pacs import mode_of, record

SLOW_SECONDS = 1.0
START, END = b"\x0b", b"\x1c\x0d"  # HL7 v2.5.1 appendix C, minimal lower layer protocol


class Receive(socketserver.StreamRequestHandler):
    """One connection; as many messages as its sender likes."""

    def handle(self) -> None:
        data = b""
        while chunk := self.request.recv(65536):
            data += chunk
            while END in data:
                message, data = data.split(END, 1)
                if not self._answer(message.removeprefix(START)):
                    return

    def _answer(self, message: bytes) -> bool:
        folder, late_seconds = self.server.folder, self.server.late_seconds
        mode = mode_of(folder)
        control_id = message.split(b"\r", 1)[0].split(b"|")[9].decode("ascii", "replace")
        time.sleep(SLOW_SECONDS if mode == "slow" else 0)
        (folder / f"{hashlib.sha256(message).hexdigest()}.hl7").write_bytes(message)
        record(folder, {
            "control_id": control_id, "digest": hashlib.sha256(message).hexdigest(), "mode": mode, "at": time.time(),
        })  # fmt: skip
        if mode == "silent":
            return False
        time.sleep(late_seconds if mode == "late" else 0)
        answer = f"MSH|^~\\&|CHAOSRIS||||||ACK^R01^ACK|A{control_id}|P|2.5.1\rMSA|AA|{control_id}\r"
        self.request.sendall(START + answer.encode() + END)
        return True


class Server(socketserver.ThreadingTCPServer):
    """One thread a connection."""

    allow_reuse_address = daemon_threads = True
    folder: Path
    late_seconds: float

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that hangs up is no error here."""


def main() -> None:
    server = Server(("127.0.0.1", int(sys.argv[1])), Receive)
    server.folder, server.late_seconds = Path(sys.argv[2]), float(sys.argv[3])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.pause()


if __name__ == "__main__":
    main()
