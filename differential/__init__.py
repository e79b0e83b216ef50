"""Configurations and commands that hypothesis draws, run by pyoci and by other runtimes, and compared: README.md."""
