"""Walks what every module publishes: no two public things share a name."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = [ROOT / p for p in ("protos", "plugins", "training", "exporters", "server", "clients/python", "cli")]

SHARED = {
    "add_to": "what each verb's module offers the command; called as `serve.add_to`",
    "register_models": "the hook, and each plugin's own",
    "register_rules": "the hook, and each plugin's own",
    "Source": "the files of a table: `sources.Source`; what a joint model's candidates come from: `candidates.Source`",
    "Model": "the API's word for a bundle that a server holds, and an author's for the class",
    "model": "a request's description of a model: the rpc `calls.model`, the answer `messages.model`",
    "record": "the rpc `calls.record`; `history.record` notes a run",
    "run": "the command's and the training loop's `loop.run`",
}
"""Names that more than one module defines, and how nobody confuses them: none but `Model` is imported by itself."""


def defined(tree: ast.Module) -> set[str]:
    names = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    targets = [t for n in tree.body if isinstance(n, ast.Assign) for t in n.targets]
    targets += [n.target for n in tree.body if isinstance(n, ast.AnnAssign)]
    return names | {t.id for t in targets if isinstance(t, ast.Name)}


def published(tree: ast.Module) -> set[str]:
    """Names in the module's ``__all__``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return set(ast.literal_eval(node.value))
    return set()


def test_no_two_public_things_share_a_name():
    homes: dict[str, list[str]] = defaultdict(list)
    for root in SOURCE_ROOTS:
        for path in (root / "honeyguide").rglob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            for name in published(tree) & defined(tree):  # what is imported from elsewhere has its home there
                homes[name].append(str(path.relative_to(ROOT)))
    assert {name: sorted(where) for name, where in homes.items() if len(where) > 1 and name not in SHARED} == {}
    assert [name for name in SHARED if len(homes[name]) < 2] == [], "no longer shared: take it off the list"
