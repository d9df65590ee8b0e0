"""`python -m services.infer`."""

from services.infer.main import main

main()
