"""`python -m services.send`."""

from services.send.main import main

main()
