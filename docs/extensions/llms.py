"""Writes `llms.txt`, a list of all pages with a sentence each, and `llms-full.txt`, their text (https://llmstxt.org)."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment.adapters.toctree import global_toctree_for_doc

INCLUDE = re.compile(r"```\{include\} (\S+)\n.*?```\n?", re.DOTALL)
HIDDEN = re.compile(r"```\{toctree\}.*?```\n?", re.DOTALL)


def sentence(doctree: nodes.document) -> str:
    """The first sentence of a page."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        return re.split(r"(?<=[.:?])\s", text, maxsplit=1)[0].rstrip(":")
    return ""


def source(app: Sphinx, page: str) -> str:
    """The Markdown of a page, with what it includes."""
    path = Path(app.env.doc2path(page))

    def included(match: re.Match[str]) -> str:
        return (path.parent / match[1]).read_text("utf-8")

    return INCLUDE.sub(included, HIDDEN.sub("", path.read_text("utf-8"))).strip() + "\n"


def order(app: Sphinx) -> list[str]:
    """All pages as the navigation has them; those that it does not have are last."""
    root = app.config.root_doc
    tree = global_toctree_for_doc(app.env, root, app.builder, collapse=False, maxdepth=-1, includehidden=True)
    links = [] if tree is None else [str(link["refuri"]).split("#")[0] for link in tree.findall(nodes.reference)]
    listed = [link.removesuffix(".html") for link in links if link.endswith(".html")]
    return list(dict.fromkeys([root, *listed, *sorted(app.env.found_docs)]))


def write(app: Sphinx, exception: Exception | None) -> None:
    """Called by Sphinx at the end of a build."""
    if exception is not None or app.builder.format != "html":
        return
    base = app.config.html_baseurl
    pages = order(app)
    out = Path(app.outdir)
    head = f"# {app.config.project}\n\n> {sentence(app.env.get_doctree(app.config.root_doc))}\n\n"
    lines, texts = [], []
    for page in pages:
        title = app.env.titles[page].astext()
        about = sentence(app.env.get_doctree(page))
        lines.append(f"- [{title}]({base}{page}.md)" + (f": {about}" if about and not page.startswith("api/") else ""))
        text = source(app, page)
        (out / f"{page}.md").parent.mkdir(parents=True, exist_ok=True)
        (out / f"{page}.md").write_text(text, "utf-8")
        texts.append(f"<!-- {base}{page}.html -->\n\n{text}")
    names = Path(app.srcdir).parent / "tests" / "public_api.txt"
    if names.exists():
        texts.append(f"# Public names and signatures\n\n```\n{names.read_text('utf-8')}```\n")
    (out / "llms.txt").write_text(f"{head}## Pages\n\n" + "\n".join(lines) + "\n", "utf-8")
    (out / "llms-full.txt").write_text(head + "\n".join(texts), "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
