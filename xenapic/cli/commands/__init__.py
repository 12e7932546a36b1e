"""One module for each command; `xenapic.cli.app` imports the one that is asked for."""
