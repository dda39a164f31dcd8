"""The files that the fake portal stores: how each method stores them, and what responses say about them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlencode

import attrs

from b24oauth.shapes import as_mapping, is_list, is_mapping
from b24oauth.testing.messages import Call, Handler, Reply, RestError

__all__ = ["FILE_FIELDS", "SHOW_FILE", "FileStore", "Form", "Link", "StoredFile", "disk_methods"]

Form = Literal["pair", "file data"]

SHOW_FILE = "bitrix/components/bitrix/crm.deal.show/show_file.php"
# The file fields of each table, and whether they hold several files.
FILE_FIELDS: Mapping[str, Mapping[str, bool]] = {
    "crm.deal": {"UF_CRM_FILE": False, "UF_CRM_FILES": True},
    "crm.contact": {"PHOTO": False, "UF_CRM_FILE": False, "UF_CRM_FILES": True},
    "crm.item": {"ufCrmFile": False, "ufCrmFiles": True},
}


@attrs.frozen(kw_only=True)
class StoredFile:
    """One version of a file.

    Attributes:
        file_id: Its identifier.
        name: Its name.
        content: What is in it.
        modified: When it was stored, Unix seconds.
    """

    file_id: int
    name: str
    content: bytes = attrs.field(repr=False)
    modified: float

    @property
    def etag(self) -> str:
        """Changes with the content."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'

    @property
    def content_type(self) -> str:
        """As its name says."""
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"


@attrs.define(eq=False, kw_only=True)
class Link:
    """A signed address of a file.

    Attributes:
        file_id: The file.
        auth: The token that stands in the address and is signed with it; empty when it came in a header.
        used: How often it was asked for.
        is_for_one_use: Whether this address is valid once, regardless of the others.
    """

    file_id: int
    auth: str
    used: int = 0
    is_for_one_use: bool = False


@attrs.define(eq=False, kw_only=True)
class FileStore:
    """The portal's files by identifier.

    Attributes:
        now: The Unix time, seconds.
        origin: Where the portal is reached at present.
        links: The signed addresses that were given out, by their `token`.
    """

    now: Callable[[], float]
    origin: Callable[[], str]
    links: dict[str, Link] = attrs.field(init=False, factory=dict[str, Link])
    _files: dict[int, StoredFile] = attrs.field(init=False, factory=dict[int, StoredFile])

    def add(self, name: str, content: bytes) -> int:
        """Stores a file; its identifier."""
        return self.put(max(self._files, default=0) + 1, name, content)

    def put(self, file_id: int, name: str, content: bytes) -> int:
        """Stores a version of a file under an identifier."""
        self._files[file_id] = StoredFile(file_id=file_id, name=name, content=content, modified=self.now())
        return file_id

    def get(self, file_id: object) -> StoredFile | None:
        """The file with this identifier, or None."""
        return self._files.get(int(file_id)) if isinstance(file_id, (int, str)) and str(file_id).isdigit() else None

    def link(self, file_id: int, method: str, call: Call) -> str:
        """A signed address at which a file can be had, for the token or the webhook of a call."""
        token = f"disk|{base64.b64encode(f'id={file_id}&_={len(self.links)}'.encode()).decode()}"
        self.links[token] = Link(file_id=file_id, auth=call.auth)
        if call.hook is not None:
            user, code = call.hook
            return f"{self.origin()}/rest/{user}/{code}/{method}/?{urlencode({'token': token})}"
        query = {"auth": call.auth, "token": token} if call.auth else {"token": token}
        return f"{self.origin()}/rest/{method}.json?{urlencode(query)}"

    def written(self, value: Any, form: Form, *, multiple: bool, before: Any) -> Any:
        """What a file field holds once a value was written to it; a value of another form stores nothing."""
        entries = value if multiple and is_list(value) else [value]
        kept = before if is_list(before) else [before]
        held: list[int] = []
        for entry in entries:
            found = as_mapping(entry).get("id")
            known = self.get(found)
            if known is not None and known.file_id in kept:
                held.append(known.file_id)
            elif (content := _content(entry, form)) is not None:
                held.append(self.add(*content))
        if multiple:
            return held
        removed = str(as_mapping(value).get("remove", "")).upper() == "Y"
        return held[0] if held else None if removed else before

    def shown(self, held: Any, form: Form, call: Call) -> Any:
        """What a file field shows: identifiers and addresses, of which one holds the token."""
        if is_list(held):
            return [self.shown(file_id, form, call) for file_id in held]
        if held is None or held is False:
            return held
        if form == "file data":
            page = f"/{SHOW_FILE}?ownerId=1&fileId={held}"
            return {"id": held, "showUrl": page, "downloadUrl": f"{page}&auth={call.auth}"}
        url = f"{self.origin()}/bitrix/services/main/ajax.php?action=crm.controller.item.getFile&fileId={held}"
        return {"id": held, "url": url, "urlMachine": self.link(held, "crm.controller.item.getFile", call)}


