"""Changes processes of the system as they start, without a switch in the product: Python imports this by PYTHONPATH.

`ISOCENTER_CHAOS_MUTANTS` names what is changed (tests/chaos/mutants.py), apart by commas; children inherit it.
"""

import os
import sys

if os.environ.get("ISOCENTER_CHAOS_MUTANTS") and not sys.flags.isolated:
    try:
        from tests.chaos import mutants
    except ImportError:  # Triton's own environment: nothing of ours is there
        pass
    else:
        mutants.install(os.environ["ISOCENTER_CHAOS_MUTANTS"].split(","))
