"""What a browser sees of the fake portal: the login page of an authorization, and pages with an application's frame."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from html import escape
from typing import Final

from b24oauth.testing.messages import Answer, Request
from b24oauth.testing.table import Table

__all__ = ["SCRIPT", "PageHandler", "frame_answer", "html", "login_answer", "users_of"]

PageHandler = Callable[[Request], Answer | Awaitable[Answer]]

# Stands in for https://api.bitrix24.com/api/v1/: as much of `BX24` as an installation needs.
SCRIPT: Final = """\
window.BX24 = {
  init(ready) {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", ready);
    else ready();
  },
  installFinish() { parent.postMessage("installFinish:" + window.name.split("|")[2], "*"); },
  getDomain() { return window.name.split("|")[0]; }
};
"""
_FRAME: Final = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Fake portal</title></head>
<body>
<h1>Fake portal</h1>
<form id="form" method="post" action="{url}" target="{name}">
{fields}
</form>
<iframe name="{name}" title="Application" width="100%" height="600"></iframe>
<script>
const frame = document.querySelector("iframe");
addEventListener("message", async (event) => {{
  if (event.source !== frame.contentWindow || event.data !== "installFinish:{frame_id}") return;
  await fetch("/_fake/finish", {{method: "POST"}});
  location.reload();
}});
document.getElementById("form").submit();
</script>
</body>
</html>
"""
_LOGIN: Final = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Log in to the fake portal</title></head>
<body>
<h1>Log in to the fake portal</h1>
<form method="post">
<p>The application <b>{client_id}</b> wants to use Bitrix24 in your name.</p>
<label>User <select name="user_id">
{users}
</select></label>
<button>Log in</button>
</form>
</body>
</html>
"""


def html(text: str, *, status: int = 200) -> Answer:
    """A page.

    Args:
        text: Its text.
        status: HTTP status.
    """
    return Answer(status=status, body=text.encode(), headers=(("content-type", "text/html; charset=utf-8"),))


def frame_answer(url: str, form: Mapping[str, str], *, host: str, is_https: bool, frame_id: str) -> Answer:
    """A page of the portal that shows the application in a frame: a hidden form submits to it.

    Args:
        url: Address of the application's page, with what the portal appends to its query.
        form: The fields.
        host: Host of the portal.
        is_https: Whether the portal is reached over https.
        frame_id: ID of the frame.
    """
    fields = "\n".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in form.items()
    )
    name = f"{host}|{int(is_https)}|{frame_id}"
    return html(_FRAME.format(url=escape(url), name=escape(name), fields=fields, frame_id=frame_id))


def login_answer(client_id: str, users: Iterable[tuple[int, str]]) -> Answer:
    """The page that asks who logs in.

    Args:
        client_id: The application.
        users: ID and name of each user.
    """
    options = "\n".join(f'<option value="{user_id}">{escape(name)}</option>' for user_id, name in users)
    return html(_LOGIN.format(client_id=escape(client_id), users=options))


def users_of(table: Table) -> list[tuple[int, str]]:
    """ID and name of the first users of a portal."""
    rows = [table.get(user_id) or {} for user_id in table.ids[:20]]
    return [(int(row["ID"]), f"{row['NAME']} {row['LAST_NAME']}") for row in rows]
