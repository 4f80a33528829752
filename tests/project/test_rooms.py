"""Holds the rooms together: each says what lives there, a folder of tests mirrors it, and a test names each module."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = [ROOT / p for p in ("protos", "plugins", "training", "exporters", "server", "clients/python", "cli")]
MODULES = sorted(
    path
    for root in SOURCE_ROOTS
    for path in (root / "honeyguide").rglob("*.py")
    if "_pb2" not in path.name and path.name not in ("__init__.py", "__main__.py")
)
PACKAGES = sorted(path for root in SOURCE_ROOTS for path in (root / "honeyguide").rglob("__init__.py"))


def relative(path: Path) -> Path:
    """Path of a source within the namespace package."""
    return next(path.relative_to(root / "honeyguide") for root in SOURCE_ROOTS if path.is_relative_to(root))


def imports(tree: ast.Module) -> set[str]:
    """Every module and name that a test imports from honeyguide."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("honeyguide"):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            names |= {alias.name for alias in node.names}
    return names


def definitions(path: Path) -> set[str]:
    """Public functions and classes of a module."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = (n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef))
    return {node.name for node in nodes if not node.name.startswith("_")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(relative(path)))
def test_a_test_names_the_module(path):
    """By its file's name, by importing it or what it defines, or by "`module.py`" in its opening docstring."""
    folder = ROOT / "tests" / relative(path).parent
    assert folder.is_dir(), f"the folders of tests mirror the sources: there is no {folder.relative_to(ROOT)}"
    dotted = ".".join(("honeyguide", *relative(path).with_suffix("").parts))
    for file in folder.glob("test_*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        opening = ast.get_docstring(tree) or ""
        names = imports(tree)
        if file.stem == f"test_{path.stem}" or f"`{path.name}`" in opening or names & {dotted, *definitions(path)}:
            return
    pytest.fail(f"no test in {folder.relative_to(ROOT)} names {path.name}")


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: str(relative(path.parent)))
def test_a_room_says_in_a_sentence_what_lives_there(path):
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    sentence = docstring.partition("\n\n")[0]
    assert sentence.endswith(".")
    assert len(sentence.split()) >= 4


def test_what_contributing_names_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = {
        word for word in re.findall(r"`([\w./-]+)`", text) if "/" in word and not word.startswith(("/", "honeyguide/"))
    }
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_contributing_has_a_row_for_every_room():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rooms = {str(path.parent.relative_to(ROOT)) for path in PACKAGES}
    assert [room for room in sorted(rooms) if f"`{room}/`" not in text] == []
