"""The documentation site: ``nox -s site``, or ``sphinx-build -W -n docs site``."""

import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "extensions"), str(Path(__file__).parents[1])]

from b24oauth import __version__

project = "b24oauth"
author = "The b24oauth authors"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx's name
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "docstrings",
    "llms",
    "navigation",
]
exclude_patterns = ["_*", "extensions", "examples", "pictures", "static"]
nitpicky = True
# What other projects document. With ONLINE their inventories are read, and links lead to their pages.
nitpick_ignore_regex = [
    (r"py:exc", r"HTTPUnauthorized|(Dropped|Refused)ConnectionError"),
    (r"py:.*", r"(abc|argparse|random|_asyncio|concurrent|functools|json|re|socket|threading|weakref|yarl)\..*"),
    (r"py:.*", r"(aiohttp|anyio|asyncio|collections|contextlib|datetime|enum|fastapi|http|httpx|httpx2|logging)\..*"),
    (
        r"py:.*",
        r"(opentelemetry|os|pathlib|prometheus_client|random|redis|sqlalchemy|ssl|starlette|types|typing|uvicorn)\..*",
    ),
]
if os.environ.get("ONLINE"):
    extensions += ["sphinx.ext.intersphinx"]
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "aiohttp": ("https://docs.aiohttp.org/en/stable", None),
        "sqlalchemy": ("https://docs.sqlalchemy.org/en/20", None),
    }

myst_enable_extensions = ["attrs_block", "colon_fence"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "returns_style")]

html_theme = "furo"
html_title = f"b24oauth {version}"
html_baseurl = "https://b24oauth.github.io/b24oauth/"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": "https://github.com/b24oauth/b24oauth/",
    "source_branch": "main",
    "source_directory": "docs/",
}
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
# Checked by `sphinx-build -b linkcheck`, which needs a network and is not a part of the default sessions.
linkcheck_ignore = [r"http://127\.0\.0\.1.*", r"https://your-domain\..*"]
