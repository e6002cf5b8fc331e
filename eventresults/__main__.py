"""`python -m eventresults`: the command line."""

from eventresults.cli import main

main()
