"""Make ``python -m xenapic`` the command."""

from xenapic.cli import main

main()
