"""Reads no more of a request's body than any button needs: a body is otherwise held in memory, whatever its length."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 65536


class BodyLimit:
    """Answers 413 to a request with a longer body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        came = 0

        async def bounded() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > MOST_BYTES:
                raise HTTPException(413, f"a request holds at most {MOST_BYTES} bytes")
            return message

        await self.app(scope, bounded, send)
