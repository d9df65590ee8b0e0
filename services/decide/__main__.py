"""`python -m services.decide`."""

from services.decide.main import main

main()
