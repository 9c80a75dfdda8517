"""How Sphinx builds the site from the pages that build_site.py has written."""
import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
config = ConfigParser(delimiters=["="])
config.read(ROOT / "settings.ini", encoding="utf-8")
settings = config["DEFAULT"]

project = settings["title"]
author = settings["author"]
copyright = f"{author}. Code: Apache-2.0. Icons: OpenMoji, CC BY-SA 4.0"
release = re.search(r'__version__ = "(.+)"', (ROOT / "transfer_lessons/__init__.py").read_text())[1]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# Notebooks: outputs as they are stored.
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the set-up cell"  # the only one that is folded
nb_code_prompt_hide = "Hide the set-up cell"
myst_heading_anchors = 3

# Docstrings: one sentence, then Args, Returns, Raises.
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80

html_theme = "sphinx_book_theme"
html_title = settings["title"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_favicon = "static/icon.svg"  # without one, browsers ask for it and note an error
html_copy_source = False
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's computer is
html_theme_options = {
    "repository_url": f"https://github.com/{settings['user']}/{settings['repo']}",
    "repository_branch": settings["branch"],
    "path_to_docs": "nbs",
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "use_repository_button": True,
    "use_download_button": False,
    "navbar_start": [], "navbar_center": [], "navbar_end": [], "navbar_persistent": [],
    "show_navbar_depth": 1,
    "show_toc_level": 1,
}


def escape_patterns(app, what, name, value, options, lines) -> None:
    """Has "*.jpg" in a docstring mean itself and not the beginning of an emphasis."""
    lines[:] = [re.sub(r"(?<!\\)\*(?=\.\w)", r"\\*", line) for line in lines]


def setup(app) -> None:
    app.connect("autodoc-process-docstring", escape_patterns)
