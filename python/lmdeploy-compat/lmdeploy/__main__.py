"""`python -m lmdeploy`."""

from .cli import main

main()
