"""What a model's outputs mean: typed findings with their place on the source image. Touches no wire.

Each kind of output has its function in `services/infer/kinds`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from services.infer.answer import Answer, Keep, nowhere
from services.infer.explanations import heat_maps
from services.infer.kinds.arrays import derived_image, embedding
from services.infer.kinds.classification import binary, multilabel
from services.infer.kinds.ordinal import ordinal
from services.infer.kinds.points import landmarks, measured
from services.infer.kinds.points_in_series import landmarks_in_series, measured_in_series
from services.infer.kinds.quantity import quantity
from services.infer.kinds.segments import segments
from services.infer.kinds.sizes import size_of_segment
from services.infer.slices import key_images
from shared.findings import Finding, NotSure
from shared.inference import Reading, Unreadable
from shared.outputs import scalar
from shared.packages.folder import Package
from shared.packages.output_tables import Output

KINDS: Mapping[str, Callable[[Answer], Sequence[Finding]]] = {
    "binary": binary,
    "multilabel": multilabel,
    "ordinal": ordinal,
    "regression": quantity,
    "measurement": quantity,
    "landmark": lambda answer: landmarks(answer) if _by_image(answer) else landmarks_in_series(answer),
    "segment": segments,
    "image": derived_image,
    "embedding": embedding,
}


def findings_of(
    package: Package, reading: Reading, keep: Keep = nowhere, without: Collection[str] = ()
) -> list[Finding]:  # fmt: skip
    """What each output of the package says of one image, one series or one study, and after it the images to look at
    where the slices' weights tell. Of a series that is missing nothing is said. Arrays that findings name are given to
    `keep`; outputs `without` are passed over.

    Raises:
        Unreadable: an output is of a kind or shape that can't be understood, or out of its declared range.
    """
    said: dict[str, Sequence[Finding]] = {}
    outputs = [output for output in package.manifest.outputs if output.name not in without]
    for output in sorted(outputs, key=lambda output: bool(output.of)):  # a segment before what is measured of it
        own = reading.of(package.manifest.series_of(output))
        answer = own and Answer(package, output, own, _confidence(package, output, own), keep)
        said[output.name] = _said(answer, said) if answer else ()
    found = [finding for output in outputs for finding in said[output.name]]
    return [*found, *(key for finding in found for key in key_images(finding))]


def _said(answer: Answer, said: Mapping[str, Sequence[Finding]]) -> Sequence[Finding]:
    """What an output says, which is that it is not sure where its confidence is below what the manifest asks for;
    `said` is what others do."""
    output, least = answer.output, answer.output.minimum_confidence
    if least is not None and answer.confidence is not None and answer.confidence < least:
        return [NotSure(**answer.identity(), minimum_confidence=least)]
    if output.of:
        return size_of_segment(answer, said[answer.package.manifest.segmented(output).name])
    found = _measured(answer) if output.geometry else KINDS[output.kind](answer)
    return [*found, *heat_maps(answer, found)]


def _measured(answer: Answer) -> Sequence[Finding]:
    """A measurement with a geometry."""
    return measured(answer) if _by_image(answer) else measured_in_series(answer)


def _by_image(answer: Answer) -> bool:
    manifest = answer.package.manifest
    return manifest.reads_single_images(manifest.series_of(answer.output))


def _confidence(package: Package, output: Output, reading: Reading) -> float | None:
    """What the package says of how sure it is; None where it says nothing.

    Raises:
        Unreadable: it is no single number from 0 to 1.
    """
    if not output.confidence_tensor:
        return None
    value = scalar(package, reading, output.confidence_tensor)
    if not -1e-6 <= value <= 1 + 1e-6:
        raise Unreadable(f"{package.name}: the confidence of {output.name} is {value:g}, outside 0 to 1")
    return min(max(value, 0.0), 1.0)
