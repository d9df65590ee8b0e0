"""What a viewer calls an image: its Instance Number, or the frame of an instance."""

from services.report.facts import RunFacts
from shared.findings import SourceImage


def image_name(facts: RunFacts, image: SourceImage) -> str:
    """`image 7`, `frame 12`, or `image 7 frame 12` where several instances have frames."""
    numbers = {str(ds.SOPInstanceUID): ds.get("InstanceNumber") for ds in facts.sources}
    number = numbers.get(image.sop_instance_uid)
    of_image = [f"image {number}"] if number is not None and not (image.frame and len(numbers) == 1) else []
    return " ".join([*of_image, *([f"frame {image.frame}"] if image.frame else [])])