def _content(entry: Any, form: Form) -> tuple[str, bytes] | None:
    """Name and content of a file in the form that a method wants."""
    data = entry
    if form == "file data":
        data = as_mapping(entry).get("fileData")
        if isinstance(data, str):
            data = ["", data]
    # The items of a list in a batch command may come as a map.
    values: list[Any] = list(data.values()) if is_mapping(data) else data if is_list(data) else []
    if len(values) != 2 or not all(isinstance(value, str) for value in values):
        return None
    try:
        return values[0] or "unnamed", base64.b64decode(values[1], validate=True)
    except (binascii.Error, ValueError):
        return None


def disk_methods(files: FileStore) -> dict[str, Handler]:
    """Methods of the drive, of timeline comments and of products, as far as files go."""
    comments: dict[int, list[int]] = {}
    products: dict[int, dict[str, Any]] = {}

    def described(file: StoredFile, call: Call) -> Reply:
        result = {
            "ID": str(file.file_id),
            "NAME": file.name,
            "TYPE": "file",
            "SIZE": str(len(file.content)),
            "UPDATE_TIME": datetime.fromtimestamp(file.modified, UTC).isoformat(timespec="seconds"),
            "DOWNLOAD_URL": files.link(file.file_id, "download", call),
        }
        return Reply(result=result)

    def existing(call: Call) -> StoredFile:
        file = files.get(call.params.get("id"))
        if file is None:
            raise RestError("ERROR_NOT_FOUND", "Could not find entity with id `0`.")
        return file

    def upload(call: Call) -> Reply:
        content = _content(call.params.get("fileContent"), "pair")
        if content is None:
            raise RestError("ERROR_ARGUMENT", "Invalid value of parameter {Parameter #0}")
        name = str(as_mapping(call.params.get("data")).get("NAME") or content[0])
        stored = files.get(files.add(name, content[1]))
        assert stored is not None  # noqa: S101 - it was just added
        return described(stored, call)

    def new_version(call: Call) -> Reply:
        file, content = existing(call), _content(call.params.get("fileContent"), "pair")
        if content is None:
            raise RestError("ERROR_ARGUMENT", "Invalid value of parameter {Parameter #0}")
        files.put(file.file_id, file.name, content[1])
        return described(existing(call), call)

    def comment(call: Call) -> Reply:
        fields = as_mapping(call.params.get("fields"))
        number = len(comments) + 1
        comments[number] = files.written(fields.get("FILES", []), "pair", multiple=True, before=[])
        return Reply(result=number)

    def get_comment(call: Call) -> Reply:
        number = int(call.params["id"])
        shown = {str(file_id): {"id": file_id, "name": _name(files, file_id)} for file_id in comments[number]}
        return Reply(result={"ID": str(number), "FILES": shown})

    def add_product(call: Call) -> Reply:
        number = len(products) + 1
        fields = as_mapping(call.params.get("fields"))
        products[number] = {"id": number} | {
            name: _product_field(files, name, value)
            for name, value in fields.items()
            if "Picture" in name or name.lower().startswith("property")
        }
        return Reply(result={"element": products[number]})

    return {
        "disk.file.get": lambda call: described(existing(call), call),
        "disk.file.uploadversion": new_version,
        "disk.folder.uploadfile": upload,
        "disk.storage.uploadfile": upload,
        "crm.timeline.comment.add": comment,
        "crm.timeline.comment.get": get_comment,
        "catalog.product.add": add_product,
    }


def _product_field(files: FileStore, name: str, value: Any) -> Any:
    """Pictures are files themselves; the values of properties stand under `value`."""
    if "Picture" in name:
        held = files.written(value, "file data", multiple=False, before=None)
        return None if held is None else {"id": str(held)}
    entries = value if is_list(value) else [value]
    values = [files.written(as_mapping(one).get("value"), "file data", multiple=False, before=None) for one in entries]
    return [{"value": {"id": str(held)}} for held in values if held is not None]


def _name(files: FileStore, file_id: int) -> str:
    file = files.get(file_id)
    return "" if file is None else file.name
