"""Hands settings.ini to setuptools and puts the lessons into the wheel."""
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

here = Path(__file__).parent
config = ConfigParser(delimiters=["="])
config.read(here / "settings.ini", encoding="utf-8")
settings = config["DEFAULT"]
version = re.search(r'__version__ = "(.+)"', (here / "transfer_lessons/__init__.py").read_text())[1]
repository = f"https://github.com/{settings['user']}/{settings['repo']}"
extras = {name.removesuffix("_requirements"): value.split()
          for name, value in settings.items() if name.endswith("_requirements")}

setup(
    name=settings["name"],
    version=version,
    description=settings["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=settings["author"],
    license=settings["license"],
    keywords=settings["keywords"].split(),
    classifiers=["Programming Language :: Python :: 3", "Framework :: Jupyter",
                 "Intended Audience :: Education"],
    project_urls={"Repository": repository},
    python_requires=f">={settings['min_python']}",
    install_requires=settings["requirements"].split(),
    extras_require=extras,
    packages=["transfer_lessons", "transfer_lessons.commands", "transfer_lessons.exercises",
              "transfer_lessons.lessons"],
    package_dir={"transfer_lessons.lessons": "nbs"},
    package_data={"transfer_lessons": ["*.json", "scrubber.js", "py.typed", "*.pyi"],
                  "transfer_lessons.lessons": ["*.ipynb"]},
    entry_points={"console_scripts": settings["console_scripts"].split(),
                  "nbdev": ["transfer_lessons=transfer_lessons._modidx:d"]},
)
