"""`python -m services.collect`."""

from shared.metrics_folder import count_over_processes

count_over_processes("collect")  # before anything counts: the metrics' library looks once, when it is imported

from services.collect.main import main  # noqa: E402

main()
