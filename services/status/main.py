"""Wires status: the book out to people, their buttons back into it."""

import logging
from types import FrameType

import uvicorn

from services.status.api import Surroundings, make_api
from services.status.settings import Settings
from services.status.watch import Watch
from shared.checks import Checks
from shared.packages.installed import Installed
from shared.service import Service, start_service
from shared.settings import Triton
from shared.worker import Ringer

log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Ends the live streams when it is told to stop: uvicorn would wait for them."""

    def __init__(self, config: uvicorn.Config, watch: Watch) -> None:
        super().__init__(config)
        self.watch = watch

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.watch.close()
        super().handle_exit(sig, frame)
        self._captured_signals.clear()  # uvicorn would raise it again at the end; being told to stop is a good end


def surroundings(service: Service) -> Surroundings:
    """What the API needs of a started service."""
    settings = service.config.section(Settings)
    triton = service.config.section(Triton)
    checks = Checks(service.book, service.app, service.core, triton.url, settings.disk_free_gib)
    watch = Watch(service.book, settings.refresh_seconds, settings.followed_studies)
    names = [destination.name for destination in service.config.destinations]
    installed = Installed(triton.model_repository, service.config.packages)
    return Surroundings(service.book, service.core, settings, checks, watch, installed, names)


def main() -> None:
    """Runs until told to stop."""
    service = start_service("status")
    around = surroundings(service)
    ringer = Ringer(service.bus)
    ringer.start()
    config = uvicorn.Config(
        make_api(around), host=around.settings.host, port=around.settings.port, log_config=None, access_log=False,
        timeout_graceful_shutdown=5, server_header=False,
    )  # fmt: skip
    log.info("ready page=http://%s:%d/", around.settings.host, around.settings.port)
    _Server(config, around.watch).run()
    ringer.stop()
    service.book.close()
