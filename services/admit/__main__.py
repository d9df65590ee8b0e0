"""`python -m services.admit`."""

from services.admit.main import main

main()
