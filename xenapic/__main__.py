"""Let ``python -m xenapic`` be the command."""

from xenapic.cli import main

main()
