"""HTML for pages that the portal shows in a frame."""

from __future__ import annotations

from html import escape
from typing import Final

__all__ = ["frame_page"]

_SCRIPT: Final = "https://api.bitrix24.com/api/v1/"
_FINISH: Final = "<script>BX24.init(function () { BX24.installFinish(); });</script>\n"
_PAGE: Final = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<script src="{script}"></script>
{finish}</head>
<body>
{body}
</body>
</html>
"""


def frame_page(
    body: str = "", *, finish: bool = False, title: str = "", language: str = "en", script: str = _SCRIPT
) -> str:
    """A page with the script `BX24`, by which it talks to the portal around it.

    Args:
        body: HTML of the body. Escape what comes from the request or from the portal, with `html.escape`.
        finish: Ends the installation by ``BX24.installFinish()``; only for the installation page. Bitrix24 then sends
            events, and opens the main page.
        title: Title of the page, as text.
        language: Language of the page.
        script: Address of the script; portals in Russia use another host.

    Source: https://apidocs.bitrix24.com/settings/app-installation/installation-finish.html
    """
    return _PAGE.format(
        body=body,
        finish=_FINISH if finish else "",
        title=escape(title),
        language=escape(language),
        script=escape(script),
    )
