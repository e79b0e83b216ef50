"""The environment of hooks obeys the rule of the process's."""

from __future__ import annotations

from oci_runtime.spec.validate_hooks import validate_hooks


def test_a_variable_of_a_hook_needs_a_name() -> None:
    problems: list[object] = []
    validate_hooks({"prestart": [{"path": "/hook", "env": ["A=1", "=x"]}]}, problems)  # type: ignore[arg-type]
    assert [problem.pointer for problem in problems] == ["/hooks/prestart/0/env/1"]  # type: ignore[attr-defined]
