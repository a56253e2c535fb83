"""`python -m hiergen` is the command line."""

from hiergen.cli import main

main()
