"""`python -m services.collect`."""

from services.collect.lean import without_pixels
from shared.metrics_folder import count_over_processes

without_pixels()
count_over_processes("collect")  # before anything counts: the metrics' library looks once, when it is imported

from services.collect.main import main  # noqa: E402

main()
