"""Differences between REST v2 and v3 as a table, and the list of read-only methods."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote

import attrs

from b24oauth.models import ApiVersion
from b24oauth.protocol.batch_ref_v2 import BatchRefV2
from b24oauth.protocol.batch_ref_v3 import BatchRefV3

__all__ = ["DIALECTS", "Dialect", "is_plain_read", "path_of", "sends_telemetry"]


@attrs.frozen(kw_only=True)
class Dialect:
    """One version of the REST API.

    Attributes:
        version: Its name.
        path: What stands between the REST root and the method.
        batch_auth: Where the token of a `batch` travels.
        idempotency_key: True when the portal honours the header `Idempotency-Key`.
        batch_as_list: True when a batch is a list of commands, and its response a list in the same order; else both
            are maps by name.
        text_references: True if batch references are plain text, so the portal evaluates any text that looks like one;
            False if they are mappings with a special key.
        reference: The type of references inside a batch.
    """

    version: ApiVersion
    path: str
    batch_auth: Literal["body", "bearer"]
    idempotency_key: bool
    batch_as_list: bool
    text_references: bool
    reference: type[BatchRefV2 | BatchRefV3]


# Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
DIALECTS: Final[Mapping[ApiVersion, Dialect]] = {
    ApiVersion.V2: Dialect(
        version=ApiVersion.V2,
        path="",
        batch_auth="body",
        idempotency_key=False,
        batch_as_list=False,
        text_references=True,
        reference=BatchRefV2,
    ),
    ApiVersion.V3: Dialect(
        version=ApiVersion.V3,
        path="api/",
        batch_auth="bearer",
        idempotency_key=True,
        batch_as_list=True,
        text_references=False,
        reference=BatchRefV3,
    ),
}

# Last name parts of read-only methods. Of 1,657 documented methods, 727 only read; this rule finds 625 of them and
# wrongly matches five others, which are listed in `_NOT_READS`.
# Source: https://apidocs.bitrix24.com/api-reference/index.html
_READ_WORDS: Final = frozenset(
    {
        "aggregate",
        "count",
        "current",
        "download",
        "fields",
        "get",
        "getfields",
        "getfieldsbyfilter",
        "getlist",
        "getmanifest",
        "gettypes",
        "info",
        "isactionallowed",
        "list",
        "search",
        "status",
        "tail",
        "types",
    }
)
# The other documented reads.
_READS: Final = frozenset(
    """
    access.name bizproc.workflow.instances calendar.event.get.nearest calendar.event.getbyid catalog.catalog.isoffers
    catalog.enum.getroundtypes catalog.enum.getstoredocumenttypes catalog.pricetypelang.getlanguages
    catalog.productpropertyfeature.getavailablefeaturesbyproperty crm.activity.call.gettranscript
    crm.calllist.statuslist crm.duplicate.findbycomm crm.enum.activitydirection crm.enum.activitynotifytype
    crm.enum.activitypriority crm.enum.activitystatus crm.enum.activitytype crm.enum.addresstype crm.enum.contenttype
    crm.enum.getorderownertypes crm.enum.ownertype crm.enum.settings.mode crm.item.productrow.getavailableforpayment
    crm.requisite.preset.countries crm.requisite.preset.field.availabletoadd crm.status.entity.items
    crm.type.getbyentitytypeid disk.file.getversions disk.folder.getchildren disk.rights.gettasks
    disk.storage.getchildren events humanresources.employee.multidepartment humanresources.employee.subordinates
    humanresources.node.children imbot.v2.chat.message.getcontext imopenlines.crm.chat.getlastid landing.block.getbyid
    landing.block.getcontent landing.block.getcontentfromrepository landing.block.getmanifestfile
    landing.block.getrepository landing.demos.getpagelist landing.demos.getsitelist
    landing.landing.getadditionalfields landing.landing.getpreview landing.landing.getpublicurl
    landing.landing.resolveidbypublicurl landing.repo.checkcontent landing.role.getrights landing.role.isenabled
    landing.site.fullexport landing.site.getadditionalfields landing.site.getfolders landing.site.getgroupbindings
    landing.site.getmenubindings landing.site.getpreview landing.site.getpublicurl landing.site.getrights
    landing.syspage.getspecialpage landing.template.getlandingref landing.template.getsiteref
    lists.element.get.file.url lists.get.iblock.type.id log.blogpost.getusers.important mail.mailbox.senders
    mail.message.thread mail.recipient.listcontacts mail.recipient.listemployees methods profile
    rest.documentation.openapi rpa.fields.getsettings rpa.item.gettasks rpa.stage.listfortype rpa.timeline.listforitem
    sale.basketitem.getfieldscatalogproduct sale.property.getfieldsbytype sale.shipmentproperty.getfieldsbytype
    sale.statuslang.getlistlangs scope server.time sonet_group.feature.access sonet_group.user.groups
    task.item.getallowedactions task.item.getallowedtaskactionsasstrings task.item.getdata task.item.getdependson
    task.item.getdescription task.item.getfiles task.stages.canmovetask tasks.api.scrum.kanban.getstages
    tasks.flow.flow.isexists tasks.task.getaccess telephony.externalcall.searchcrmentities timeman.networkrange.check
    timeman.settings user.access user.admin userconsent.agreement.text vote.attachedvote.getanswervoted
    vote.attachedvote.getmany vote.attachedvote.getwithvoted
    """.split()  # noqa: SIM905 - a literal would take a line for each
)
# Reading removes, confirms or marks the data. For `im.disk.folder.get` the documentation does not say whether it
# creates the folder.
_NOT_READS: Final = frozenset(
    {"event.offline.get", "im.disk.folder.get", "im.notify.read.list", "im.v2.event.get", "imbot.v2.event.get"}
)


@lru_cache(maxsize=1024)
def is_plain_read(method: str) -> bool:
    """True when a method only reads, so that calling it twice does no harm.

    Documented methods are looked up in a table for both API versions. Other methods are classified by the last part of
    their name; unknown ones are treated as writes.

    Args:
        method: REST method, in any case.
    """
    name = method.lower()
    if name in _NOT_READS:
        return False
    return name.rpartition(".")[2] in _READ_WORDS or name in _READS


@lru_cache(maxsize=1024)
def path_of(method: str) -> str:
    """What a method adds to the address of a portal's REST API.

    Args:
        method: REST method; what is not a name is percent-encoded.
    """
    return quote(method, safe="")


@lru_cache(maxsize=1024)
def sends_telemetry(method: str) -> bool:
    """False for the `task.*` methods: they parse the query string by position, so further parameters break them.

    Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/data-encoding.html
    """
    return not method.startswith("task.")
