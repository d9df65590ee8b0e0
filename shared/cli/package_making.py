"""`isocenter package new`, `import`, `train` and `try`: from nothing, or from a network that exists, to a result."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from shared.cli.opening import ConfigOption, JsonOption, fail
from shared.cli.package import NameArgument, app, repository, versions_of
from shared.packages.making.draft import Draft, DraftTensor, write_draft
from shared.packages.making.onnx_file import CannotImport
from shared.packages.manifest import NAME

SCORE = DraftTensor("score", (1,))
FIRST_OUTPUTS = {
    "binary": DraftTensor("logit", (1,), kind="binary", activation="sigmoid"),
    "regression": DraftTensor("regression", (1,)),
    "measurement": DraftTensor("measurement", (1,), kind="measurement"),
    "landmark": DraftTensor("landmark", (4, 2), kind="landmark"),
}
FIRST_INPUTS = {
    "image": [DraftTensor("image", (1, 512, 512))],
    "series": [DraftTensor("image", (1, -1, 512, 512))],
    "study": [
        DraftTensor("first", (1, 512, 512)), DraftTensor("second", (1, 512, 512)),
        DraftTensor("there", (2,), source="present"),
    ],
}  # fmt: skip
FIRST_STEPS = ('[[preprocess]]\nstep = "modality_lut"', '[[preprocess]]\nstep = "resize"\nshape = [512, 512]')


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and _: lung_nodule.")],
    kind: Annotated[Literal["reader", "gate"], typer.Option(help="What it is.")] = "reader",
    output: Annotated[
        Literal["binary", "regression", "measurement", "landmark"], typer.Option(help="What it says.")
    ] = "binary",
    modality: Annotated[list[str] | None, typer.Option(help="What it reads: DX, CT … Give it again for more.")] = None,
    by: Annotated[
        Literal["image", "series", "study"], typer.Option(help="What it reads at once; a study by its series.")
    ] = "image",
    config: ConfigOption = None,
) -> None:
    """Make a package folder to complete: manifest, config.pbtxt and card; what is open is marked TODO."""
    if kind == "gate" and by != "image":
        fail("a gate scores single images: leave --by out")
    folder = _free_folder(name, config)
    draft = Draft(
        name, kind, name.replace("_", " ").capitalize(), FIRST_INPUTS[by],
        [SCORE if kind == "gate" else FIRST_OUTPUTS[output]], modality=modality or ["DX"], steps=FIRST_STEPS,
    )  # fmt: skip
    _written(draft, folder)


@app.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="model.onnx, a MONAI bundle (folder, zip, .ts), or a TorchScript file with --shape."
        ),
    ],
    name: Annotated[str, typer.Option(help="Of the package; default: the file's.")] = "",
    modality: Annotated[list[str] | None, typer.Option(help="What it reads: DX, CT …")] = None,
    shape: Annotated[str, typer.Option(help="TorchScript: its input without the batch, as 1,224,224.")] = "",
    config: ConfigOption = None,
) -> None:
    """Make a package folder around a network that exists, and check it under a real Triton.

    What the file tells is filled in; what only a person knows is marked TODO. Ends with 1 where it can't be served.
    """
    from shared.packages.making.importing import import_network
    from shared.packages.making.monai_bundle import import_bundle, open_bundle

    if not file.exists():
        fail(f"there is no file {file}")
    name = name or re.sub(r"[^a-z0-9_]+", "_", file.stem.lower()).strip("_")
    folder = _free_folder(name, config)
    sizes = _sizes(shape)
    try:
        with open_bundle(file) as bundle:
            if bundle:
                draft = import_bundle(bundle, name, folder, modality or [])
            else:
                draft = import_network(file, name, folder, modality or [], sizes)
    except CannotImport as error:
        shutil.rmtree(folder, ignore_errors=True)
        fail(str(error), 1)
    _written(draft, folder)
    from shared.cli.package_validate import validate_package

    validate_package(name, golden=True, short=True, config=config)


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        fail(f"--shape takes whole numbers with commas between, as 1,224,224; found {text!r}")


@app.command()
def train(
    name: NameArgument,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="DICOM and labels; default: generated phantoms.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="For all that is made; default: ./training/NAME.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Training time; default: the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed begins the same way.")] = 0,
    config: ConfigOption = None,
) -> None:
    """Run a package's recipe, which shows how far it is and goes on where it was interrupted.

    The package itself stays as it is: look at the figures first, then copy `1/` as the next version's folder.
    """
    package = versions_of(config, name)[-1]
    recipe = package.folder / "recipe.py"
    if not recipe.is_file():
        fail(f"{package.folder} has no recipe.py: it can't be trained again here", 1)
    if importlib.util.find_spec("torch") is None:
        fail("training needs torch: pip install 'isocenter[train]'", 1)
    if data is not None and not data.is_dir():
        fail(f"there is no folder {data}")
    place = out or Path("training") / name
    place.mkdir(parents=True, exist_ok=True)
    given = {"--out": place, "--seed": seed, "--data": data, "--minutes": minutes}
    arguments = [str(part) for key, value in given.items() if value is not None for part in (key, value)]
    code = subprocess.run([sys.executable, str(recipe), *arguments], check=False).returncode
    if code:
        fail(f"the recipe ended with {code}; run again, it goes on from what lies in {place}", 1)
    print(f"made in {place}: look at its figures; then copy {place}/1 to {package.folder}/{package.number + 1}")


@app.command("try")
def try_package(
    name: NameArgument,
    data: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with DICOM files below it.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Keep the result objects: pacs/, ris/, studies.json.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a folder of DICOM through the whole system with this package alone, and show what it finds.

    The gates that it requires are there too. Nothing of a running system is touched: it has its own data, ports and
    Triton, and stand-ins for PACS and RIS. Ends with 1 when a study failed.
    """
    from tempfile import TemporaryDirectory

    from shared.demo.run import run_demo

    if not data.is_dir():
        fail(f"there is no folder {data}: give one with DICOM files below it")
    package = versions_of(config, name)[-1]
    with TemporaryDirectory(prefix="isocenter-try-") as work:
        for wanted in (name, *package.manifest.gates.required):
            folder = package.folder.parent / wanted
            if folder.is_dir():
                (Path(work) / wanted).symlink_to(folder.absolute(), target_is_directory=True)
        raise typer.Exit(run_demo(data, True, out, as_json, Path(work)))


def _free_folder(name: str, config: Path | None) -> Path:
    if not re.fullmatch(NAME, name):
        fail(f"{name!r} can't be a package's name: small letters, digits and _, a letter first, 2 to 48 of them")
    folder = repository(config) / name
    if folder.exists():
        fail(f"{folder} is there already: choose another name, or remove it first")
    return folder


def _written(draft: Draft, folder: Path) -> None:
    console = Console(soft_wrap=True, highlight=False)
    files = write_draft(draft, folder)
    console.print(f"{folder}: {', '.join(path.name for path in files)}")
    for note in draft.notes:
        console.print(f"  did not map: {note}", markup=False)
    console.print("complete what is marked TODO, then: isocenter package validate", draft.name)
