"""`python -m services.gate`."""

from services.gate.main import main

main()
