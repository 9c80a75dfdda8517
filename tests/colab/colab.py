"""The course where most people meet it: Colab's versions, kernel and notebook. `make colab` runs this.

It builds `.venv-colab` on Python 3.13 from requirements.txt, installs the wheel into it as Colab's
pip would, checks that nothing that was there has changed, and runs every lesson there without a
network. The tests of this folder use the same environment.
"""
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-colab"
PYTHON = ENVIRONMENT / "bin" / "python"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
BEFORE = ENVIRONMENT / "before.txt"  # what stood there before the course came
VERSION = "3.13"
LIST = ("from importlib.metadata import distributions\n"
        "for one in distributions():\n"
        "    files = [one.locate_file(file) for file in one.files or []]\n"
        "    size = sum(file.stat().st_size for file in files if file.is_file())\n"
        "    print(one.metadata['Name'].lower(), one.version, size)\n")


def find_python() -> Path | None:
    """A Python of Colab's version: this one, one on the path, or one of pyenv's."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    candidates = [sys.executable, shutil.which(f"python{VERSION}"),
                  *sorted(versions.glob(f"{VERSION}.*/bin/python"))]
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in filter(None, candidates):
        said = subprocess.run([candidate, "-c", ask], capture_output=True, text=True)
        if said.stdout.strip() == VERSION:  # pyenv's shims exist also where they lead nowhere
            return Path(candidate)
    return None


def installed() -> dict[str, tuple[str, int]]:
    """Version and bytes on the disk of each package in the environment, by its name."""
    shown = subprocess.run([PYTHON, "-c", LIST], check=True, capture_output=True, text=True).stdout
    found = [line.split() for line in shown.splitlines()]
    return {name: (version, int(size)) for name, version, size in found}


def is_built() -> bool:
    """Whether the environment stands, as requirements.txt has it now."""
    return BEFORE.exists() and BEFORE.stat().st_mtime > REQUIREMENTS.stat().st_mtime


def build(python: Path) -> None:
    """Build Colab's environment, the first time some gigabytes."""
    uv = Path(sys.executable).with_name("uv")
    print(f"== Installing Colab's versions into {ENVIRONMENT.name} (once; some gigabytes)", flush=True)
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", python, ENVIRONMENT], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", PYTHON]
    subprocess.run([*install, "--requirements", REQUIREMENTS], check=True)
    subprocess.run([uv, "pip", "uninstall", "--quiet", "--python", PYTHON, "jedi", "parso"],
                   check=True)  # IPython asks for it, and Colab goes without
    BEFORE.write_text("".join(f"{name}=={version}\n"
                              for name, (version, _) in sorted(installed().items())))


def make_wheel(folder: Path) -> Path:
    """The wheel of the working tree."""
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(
        ".venv*", ".git", "build", "runs", "*.egg-info"))
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
                    "--no-build-isolation", "--wheel-dir", folder, source], check=True)
    return next(folder.glob("*.whl"))


def install_wheel() -> None:
    """Install the course as Colab's pip does; exit where that changes what was there."""
    before = dict(line.split("==") for line in BEFORE.read_text().split())
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check"]
    if added := sorted(set(installed()) - set(before)):
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", *added], check=True)
    with tempfile.TemporaryDirectory() as folder:
        wheel = make_wheel(Path(folder))
        began = time.monotonic()
        subprocess.run([*pip, "install", "--quiet", wheel], check=True)
        seconds = time.monotonic() - began
    after = installed()
    changed = [f"{name} {version} became {after.get(name, ('nothing',))[0]}"
               for name, version in before.items() if after.get(name, ("",))[0] != version]
    if changed:
        raise SystemExit("Installing the course changed what Colab has: " + ", ".join(changed))
    new = sorted((after[name][1] / 1e6, name) for name in set(after) - set(before))[::-1]
    print(f"== Installed in {seconds:.0f} s: none of {len(before)} packages changed; "
          f"{sum(size for size, _ in new):.0f} MB on the disk are new:")
    print("\n".join(f"   {name} {after[name][0]}: {size:.1f} MB" for size, name in new), flush=True)


def install_what_lessons_install() -> None:
    """What lessons 16 and 17 install by themselves in Colab, where there is a network."""
    packages = ("onnx", "onnxscript", "onnxruntime", "elpv-dataset")
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *packages], check=True)


@functools.cache
def without_network() -> list[str]:
    """What to put before a command so that it reaches no network; nothing where that is not allowed."""
    loopback = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    for rights in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        command = [*rights, *loopback]
        if shutil.which("unshare") and not subprocess.run([*command, "true"],
                                                          capture_output=True).returncode:
            return command
    return []


def lesson_environment(folder: str) -> dict[str, str]:
    """The variables of a newcomer's machine: nothing cached, no settings, no checkout on the path."""
    own = {name: f"{folder}/{name.lower()}" for name in (
        "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "XDG_CACHE_HOME")}
    own |= {"HOME": folder, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # the latter warns of nothing here
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | own


def run_lessons(lessons: list[Path]) -> list[str]:
    """Run lessons on Colab's kernel, one after another; the names of those that fail."""
    guard = "the kernel's own network" if without_network() else "a guard on sockets"
    print(f"== Every lesson on Colab's kernel, without a network ({guard})", flush=True)
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        environment = lesson_environment(folder)
        for lesson in lessons:
            began = time.monotonic()
            done = subprocess.run([*without_network(), PYTHON, Path(__file__).with_name("lesson.py"),
                                   lesson, folder], env=environment, cwd=folder)
            print(f"   {lesson.stem}: {time.monotonic() - began:.0f} s"
                  + (", failed" if done.returncode else ""), flush=True)
            failed += [lesson.stem] * bool(done.returncode)
    return failed


def main(names: list[str]) -> None:
    python = find_python()
    if python is None:
        print(f"Skipped: there is no Python {VERSION}, which Colab has, on this machine.")
        return
    if not is_built():
        build(python)
    install_wheel()
    install_what_lessons_install()
    failed = run_lessons([Path(name).resolve() for name in names])
    print("== Explorers in classic Notebook, and Colab's kernel", flush=True)
    tests = subprocess.run([sys.executable, "-m", "pytest", Path(__file__).parent], cwd=ROOT)
    if failed:
        print("These lessons fail on Colab: " + ", ".join(failed))
    raise SystemExit(bool(failed) or tests.returncode)


if __name__ == "__main__":
    main(sys.argv[1:])
