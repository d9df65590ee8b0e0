"""Makes the environment that Isocenter's own Triton runs from: `python setup_environment.py --into .venv-triton`.

It needs nothing but Python's standard library, asks nothing, and does nothing when the environment is already right.
Exit status: 0 ready (or not possible on this platform, where Isocenter runs the models in-process), 1 with what to do.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
BACKENDS = HERE / "backends"
DESCRIPTION = "triton-environment.json"
SCHEMA = 1
PYTHONS = ("3.11", "3.12", "3.13")
"""The Pythons that the pinned nvidia-pytriton has a stub for and that Isocenter runs on."""
GLIBC = (2, 35)
"""The wheel is built for manylinux_2_35 (Ubuntu 22.04, Debian 12, RHEL 10 or later)."""
MACHINES = ("x86_64", "aarch64")
"""The processors that the pinned packages have wheels for; only x86_64 has been tried."""
BUNDLED_LIBPYTHON = ("3.13",)
"""Pythons for which the wheel brings its own shared libpython."""
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class CannotSetUp(Exception):
    """Setting up is not possible; the message says what to do."""


def main() -> int:
    """Set up, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=Path(".venv-triton"), help="the folder (default: %(default)s)")
    parser.add_argument("--python", help=f"the Python to use, one of {', '.join(PYTHONS)} (default: this one)")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        print(
            f"Triton does not run on {platform.system()}: Isocenter will run the models in-process. Nothing to set up."
        )
        return 0
    into = arguments.into.absolute()
    try:
        continue_in_a_served_python(into, arguments.python)
        set_up(into)
    except CannotSetUp as reason:
        print(f"Triton's environment can't be set up: {reason}", file=sys.stderr)
        return 1
    return 0


def continue_in_a_served_python(into: Path, asked_for: str | None) -> None:
    """Go on in the Python that was asked for, or, where this one has no stub, in one that has."""
    if asked_for is None and THIS_PYTHON in PYTHONS:
        return
    python = shutil.which(asked_for) if asked_for else newest_served_python()
    if python is None:
        raise CannotSetUp(f"there is no {asked_for} to run.")
    version, prefix = identity(python)
    if version not in PYTHONS:
        raise CannotSetUp(
            f"nvidia-pytriton has a stub for Python {', '.join(PYTHONS)} that we can use, not for {version}."
        )
    if prefix != sys.base_prefix:
        print(f"Using {python} (Python {version}) for Triton", flush=True)
        os.execv(python, [python, str(Path(__file__).resolve()), "--into", str(into)])


def newest_served_python() -> str:
    """A Python on the PATH that has a stub."""
    for version in reversed(PYTHONS):
        python = shutil.which(f"python{version}")
        if python and identity(python)[0] == version:
            return python
    raise CannotSetUp(
        f"nvidia-pytriton has a stub for Python {', '.join(PYTHONS)} that we can use, not for this {THIS_PYTHON}, and "
        "none of these is on the PATH. Install one (your system's package, or: uv python install 3.13) and pass it: "
        f"--python python{PYTHONS[-1]}"
    )


def identity(python: str) -> tuple[str, str]:
    """A Python's version and where its installation lies; empty where it does not start (an idle shim)."""
    question = "import sys; print('%d.%d' % sys.version_info[:2], sys.base_prefix)"
    asked = subprocess.run([python, "-c", question], capture_output=True, text=True, check=False)
    version, _, prefix = asked.stdout.strip().partition(" ")
    return version, prefix


