"""Finds written text in a picture, without reading it: RapidOCR's detector, whose weights lie in its wheel."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING = "the extra `text` is not installed (pip install isocenter[text])"
_LONGEST_SIDE = 1280


def can_look() -> bool:
    """Whether the detector is installed."""
    return find_spec("rapidocr") is not None


@lru_cache(maxsize=1)
def _engine() -> Any:
    import rapidocr

    # The path of its own weights is given, so that it never looks for others on the network.
    weights = next((Path(rapidocr.__file__).parent / "models").glob("*_det_*.onnx"))
    threads = "EngineConfig.onnxruntime.intra_op_num_threads"
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical", "Global.max_side_len": _LONGEST_SIDE, threads: 1,
            "Det.model_path": str(weights),
        }
    )  # fmt: skip


def text_boxes(pixels: NDArray[np.float32], inverted: bool = False) -> int:
    """How many pieces of text stand in the picture, (rows, columns) of any range; what they say is not read."""
    low, high = np.percentile(pixels, [0.5, 99.8])
    grey = np.clip((pixels - low) / max(float(high - low), 1.0), 0, 1)
    grey = ((1 - grey if inverted else grey) * 255).astype(np.uint8)
    found = _engine()(np.stack([grey] * 3, axis=-1), use_det=True, use_cls=False, use_rec=False)
    return 0 if found.boxes is None else len(found.boxes)
