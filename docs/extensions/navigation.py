"""Lines of a navigation that end with `*` and match no page yet are left out, instead of being an error."""

import fnmatch
import re
from typing import Any

from sphinx.application import Sphinx

PATTERN = re.compile(r"^[\w/-]+\*$\n", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""

    def read(app: Sphinx, page: str, source: list[str]) -> None:
        folder = page.rpartition("/")[0]

        def kept(match: re.Match[str]) -> str:
            pattern = f"{folder}/{match[0].strip()}".lstrip("/")
            return match[0] if fnmatch.filter(app.env.found_docs, pattern) else ""

        source[0] = PATTERN.sub(kept, source[0])

    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
