"""Paths by their letters alone. Resolving one in the container's root is init's business."""

from __future__ import annotations


def clean(path: str) -> str:
    """The absolute path without empty, `.` and `..` components, as if its directories had no symbolic links."""
    if "/." not in path and "//" not in path and path[:1] == "/":
        return path.rstrip("/") or "/"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def join(base: str, path: str) -> str:
    """`path` below `base`, unless it is absolute."""
    return path if path.startswith("/") else f"{base.rstrip('/')}/{path}"
