"""A package on a terminal: what it reads, what comes out, its figures and its limits."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.packages.folder import Package
from shared.packages.limits import broken_limits
from shared.packages.manifest import Manifest, Step, Tensor
from shared.packages.output_tables import Output


def show_package(versions: Sequence[Package], console: Console) -> None:
    """The newest version in full, the others by name."""
    package = versions[-1]
    manifest, said = package.manifest, package.manifest.package
    console.print(f"[bold]{package.name} {package.version}[/]  {escape(said.title)}  ({said.kind}, {said.use_mark})")
    console.print(escape(said.intended_use), "\n")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in _lines(manifest):
        table.add_row(f"[bold]{name}[/]", escape(value))
    if len(versions) > 1:
        table.add_row("[bold]other versions[/]", ", ".join(f"{p.version} ({p.number})" for p in versions[:-1]))
    table.add_row("[bold]card[/]", str(package.folder / "README.md"))
    console.print(table)
    _show_figures(manifest, console)
    for problem in broken_limits(manifest):
        console.print(f"[bold red]limit not kept:[/] {escape(problem)}")


def _lines(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if manifest.paper.title:
        yield "paper", f"{manifest.paper.title} ({manifest.paper.seed})"
        yield "its claims", manifest.paper.claims
    selector = {key: value for key, value in manifest.selector.model_dump().items() if value}
    yield "selector", ", ".join(f"{key} {_words(value)}" for key, value in selector.items())
    yield "one row is", f"one {manifest.grouping.by}"
    for series in manifest.grouping.series:
        missing = ", may be missing" if series.name in manifest.grouping.optional else ""
        yield f"series {series.name}", f"{series.in_words}{missing}"
    yield "preprocess", " → ".join(map(_call, manifest.preprocess)) or "nothing"
    yield "in", "; ".join(map(_tensor, manifest.tensors.inputs))
    for output in manifest.outputs:
        yield "out", _output(output)
    yield "explanation", manifest.explanation.kind
    if manifest.gate:
        yield "verdict", f"warn below {manifest.gate.warn_below:g}, hold below {manifest.gate.hold_below:g}"
    yield "gates", ", ".join(manifest.gates.required) or "none"
    yield "results", " ".join([*manifest.results.dicom, *manifest.results.hl7])


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _call(step: Step) -> str:
    given = ", ".join(f"{key}={value}" for key, value in step.parameters.items())
    return f"{step.step}{f'({given})' if given else ''}{f' of {_words(step.series)}' if step.series else ''}"


def _tensor(tensor: Tensor) -> str:
    of = f" of {tensor.series}" if tensor.series else ""
    return f"{tensor.name} {tensor.dtype} {tensor.shape} ({tensor.source}{of})"


def _output(output: Output) -> str:
    unit = "" if output.unit == "1" else f", {output.unit}"
    threshold = "" if output.threshold is None else f", from {output.threshold:g}"
    labels = f": {', '.join(label.name for label in output.labels)}" if output.labels else ""
    code = f"{output.code.value} {output.code.scheme} {output.code.meaning}"
    return f"{output.name} ({output.kind}{labels}{unit}{threshold}), {code}"


def _show_figures(manifest: Manifest, console: Console) -> None:
    figures = {name: value for name, value in manifest.validation.items() if not isinstance(value, dict)}
    if not figures:
        console.print("\nno figures yet: `isocenter package validate` measures them")
        return
    table = Table("figure", "value", "limit", box=None, padding=(0, 2, 0, 0), title="validation", title_justify="left")
    for name, value in figures.items():
        limit = manifest.limits.get(name)
        bounds = {"from": limit.min, "to": limit.max} if limit else {}
        told = " ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
        table.add_row(name, f"{value:g}" if isinstance(value, float) else str(value), told)
    console.print()
    console.print(table)
