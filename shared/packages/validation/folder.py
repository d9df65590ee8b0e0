"""What a look into the folder tells: steps, codes, gates, card, digest of the weights, and the figures' limits."""

from collections.abc import Iterator, Sequence

from shared.imaging.steps import StepError, compile_steps
from shared.packages.codes import is_known
from shared.packages.folder import Package
from shared.packages.limits import broken_limits
from shared.packages.validation.check import Check, ok, unknown, wrong


def check_folder(package: Package, gates: Sequence[str]) -> Iterator[Check]:
    """The package's folder on its own; `gates` are the names that a package may require."""
    yield _steps(package)
    yield from _features(package)
    yield from _codes(package)
    yield _gates(package, gates)
    yield _card(package)
    yield _weights(package)
    yield _figures(package)


def _steps(package: Package) -> Check:
    try:
        compile_steps(package.manifest.preprocess)
    except StepError as error:
        return wrong("steps", str(error))
    return ok("steps", ", ".join(step.step for step in package.manifest.preprocess) or "none")


def _features(package: Package) -> Iterator[Check]:
    for tensor in package.manifest.tensors.inputs:
        if tensor.source == "features" and not tensor.features:
            yield wrong("features", f"input {tensor.name}: write a [[tensors.inputs.features]] for each of its numbers")
        elif tensor.features:
            yield ok("features", f"{tensor.name}: {', '.join(feature.name for feature in tensor.features)}")


def _codes(package: Package) -> Iterator[Check]:
    """A code under other words is refused when the manifest is read; one that no dictionary holds is told here."""
    coded = [coded.code for output in package.manifest.outputs for coded in (output, *output.labels)]
    strange = [code for code in coded if not code.scheme.startswith("99") and not is_known(code)]
    for code in strange:
        yield unknown("codes", f"{code.scheme} {code.value} ({code.meaning}) is not among those that DICOM lists")
    if not strange:
        yield ok("codes", ", ".join(f"{code.scheme} {code.value}" for code in dict.fromkeys(coded)))


def _gates(package: Package, gates: Sequence[str]) -> Check:
    missing = [name for name in package.manifest.gates.required if name not in gates]
    if missing:
        return wrong("gates", f"requires {', '.join(missing)}: there are {', '.join(gates)}")
    return ok("gates", ", ".join(package.manifest.gates.required) or "requires none")


def _card(package: Package) -> Check:
    card = package.folder / "README.md"
    if not card.is_file():
        return wrong("card", "there is no README.md: say what the package is for, what it learned from, its figures")
    mark = package.manifest.package.use_mark.replace("-", " ")
    if mark and mark not in card.read_text(encoding="utf-8").lower():
        return wrong("card", f"README.md does not say “{mark}”, which is the package's use mark")
    return ok("card", "README.md")


def _weights(package: Package) -> Check:
    digest = package.weights_digest()
    if not digest:
        return wrong("weights", f"there is no {package.weights.relative_to(package.folder)}: train or import one")
    if not package.manifest.weights.digest:
        return wrong("weights", f'are not pinned: write digest = "sha256:{digest}" into [weights]')
    return ok("weights", f"sha256:{digest[:12]}…, {package.weights.stat().st_size / 1e6:.2f} MB")


def _figures(package: Package) -> Check:
    manifest = package.manifest
    if broken := broken_limits(manifest):
        return wrong("limits", "; ".join(broken))
    if not manifest.limits:
        return unknown("limits", "no [limits] are set on the figures of [validation]: nothing blocks promotion")
    return ok("limits", ", ".join(f"{name} {manifest.validation[name]:g}" for name in manifest.limits))
