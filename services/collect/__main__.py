"""`python -m services.collect`."""

from services.collect.main import main

main()
