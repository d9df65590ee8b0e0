"""`isocenter demo`: the real system on its embedded default, and studies that go round."""

import json
import logging
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.demo.hospital import Hospital
from shared.demo.screen import Screen
from shared.serving.triton_environment import EnvironmentMissing
from shared.serving.triton_server import TritonNotStarted
from shared.store.view_models import StudyView
from shared.study import StudyState

AS_INTENDED = frozenset({StudyState.DELIVERED, StudyState.HELD, StudyState.REFUSED})
LONGEST_STILLNESS = 600.0  # seconds without any change after which --once calls the rest stuck


def run_demo(
    data: Path | None, once: bool, out: Path | None, as_json: bool, model_repository: Path | None = None
) -> int:
    """Runs the demonstration, with other packages than the shipped ones if told; returns the command's exit code."""
    warnings.filterwarnings("ignore", module="pydicom")
    for name in ("pynetdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    asked_to_stop = _stop_on_signals()
    with _work_folder() as work:
        kept = out or work / "out"
        hospital = Hospital(data, kept, work, model_repository)
        screen = Screen(hospital.progress, live=not as_json)
        thread = threading.Thread(target=hospital.run, name="demo", daemon=True)
        views: list[StudyView] = []
        try:
            screen.update(views)
            hospital.start()
            thread.start()
            views = _follow(hospital, screen, once, asked_to_stop)
        except (EnvironmentMissing, TritonNotStarted) as error:
            hospital.failure = str(error)
        finally:
            screen.close("stopping")
            hospital.stop()
            if thread.ident:
                thread.join(timeout=10)
        code = _exit_code(hospital, views, once, asked_to_stop.is_set())
        page = _page(hospital, views)
        (kept / "studies.json").write_text(json.dumps(page, indent=1, ensure_ascii=False), encoding="utf-8")
        if as_json:
            print(json.dumps(page, indent=1, ensure_ascii=False))
        else:
            screen.summary(views, hospital.pacs.received(), hospital.ris.received(), kept if out else None)
        if out and (work / "logs").is_dir():
            shutil.copytree(work / "logs", out / "logs", dirs_exist_ok=True)
        if hospital.failure:
            screen.error(hospital.failure)
        return code


def _follow(hospital: Hospital, screen: Screen, once: bool, asked_to_stop: threading.Event) -> list[StudyView]:
    """Shows the studies until everything is settled (once) or a person stops it; returns the last look."""
    last_change, before = time.monotonic(), ""
    shown_results = False
    while True:
        views = hospital.views()
        screen.update(views)
        screen.down(hospital.system.watch())
        now = f"{hospital.progress.sent} {[(v.state, v.runs, v.deliveries) for v in views]}"
        if now != before:
            before, last_change = now, time.monotonic()
        if hospital.failure or asked_to_stop.is_set():
            return views
        if hospital.settled(views):
            if once:
                return views
            if not shown_results:
                screen.results(views, hospital.pacs.received(), hospital.ris.received())
                shown_results = True
        if once and time.monotonic() - last_change > LONGEST_STILLNESS:
            return views
        asked_to_stop.wait(0.5)


def _exit_code(hospital: Hospital, views: list[StudyView], once: bool, stopped: bool) -> int:
    if hospital.failure:
        return 1
    if stopped and not hospital.settled(views):
        return 1 if once else 0
    failed = [v for v in views if v.state not in AS_INTENDED]
    return 1 if failed or not hospital.settled(views) else 0


def _page(hospital: Hospital, views: list[StudyView]) -> dict[str, object]:
    """What `studies.json` holds: the studies as the API gives them, and what was not taken at the door."""
    return {
        "studies": [v.model_dump(mode="json") for v in views],
        "refused_instances": [r.__dict__ for r in hospital.progress.refused],
        "skipped_files": hospital.progress.skipped,
        "made_up": hospital.progress.made_up,
    }


@contextmanager
def _work_folder() -> Iterator[Path]:
    """The system's own data: made for one demonstration and gone after it."""
    folder = Path(tempfile.mkdtemp(prefix="isocenter-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
