"""Help texts, made from the tables of the commands."""

from __future__ import annotations

from oci_runtime.cli.main import COMMANDS, OPTIONS, attribute, load, write_output
from oci_runtime.cli.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_runtime.cli.options import Options

_INTRODUCTION = """pyoci runs containers that are described by bundles of the Open Container
Initiative: directories with a config.json and a root filesystem. Its command
line is that of runc."""
_HELP = ("help", "h", "bool", False, "show this help")
_VALUES = {"text": " value", "int": " value", "list": " value", "ints": " value", "bool": ""}


def show_help(topic: list[str]) -> int:
    """Prints the help of the command topic[0], or of pyoci when there is none."""
    write_output(command_help(topic[0]) if topic else general_help())
    return 0


def general_help() -> str:
    commands = [(name, load(name).SUMMARY) for name in COMMANDS]
    commands.append(("help, h", "show this help, or that of a command"))
    return _sections(
        ("NAME", ["pyoci - Open Container Initiative runtime"]),
        ("", _INTRODUCTION.splitlines()),
        ("USAGE", ["pyoci [global options] command [command options] [arguments...]"]),
        ("VERSION", [VERSION]),
        ("COMMANDS", _columns(commands)),
        ("GLOBAL OPTIONS", _options(OPTIONS)),
    )


def command_help(name: str) -> str:
    module = load(name)
    return _sections(
        ("NAME", [f"pyoci {name} - {module.SUMMARY}"]),
        ("USAGE", [f"pyoci {name} [command options] {module.ARGUMENTS[0]}".rstrip()]),
        ("DESCRIPTION", attribute(module, "DESCRIPTION").splitlines()),
        ("OPTIONS", _options(module.OPTIONS)),
    )


def _options(options: Options) -> list[str]:
    return _columns([_row(option) for option in (*options, _HELP) if option[4]])


def _row(option: tuple[str, str, str, object, str]) -> tuple[str, str]:
    name, alias, kind, default, text = option
    value = _VALUES[kind]
    shown = f"--{name}{value}, -{alias}{value}" if alias else f"--{name}{value}"
    if kind in ("text", "int") and default != "":
        text = f'{text} (default: "{default}")' if kind == "text" else f"{text} (default: {default})"
    return shown, text


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(left) for left, _ in rows) + 2
    return [left.ljust(width) + right for left, right in rows]


def _sections(*sections: tuple[str, list[str]]) -> str:
    texts = []
    for title, lines in sections:
        if lines:
            head = f"{title}:\n" if title else ""
            texts.append(head + "".join(f"   {line}\n" for line in lines))
    return "\n".join(texts)
