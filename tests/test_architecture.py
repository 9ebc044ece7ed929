"""The arrows between packages, and the size of files and functions."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path for package in ("apps", "shared", "data") for path in (ROOT / package).rglob("*.py")
)
FORBIDDEN = {"shared": {"apps", "data"}, "data": {"apps", "shared"}}
# The type of a name that is looked up at run time; only type checkers read the import.
EXEMPT = {(ROOT / "shared/serving/__init__.py", "apps.client.Client")}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    parts = path.relative_to(ROOT).parts
    for name in imported(path):
        if (path, name) in EXEMPT:
            continue
        package, *rest = name.split(".")
        assert package not in FORBIDDEN.get(parts[0], set()), f"{parts[0]} imports {name}"
        if parts[0] == "apps" and package == "apps" and len(parts) > 2:
            assert rest[0] in (parts[1], "APPS"), f"{parts[1]} imports another app: {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{path}:{node.lineno} {node.name}"
