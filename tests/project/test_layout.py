"""Guards the layout: one namespace package, committed stubs that match, light imports, sorted public names."""

import ast
import re
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = [ROOT / p for p in ("protos", "plugins", "training", "exporters", "server", "clients/python", "cli")]
MODULES = sorted(
    path for root in SOURCE_ROOTS for path in (root / "honeyguide").rglob("*.py") if "_pb2" not in path.name
)


def test_no_source_root_hides_the_others():
    assert [root for root in SOURCE_ROOTS if (root / "honeyguide" / "__init__.py").exists()] == []


@pytest.mark.parametrize("root", SOURCE_ROOTS, ids=lambda p: p.name)
def test_every_part_is_typed_and_introduced(root):
    for package in (p for p in (root / "honeyguide").iterdir() if p.is_dir() and p.name != "__pycache__"):
        assert (package / "py.typed").exists(), package
        assert (package / "__init__.py").exists(), package


def test_committed_stubs_match_the_protos(tmp_path):
    subprocess.run([sys.executable, ROOT / "protos" / "generate.py", tmp_path], check=True)
    made = {p.relative_to(tmp_path): p.read_text() for p in tmp_path.rglob("*_pb2*.py*")}
    committed = {
        p.relative_to(ROOT / "protos"): p.read_text()
        for p in (ROOT / "protos").rglob("*_pb2*.py*")
        if p.suffix != ".pyc"
    }
    assert made.keys() == committed.keys()
    assert [str(name) for name in made if made[name] != committed[name]] == [], "run `make proto`"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_opens_with_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_every_word_of_make_that_is_written_down_has_a_recipe():
    makefile = (ROOT / "Makefile").read_text()
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/serving/README.md"]
    pages += (ROOT / "docs").glob("*.md")
    named = {word for page in pages for word in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    named |= set(re.search(r"^\.PHONY: (.*)", makefile, re.MULTILINE).group(1).split())
    assert {"demo", "test", "bench-serving"} <= named
    assert named - set(re.findall(r"^([a-z-]+):.*\n\t", makefile, re.MULTILINE)) == set()


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("honeyguide.client", {"numpy", "torch", "onnxruntime", "faiss", "polars", "pyarrow", "honeyguide.sdk"}),
        ("honeyguide.sdk", {"torch", "onnxruntime", "faiss", "polars", "pyarrow", "grpc"}),
        ("honeyguide.models.cf", {"torch", "onnxruntime", "faiss", "polars", "pyarrow", "grpc"}),
        ("honeyguide.rules.category_cap", {"torch", "onnxruntime", "faiss", "polars", "pyarrow", "grpc"}),
        ("honeyguide.rules.diversity", {"torch", "onnxruntime", "faiss", "polars", "pyarrow", "grpc"}),
        ("honeyguide.rules.seen", {"torch", "onnxruntime", "faiss", "polars", "pyarrow", "grpc"}),
        ("honeyguide.conformance.kit", {"torch", "onnxruntime", "faiss", "polars", "pyarrow", "grpc"}),
        ("honeyguide.conformance.pytest_plugin", {"numpy", "torch", "honeyguide.sdk"}),
        ("honeyguide.exporters", {"torch", "onnxruntime", "faiss", "polars", "pyarrow", "grpc"}),
        ("honeyguide.training", {"torch", "onnxruntime", "faiss", "polars", "pyarrow", "grpc"}),
        ("honeyguide.server", {"numpy", "pydantic", "torch", "onnxruntime", "faiss", "polars", "grpc"}),
        ("honeyguide.server.app", {"torch", "lightning", "onnx", "onnxscript"}),
        ("honeyguide.cli.app", {"torch", "onnxruntime", "faiss", "polars", "pyarrow", "numpy", "grpc"}),
    ],
)
def test_import_stays_light(module, heavy):
    assert util.find_spec(module)
    program = f"import sys, importlib; importlib.import_module({module!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert heavy & set(loaded) == set()
