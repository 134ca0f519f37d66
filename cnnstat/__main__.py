"""`python -m cnnstat`."""

from cnnstat.cli.app import main

main()
