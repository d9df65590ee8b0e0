"""`isocenter package validate`: the checks on a terminal, and the report in the card."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape

from shared.cli.check import plain_gates
from shared.cli.opening import ConfigOption, JsonOption, errors, fail, open_config
from shared.cli.package import app, repository, versions_of
from shared.packages.folder import Package, load_packages
from shared.packages.validation.check import Check
from shared.packages.validation.golden import Golden, made_up_inputs, run_graph, write_golden
from shared.packages.validation.judged import judged
from shared.packages.validation.predictions import Prediction, read_predictions
from shared.packages.validation.report import put_into_card, report
from shared.packages.validation.tensors import tensors_of_outputs
from shared.packages.validation.validate import RECORDED, may_be_promoted, validate
from shared.settings import Triton

_SIGNS = {"ok": "[green]✓[/]", "wrong": "[bold red]✗[/]", "unknown": "[yellow]?[/]"}


@app.command("validate")
def validate_package(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The package; none with --all.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every package of the model repository.")] = False,
    short: Annotated[bool, typer.Option("--short", help="Time few requests: for a quick look and for CI.")] = False,
    write_report: Annotated[
        bool, typer.Option("--report", help="Write the figures of validation.csv into the card.")
    ] = False,
    golden: Annotated[
        bool, typer.Option("--write-golden", help="First keep what the network says now as its golden rows.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a package is what its manifest says, under a real Triton, and may be promoted.

    Schema, steps, codes, gates, card; tensors of manifest, config.pbtxt and graph; golden rows in ONNX Runtime and on
    Triton; the explanation's self-test; latency and memory; figures and limits. Ends with 1 where anything is wrong.
    """
    if bool(name) == every:
        fail("give the name of one package, or --all")
    folder, environment = repository(config), open_config(config)[0].section(Triton).environment
    packages, problems = load_packages(folder) if every else ([versions_of(config, name)[-1]], [])
    gates = [*sorted(plain_gates()), *(p.name for p in load_packages(folder)[0] if p.is_gate)]
    console = Console(soft_wrap=True, highlight=False, quiet=as_json)
    found: dict[str, list[Check]] = {}
    for package in packages:
        if golden:
            _write_golden(package)
        console.print(f"[bold]{package.name} {package.version}[/]")
        if write_report:
            _report(package, console)
        checks = validate(package, gates, environment, requests=3 if short else 15)
        found[package.name] = list(_shown(checks, console))
    for problem in problems:
        errors.print(f"isocenter: {problem}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        page = {name: [check.__dict__ for check in checks] for name, checks in found.items()}
        print(json.dumps({"packages": page, "problems": problems}, indent=2))
    if problems or not all(may_be_promoted(checks) for checks in found.values()):
        raise typer.Exit(1)


def _shown(checks: Iterator[Check], console: Console) -> Iterator[Check]:
    for check in checks:
        console.print(f"  {_SIGNS[check.state]} {check.name}: {escape(check.said)}")
        yield check


def _write_golden(package: Package) -> None:
    """Golden rows of made-up input, the same each time: for a package that came without its recipe."""
    inputs = made_up_inputs(package.manifest)
    outputs = {name: np.zeros(0, np.float32) for name in tensors_of_outputs(package)}
    try:
        write_golden(package, inputs, run_graph(package, Golden(inputs, outputs)))
    except Exception as error:  # ONNX Runtime's own, of many kinds
        words = "the network does not take made-up input, so it has no golden rows"
        errors.print(f"isocenter: {package.name}: {words}: {error}", markup=False, highlight=False, soft_wrap=True)


def _report(package: Package, console: Console) -> None:
    path = package.folder / RECORDED
    if not path.is_file():
        fail(f"there is no {path}: the recipe writes it", 1)
    try:
        predictions = read_predictions(path)
    except (OSError, ValueError) as error:
        fail(str(error), 1)
    pictures = _pictures(package, predictions, console)
    put_into_card(package.folder / "README.md", report(package, predictions, f"the cases of `{RECORDED}`", pictures))
    console.print(f"  the report stands in {package.folder / 'README.md'}")


def _pictures(package: Package, predictions: list[Prediction], console: Console) -> dict[str, str]:
    drawn: dict[str, str] = {}
    try:
        from shared.packages.validation.pictures import draw

        for one in judged(package, predictions):
            drawn[one.name] = f"validation-{one.name}.png"
            draw(one, Path(package.folder) / drawn[one.name])
    except ImportError:
        console.print("  no pictures: matplotlib comes with `pip install isocenter\\[train]`")
        return {}
    return drawn
