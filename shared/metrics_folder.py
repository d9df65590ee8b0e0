"""Where a service of several processes counts: the metrics' library takes a folder, and looks for it once, when it is
imported. So this module imports nothing that counts."""

import atexit
import os
import shutil
import tempfile

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def count_over_processes(name: str) -> None:
    """Makes the metrics of this process and of those that it starts one: they count in files of one folder.

    Call it before anything that counts is imported.
    """
    if os.environ.get("ISOCENTER_METRICS_PORT"):
        folder = tempfile.mkdtemp(prefix=f"isocenter-{name}-metrics-")
        os.environ[METRICS_FOLDER] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
