"""Names in backticks become links to the reference, in docstrings and in pages; other code in backticks stays code."""

import importlib
import re
from pathlib import Path
from types import FunctionType
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

CODE = re.compile(r"(?<![`:\w])`([^`\n]+)`(?!`)")
NAME = re.compile(r"[A-Za-z_][\w.]*(\(\))?")
MODULE = re.compile(r"automodule:: (\S+)")
SEPARATOR = re.compile(r"\|[-:| ]+\|")
WORD = re.compile(r"(?!b24oauth)[a-z0-9]+")
PACKAGE = "b24oauth"


def public_modules(docs: Path) -> list[str]:
    """The modules that have a page, in the order of the pages."""
    return [name for page in sorted((docs / "api").glob("*.md")) for name in MODULE.findall(page.read_text("utf-8"))]


def public_names(modules: list[str]) -> dict[str, str]:
    """Where the reference has each public object, by its short name and by the names that it can be imported from."""
    names: dict[str, str] = {}
    # `b24oauth` exports names of other modules again, which are on the pages of those.
    for module in sorted(modules, key=lambda module: module == PACKAGE):
        names[module] = module
        for name in (found := importlib.import_module(module)).__all__:
            value = getattr(found, name)
            if isinstance(value, (type, FunctionType)) and value.__name__ == name:  # an alias has no entry
                home = names.setdefault(name, f"{module}.{name}")
                names[f"{module}.{name}"] = home
    # A word in backticks, such as `status`, is an attribute more often than a function of this name.
    return {name: home for name, home in names.items() if not WORD.fullmatch(name)}


def linked(line: str, names: dict[str, str]) -> str:
    """A line of a docstring with roles of Sphinx in the place of single backticks."""

    def role(match: re.Match[str]) -> str:
        code = match[1]
        target = names.get(code.removesuffix("()")) if NAME.fullmatch(code) else None
        return f":py:obj:`~{target}`" if target else f"``{code}``"

    return CODE.sub(role, line)


def with_tables(lines: list[str]) -> list[str]:
    """The lines with Markdown tables as those of reStructuredText."""
    made: list[str] = []
    for number, line in enumerate(lines):
        if not line.startswith("|"):
            made.append(line)
        elif not SEPARATOR.fullmatch(line):
            if number + 1 < len(lines) and SEPARATOR.fullmatch(lines[number + 1]):
                made += [".. list-table::", "   :header-rows: 1", ""]
            first, *others = [cell.strip() for cell in line.strip("|").split("|")]
            made += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
    return made


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    modules = public_modules(Path(app.srcdir))
    names = public_names(modules)

    def process(_app: Sphinx, what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
        # The pages introduce modules themselves; the docstring of one is Markdown.
        lines[:] = [] if what == "module" else with_tables([linked(line, names) for line in lines])
        if what in {"attribute", "data", "property"}:
            # An empty comment: napoleon takes the beginning of the first line, up to a colon, for a type.
            lines[:0] = ["..", ""]

    def unlinked(_app: Sphinx, _env: Any, node: pending_xref, text: nodes.TextElement) -> nodes.TextElement | None:
        # Types of annotations that are not public, such as protocols of callbacks, are text.
        target = str(node.get("reftarget", ""))
        is_private = target not in names and (target.startswith(f"{PACKAGE}.") or "." not in target)
        return text if node.get("refdomain") == "py" and node.get("reftype") != "exc" and is_private else None

    def link_names(_app: Sphinx, doctree: nodes.document) -> None:
        for literal in list(doctree.findall(nodes.literal)):
            target = names.get(literal.astext().removesuffix("()"))
            if (
                target is None
                or target in modules
                or isinstance(literal.parent, (nodes.title, nodes.reference, pending_xref))
            ):
                continue
            link = pending_xref("", refdomain="py", reftype="obj", reftarget=target, refexplicit=True)
            literal.replace_self(link)
            link += literal

    app.connect("doctree-read", link_names)
    app.connect("missing-reference", unlinked)
    # Before napoleon, which has the priority 500.
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
