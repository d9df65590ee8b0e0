"""`isocenter package`: what models and gates there are, and what becomes of them."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from shared.cli.opening import ConfigOption, JsonOption, errors, fail, open_config
from shared.packages.folder import Package, PackageError, load_versions
from shared.settings import Triton

app = typer.Typer(
    name="package",
    help="Models and gates: list, show, make, import, validate, try and train them, and say which version serves.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The package: its folder in the model repository.")]


def repository(config: Path | None) -> Path:
    """The folder of packages that the configuration names."""
    page, _ = open_config(config)
    folder = page.section(Triton).model_repository
    if not folder.is_dir():
        fail(f"there is no folder {folder}: say in triton.model_repository where the packages are")
    return folder


def versions_of(config: Path | None, name: str) -> list[Package]:
    """Every version of a package, the newest last; ends with what is wrong where it can't be read."""
    folder = repository(config)
    if not (folder / name / "package.toml").is_file():
        names = ", ".join(sorted(path.parent.name for path in folder.glob("*/package.toml"))) or "none"
        fail(f"there is no package {name} in {folder}: there are {names}")
    try:
        return load_versions(folder / name)
    except PackageError as error:
        fail(f"the package can't be used:\n{error}", 1)


@app.command("list")
def list_packages(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the packages with their versions, and what part each has now. Ends with 1 when one can't be used."""
    from shared.cli.package_versions import parts
    from shared.packages.folder import load_all_versions

    packages, problems = load_all_versions(repository(config))
    part = parts(config)
    every = [_facts(package) | {"part": part.get((package.name, package.version), "")} for package in packages]
    if as_json:
        print(json.dumps({"packages": every, "problems": problems}, indent=2))
    else:
        columns = ("name", "version", "part", "kind", "reads", "weights", "title")
        table = Table("package", *columns[1:])
        for facts in every:
            table.add_row(*(str(facts[key]) for key in columns))
        Console().print(table)
        for problem in problems:
            errors.print(f"isocenter: {problem}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(int(bool(problems)))


def _facts(package: Package) -> dict[str, object]:
    manifest, selector = package.manifest, package.manifest.selector
    return {
        "name": package.name,
        "version": package.version,
        "kind": manifest.package.kind,
        "title": manifest.package.title,
        "reads": " ".join([*selector.modality, *selector.body_part, "by", manifest.grouping.by]),
        "weights": _weights(package),
        "triton_version": package.number,
        "use_mark": manifest.package.use_mark,
    }


def _weights(package: Package) -> str:
    """A digest is checked when a package is loaded: what is named here is what lies there."""
    if not package.number:
        return "none yet"
    return package.weights_digest()[:12] if package.manifest.weights.digest else "not pinned"


@app.command()
def show(name: NameArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Tell all about one package: what it reads, what comes out, its figures and its limits."""
    from shared.cli.package_card import show_package

    versions = versions_of(config, name)
    if as_json:
        print(json.dumps([p.manifest.model_dump(mode="json", by_alias=True) for p in versions], indent=2))
    else:
        show_package(versions, Console())


@app.command()
def schema() -> None:
    """Print the JSON Schema of package.toml, for editors."""
    from shared.packages.schema import json_schema

    print(json_schema(), end="")
