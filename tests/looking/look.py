"""Looks at series in real OHIF, with the hospital's Python in the hospital's namespace: look.py JOBS.json FOLDER.

A job names a `study`, a `series` by its description, what is waited for (the hues of `colours`, and `text`), and the
`shot` that is kept in FOLDER as PNG, with the page's words as .txt beside it. A shot is taken when all of it is there
and nothing moves any more, or when that was waited for in vain: whoever asked judges it. The window changes its size a
little meanwhile, and the series is opened once more: OHIF shows what took its time to load, a map or a report's
regions, only when it next draws the image. Errors of the page and refused requests are printed, and the exit code is 1.
"""

import io
import json
import sys
import time
from pathlib import Path

import numpy as np
from hues import VIEWPORT, of_hue
from PIL import Image
from playwright.sync_api import sync_playwright

VIEWER = "http://127.0.0.1:18080/viewer?StudyInstanceUIDs="
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--no-first-run",
]  # fmt: skip
# a PDF's frame has no storage
NO_TOUR = "window.localStorage?.setItem('shownTours', JSON.stringify(['basicViewerTour']))"
WINDOW = {"width": 1280, "height": 800}
PATIENCE = 90.0  # seconds: waited so long only in vain, or on a machine that is busy
ENOUGH = 40  # pixels of a colour that are no accident


def main():
    jobs, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    faults = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(viewport=WINDOW, service_workers="block")
        context.add_init_script(NO_TOUR)
        for job in jobs:
            page, start = context.new_page(), time.monotonic()
            page.on("pageerror", lambda error: faults.append(f"page error: {error}"))
            page.on("response", lambda answer: answer.status < 400 or faults.append(f"{answer.status} {answer.url}"))
            look(page, job, folder / job["shot"])
            page.close()
            print(job["shot"], f"{time.monotonic() - start:.1f} s", flush=True)
        browser.close()
    print(*faults, sep="\n")
    return bool(faults)


def look(page, job, path):
    page.goto(VIEWER + job["study"], wait_until="domcontentloaded")
    label = page.get_by_text(job["series"], exact=True).first
    label.wait_for(timeout=1000 * PATIENCE)
    page.wait_for_load_state("networkidle", timeout=1000 * PATIENCE)
    until(page, lambda pixels: pixels[VIEWPORT].std() > 20)
    label.dispatch_event("dblclick")
    opened = time.monotonic()

    def ready(pixels):
        if agreed(page) and shows(page, pixels[VIEWPORT], job):
            return True
        nonlocal opened
        if time.monotonic() - opened > PATIENCE / 3:
            label.dispatch_event("dblclick")
            opened = time.monotonic()
        draw_again(page)
        return False

    pixels = until(page, ready)
    Image.fromarray(pixels).save(path.with_suffix(".png"))
    path.with_suffix(".txt").write_text(page.inner_text("body"))


def until(page, ready):
    """The first picture that is ready and like the one before it, or the last that was waited for."""
    deadline, before = time.monotonic() + PATIENCE, None
    while time.monotonic() < deadline:
        pixels = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        if before is not None and np.array_equal(pixels, before) and ready(pixels):
            break
        before = pixels
        page.wait_for_timeout(300)
    return pixels


def agreed(page):
    """Whether OHIF's question, whether to draw a segmentation or a report, needs no answer any more."""
    button = page.locator('[data-cy="yes-hydrate-btn"]')
    if not button.count():
        return True
    button.first.dispatch_event("click")
    return False


def shows(page, pixels, job):
    colours = all(of_hue(pixels, colour).sum() >= ENOUGH for colour in job["colours"])
    return colours and job["text"] in page.inner_text("body")


def draw_again(page):
    page.set_viewport_size(WINDOW | {"height": WINDOW["height"] - 2})
    page.wait_for_timeout(300)
    page.set_viewport_size(WINDOW)


if __name__ == "__main__":
    sys.exit(main())
