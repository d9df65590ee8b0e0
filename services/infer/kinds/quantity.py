"""A number with its unit, as the tensor holds it."""

from services.infer.answer import Answer
from services.infer.slices import slice_weights
from shared.findings import Measurement
from shared.outputs import number


def quantity(answer: Answer) -> list[Measurement]:
    """One measurement.

    Raises:
        Unreadable: there is not one number, or it is out of the range that the manifest declares.
    """
    return [
        Measurement(
            **answer.identity(), value=number(answer.package, answer.output, answer.reading), unit=answer.output.unit,
            slice_weights=slice_weights(answer.package, answer.reading),
        )
    ]  # fmt: skip