def set_up(into: Path) -> None:
    """Every step that is needed, each announced; none where the environment is ready already."""
    before = earlier_description(into)
    if before.get("digest") == digest():
        print(f"Triton's environment is ready: {into}")
        return
    check_platform()
    library_folder = libpython_folder()
    started = time.monotonic()
    steps: list[tuple[str, Callable[[], object]]] = [
        (f"making a Python {THIS_PYTHON} environment in {into}", lambda: make_environment(into)),
        ("installing Triton and ONNX Runtime (about 110 MB to fetch)", lambda: install(into)),
        ("putting Triton's backends together", lambda: compose_backends(into)),
        ("checking that the server and its Python stub start", lambda: check_server(into, library_folder)),
    ]
    if before.get("packages_digest") == packages_digest():
        steps = steps[2:]
    (into / DESCRIPTION).unlink(missing_ok=True)
    for number, (text, step) in enumerate(steps, 1):
        print(f"[{number}/{len(steps)}] {text}", flush=True)
        step()
    (into / DESCRIPTION).write_text(json.dumps(description(into, library_folder), indent=2) + "\n")
    print(f"Triton's environment is ready after {time.monotonic() - started:.0f} s: {into}")


def earlier_description(into: Path) -> dict[str, Any]:
    """What an earlier set-up finished in this very place; empty where nothing usable stands there."""
    try:
        found = json.loads((into / DESCRIPTION).read_text())
        stands = all(Path(path).exists() for path in [found["tritonserver"], *found["library_path"]])
    except (OSError, ValueError, KeyError):
        return {}
    # An environment can't be moved: paths that point elsewhere mean that it was.
    return found if stands and found.get("backends") == str(into / "backends") else {}


def digest() -> str:
    """Changes whenever anything that the environment is made from changes."""
    parts = [path.read_bytes() for path in [Path(__file__), *sorted(BACKENDS.rglob("*.py"))]]
    return hashlib.sha256(b"".join([packages_digest().encode(), *parts])).hexdigest()


def packages_digest() -> str:
    """Changes whenever the packages have to be installed anew."""
    return hashlib.sha256(f"{SCHEMA} {THIS_PYTHON} {REQUIREMENTS.read_text()}".encode()).hexdigest()


def check_platform() -> None:
    """Raise CannotSetUp where the wheel can't run."""
    elsewhere = "Point [triton] url at a Triton on another machine instead."
    if platform.machine() not in MACHINES:
        raise CannotSetUp(
            f"nvidia-pytriton is built for {' and '.join(MACHINES)}, not for {platform.machine()}. {elsewhere}"
        )
    name, version = platform.libc_ver()
    if name != "glibc":
        raise CannotSetUp(f"nvidia-pytriton needs glibc, which this system does not have. {elsewhere}")
    if tuple(int(part) for part in version.split(".")[:2]) < GLIBC:
        raise CannotSetUp(
            f"nvidia-pytriton needs glibc {GLIBC[0]}.{GLIBC[1]} or later (Ubuntu 22.04, Debian 12); this is {version}. "
            f"{elsewhere}"
        )


def libpython_folder() -> Path | None:
    """The folder of this Python's shared library, which the stub is linked with; None where the wheel brings it."""
    if THIS_PYTHON in BUNDLED_LIBPYTHON:
        return None
    name = f"libpython{THIS_PYTHON}.so.1.0"
    folders = [
        sysconfig.get_config_var("LIBDIR"),
        sysconfig.get_config_var("LIBPL"),
        Path(sys.base_prefix, "lib"),
    ]
    multiarch = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
    folders += [f"/usr/lib/{multiarch}", f"/lib/{multiarch}", "/usr/local/lib", "/usr/lib64", "/usr/lib"]
    for folder in folders:
        if folder and Path(folder, name).is_file():
            return Path(folder)
    raise CannotSetUp(
        f"{name} is missing: Triton's Python stub is linked with it.\n"
        f"  Debian, Ubuntu: apt-get install libpython{THIS_PYTHON}\n"
        f"  Fedora, RHEL:   dnf install python{THIS_PYTHON}-libs\n"
        f"  pyenv:          PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force {THIS_PYTHON}\n"
        "  conda, uv:      their Pythons bring it; run this script with one of them\n"
        "Then run this again."
    )


