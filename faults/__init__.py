"""Fault injection: each system call of each command fails in turn, or the command is killed at it. docs/faults.md."""
