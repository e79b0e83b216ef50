from __future__ import annotations

import pytest
from command_line import pyoci

from oci_runtime.cli.events import duration
from oci_runtime.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("+1.5s", 1.5),
        ("2m30s", 150),
        ("1h", 3600),
        ("500ms", 0.5),
        (".5s", 0.5),
        ("1.s", 1),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("1h0m0.000000001s", 3600.000000001),
    ],
)
def test_durations_are_those_of_go(text: str, seconds: float) -> None:
    assert duration(text, "interval") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0s",
        "-5s",
        "5",
        "5x",
        "s",
        ".s",
        "1..5s",
        "5 s",
        "1s5",
        "\N{ARABIC-INDIC DIGIT FIVE}s",
        "1e3s",
        "ms",
        "9999999999h",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError, match=r"invalid value for interval: .* valid are durations of more than 0"):
        duration(text, "interval")


def test_the_interval_is_looked_at_before_the_container() -> None:
    done = pyoci("events", "--interval", "0", "nobody")
    assert done.returncode == 1
    assert b"invalid value for interval" in done.stderr
