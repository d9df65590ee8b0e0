"""`python -m services.report`."""

from services.report.main import main

main()
