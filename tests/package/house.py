"""What the project's own tools and tests know about it: its folders, its floors, its notebooks."""
import ast
import configparser
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "transfer_lessons"
NOTEBOOKS = [*sorted((ROOT / "nbs").glob("[0-9u][0-9]*.ipynb")), ROOT / "nbs/from_fastai.ipynb"]

# From the ground up: a module imports only from floors below its own.
FLOORS = ["preprocess", "arguments", "core", "comparison", "figures", "pixels", "formats",
          "image_files", "folders", "labels", "copies", "checkpoints", "marks", "workers",
          "decoded", "data", "loaders", "datasets", "losses", "weights", "backbones", "optim",
          "freezing", "block_features", "schedules", "recorder", "training_checks",
          "network_checks", "precision", "step_guard", "training", "saving", "predictions",
          "learner", "trust", "curves", "lr_finder", "per_image", "interpretation",
          "activation_store", "frozen_body", "precompute", "probes", "fine_tuning", "grad_cam",
          "predictor", "export_info", "model_card", "onnx_file", "export", "sharding",
          "global_batchnorm", "distributed", "sweep_result", "sweep", "batch_size", "best_epoch",
          "tta", "better", "scrubber", "explorers", "threshold_explorer", "plot_explorers",
          "lr_study", "image_explorers", "cleaner", "widget_messages", "live", "app", "serve"]
BY_HAND = {"__init__", "all", "cli"}  # every other module is exported from a notebook
COMMANDS = ["cli", *(f"commands/{file.stem}" for file in sorted((LIBRARY / "commands").glob("[a-z]*.py")))]


def copy_project(to: Path) -> None:
    """Copy the working tree, but nothing that was built there: another test may be writing that."""
    shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns(
        ".*", "__pycache__", "build", "dist", "runs", "models", "*.egg-info"))


def settings() -> configparser.SectionProxy:
    """settings.ini, the one place for metadata and requirements."""
    config = configparser.ConfigParser(delimiters=["="])
    config.read(ROOT / "settings.ini", encoding="utf-8")
    return config["DEFAULT"]


def version() -> str:
    """The library's version."""
    return re.search(r'__version__ = "(.+)"', (LIBRARY / "__init__.py").read_text())[1]


def exported_modules() -> list[str]:
    """Names of the modules that nbdev wrote."""
    found = {file.stem for file in LIBRARY.glob("*.py")}
    return sorted(found - BY_HAND - {"_modidx"})


def tree(module: str) -> ast.Module:
    """A library module, parsed."""
    return ast.parse((LIBRARY / f"{module}.py").read_text(encoding="utf-8"))


def imported_modules(module: str) -> set[str]:
    """Modules of this library that a module imports, wherever the import stands."""
    found = set()
    for node in ast.walk(tree(module)):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level and node.module:  # from .core import Table
            found.add(node.module)
        elif node.level:  # from . import core
            found |= {alias.name for alias in node.names}
        elif (node.module or "").startswith("transfer_lessons."):
            found.add(node.module.split(".")[1])
    return found


def functions(module: str) -> list[ast.FunctionDef]:
    """Every function and method of a module."""
    return [node for node in ast.walk(tree(module)) if isinstance(node, ast.FunctionDef)]


def patched_class(node: ast.AST) -> str | None:
    """The class that a function with fastcore's @patch becomes a method of."""
    if not isinstance(node, ast.FunctionDef):
        return None
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Name) and called.id == "patch":
            return ast.unparse(node.args.args[0].annotation).strip("'\"")
    return None
