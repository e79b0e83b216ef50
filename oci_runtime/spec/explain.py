"""Say why a document was refused. Imported only then; jsonschema and json may be imported here."""

from __future__ import annotations

import json

from oci_runtime.errors import Problem, SpecError
from oci_runtime.spec.locate import line_and_column, offset_of, pointer_of, steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from jsonschema import ValidationError

MAX_SHOWN = 60
"""Characters of an offending value that a message repeats."""

DEFINITIONS = {"config": "#", "process": "#/definitions/process", "resources": "#/definitions/resources"}

_ARTICLES = {
    "object": "an object",
    "array": "an array",
    "string": "a string",
    "integer": "an integer",
    "boolean": "true or false",
}


class LocatedProblem(Problem):
    """A problem with its place in the file; `line` and `column` count from 1, columns in characters."""

    __slots__ = ("column", "line")

    def __init__(self, pointer: str, message: str, line: int, column: int) -> None:
        super().__init__(pointer, message)
        self.line = line
        self.column = column


def spec_error(problems: Iterable[Problem], document: object, text: str, name: str) -> SpecError:
    """The error that shows all problems, in the order of the file, each with the value it is about."""
    located = []
    for problem in problems:
        try:
            line, column = line_and_column(text, offset_of(text, problem.pointer))
        except RecursionError:  # the document was read with a little less on the stack
            return SpecError(f"{name}: arrays and objects are nested too deeply")
        value = _value_at(document, problem.pointer)
        located.append(LocatedProblem(problem.pointer, f"{value}{problem.message}", line, column))
    located.sort(key=lambda problem: (problem.line, problem.column))
    lines = [f"{name}:{p.line}:{p.column}: {p.pointer or 'the document'}{p.message}" for p in located]
    if len(lines) > 1:
        lines.insert(0, f"{name} has {len(lines)} problems")
    return SpecError("\n".join(lines), located)


def schema_error(kind: str, document: object, text: str, name: str) -> SpecError:
    """The error for a document that the generated checker refused: `kind` is config, process or resources."""
    from jsonschema import Draft7Validator

    schema = load_schema("config")
    if kind != "config":
        schema = {"$ref": DEFINITIONS[kind], "definitions": schema["definitions"]}
    problems = [_problem(error) for error in Draft7Validator(schema).iter_errors(document) if not _follows(error)]
    if not problems:
        return SpecError(
            f"{name}: internal error: the generated checker refuses what schemas/config.schema.json accepts; "
            "please report it with the file",
            [Problem("", "refused by the generated checker only")],
        )
    return spec_error(problems, document, text, name)


def syntax_error(error: Exception, text: str, name: str) -> SpecError:
    """The error for text that is not JSON."""
    if isinstance(error, json.JSONDecodeError):
        # the decoder's messages end as the place would follow them, which comes before here
        what = _lower(error.msg).removesuffix(" at").removesuffix(" starting")
        return error_at(text, error.pos, name, f"not valid JSON: {what}")
    if isinstance(error, StopIteration):
        if not text.strip():
            return SpecError(f"{name}: the file is empty; it must hold a JSON object")
        position = int(error.value)
        what = "the file ends in the middle of the document" if position >= len(text) else "expecting value"
        return error_at(text, position, name, f"not valid JSON: {what}")
    if isinstance(error, RecursionError):
        return SpecError(f"{name}: arrays and objects are nested too deeply")
    if isinstance(error, ValueError):  # Python refuses to convert integers of more than 4300 digits
        return SpecError(f"{name}: a number has too many digits")
    return error_at(text, _constant(text), name, f"not valid JSON: {error} is not a JSON number")


def error_at(text: str, index: int, name: str, message: str) -> SpecError:
    """A single problem at an index of the text, in a document that has no pointers yet."""
    line, column = line_and_column(text, index)
    return SpecError(f"{name}:{line}:{column}: {message}", [LocatedProblem("", message, line, column)])


def load_schema(name: str) -> dict[str, Any]:
    """schemas/NAME.schema.json: installed, in oci_runtime/schemas; in a source tree, beside oci_runtime."""
    package = __file__.rpartition("/")[0].rpartition("/")[0]
    for directory in (f"{package}/schemas", f"{package}/../schemas"):
        try:
            with open(f"{directory}/{name}.schema.json", encoding="utf-8") as file:
                schema: dict[str, Any] = json.load(file)
                return schema
        except FileNotFoundError:
            continue
    raise SpecError(f"internal error: {name}.schema.json is not installed with pyoci")


def show(value: object) -> str:
    """A value as JSON, shortened; only that they are containers for arrays and objects."""
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value in (float("inf"), float("-inf")):
        return "a number of more than 308 digits"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def _follows(error: ValidationError) -> bool:
    """Whether it says of what is no integer that it is too large or too small, besides."""
    value: Any = error.instance
    return error.validator in ("minimum", "maximum") and isinstance(value, float) and not value.is_integer()


def _problem(error: ValidationError) -> Problem:
    """One schema violation as what would be valid."""
    rule: Any = error.validator
    wanted: Any = error.validator_value
    schema: Any = error.schema
    if rule == "required":
        missing = error.message.split("'")[1]
        return Problem(pointer_of(error.absolute_path), f"lacks the required property {show(missing)}")
    if rule == "type":
        message = f"must be {_ARTICLES[wanted]}"
    elif rule == "enum":
        message = f"must be one of {', '.join(wanted)}"
    elif rule in ("minimum", "maximum"):
        low, high = schema.get("minimum"), schema.get("maximum")
        message = f"must be at least {low}" if high is None else f"must be between {low} and {high}"
    elif rule == "minItems":
        message = f"must have at least {wanted} entry"
    elif rule == "pattern":
        message = f"must be {schema['description']}"
    else:
        message = error.message
    return Problem(pointer_of(error.absolute_path), message)


def _value_at(document: Any, pointer: str) -> str:
    """What to print between pointer and message: nothing for a container, for which it would say little."""
    for step in steps(pointer):
        try:
            document = document[int(step) if isinstance(document, list) else step]
        except (KeyError, IndexError, ValueError, TypeError):
            return ": "
    if isinstance(document, (list, dict)):
        return ": "
    return f" is {show(document)}: "


def _constant(text: str) -> int:
    """The index of the first NaN or Infinity that is not inside a string."""
    import re

    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN', text, re.DOTALL):
        if not match.group().startswith('"'):
            return match.start()
    return 0


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