def make_environment(into: Path) -> None:
    """An empty virtual environment; what an interrupted set-up left is replaced."""
    if into.exists() and any(into.iterdir()) and not (into / "pyvenv.cfg").is_file():
        raise CannotSetUp(
            f"{into} exists and is no Python environment: remove it, or choose another folder with --into."
        )
    try:
        venv.create(into, clear=True, with_pip=True, symlinks=True)
    except subprocess.CalledProcessError as error:
        raise CannotSetUp(
            f"Python's ensurepip failed ({error}). On Debian and Ubuntu: apt-get install python{THIS_PYTHON}-venv"
        ) from None


def install(into: Path) -> None:
    """The pinned packages; pip shows its own progress to a person who watches."""
    command = [into / "bin" / "python", "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--requirement", REQUIREMENTS]
    if not sys.stdout.isatty():
        command.append("--quiet")
    if subprocess.run(command, check=False).returncode:
        raise CannotSetUp(f"pip could not install what {REQUIREMENTS.name} lists; its own words are above.")


def site_packages(into: Path) -> Path:
    """Where the environment's packages lie."""
    return into / "lib" / f"python{THIS_PYTHON}" / "site-packages"


def tritonserver(into: Path) -> Path:
    """The server's folder inside the wheel."""
    return site_packages(into) / "pytriton" / "tritonserver"


def compose_backends(into: Path) -> None:
    """The backend directory: Triton's Python backend with this Python's stub in it, and ours beside it."""
    source, target = tritonserver(into), into / "backends"
    stub = source / "python_backend_stubs" / THIS_PYTHON / "triton_python_backend_stub"
    if not stub.is_file():
        raise CannotSetUp(f"the installed nvidia-pytriton has no Python stub for Python {THIS_PYTHON}.")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source / "backends" / "python", target / "python")
    shutil.copy2(stub, target / "python")
    shutil.copytree(BACKENDS, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "bin" / "tritonserver").chmod(0o755)
    (target / "python" / stub.name).chmod(0o755)


def library_path(into: Path, library_folder: Path | None) -> list[str]:
    """LD_LIBRARY_PATH of the server and its stubs."""
    folders = [site_packages(into) / "nvidia_pytriton.libs", library_folder]
    return [str(folder) for folder in folders if folder]


def check_server(into: Path, library_folder: Path | None) -> None:
    """Raise CannotSetUp unless the server answers, the stub finds its libraries and ONNX Runtime imports."""
    variables = {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(library_path(into, library_folder)),
        "PYTHONPATH": "",
    }
    stub = into / "backends" / "python" / "triton_python_backend_stub"
    checks = [
        ([tritonserver(into) / "bin" / "tritonserver", "--help"], {}, "Usage"),
        ([stub], {"LD_TRACE_LOADED_OBJECTS": "1"}, "libpython"),
        ([into / "bin" / "python", "-c", "import onnxruntime; print(onnxruntime.__version__)"], {}, "."),
    ]
    for command, extra, expected in checks:
        ran = subprocess.run(command, env=variables | extra, capture_output=True, text=True, check=False)
        said = ran.stdout + ran.stderr
        if expected not in said or "not found" in said:
            raise CannotSetUp(f"{Path(command[0]).name} does not start (exit status {ran.returncode}):\n{said[-2000:]}")


def description(into: Path, library_folder: Path | None) -> dict[str, object]:
    """What shared/serving/triton_environment.py reads."""
    return {
        "schema": SCHEMA,
        "digest": digest(),
        "packages_digest": packages_digest(),
        "python": THIS_PYTHON,
        "tritonserver": str(tritonserver(into) / "bin" / "tritonserver"),
        "backends": str(into / "backends"),
        "library_path": library_path(into, library_folder),
        "python_path": [str(site_packages(into))],
        "binaries": str(into / "bin"),
    }


if __name__ == "__main__":
    sys.exit(main())
