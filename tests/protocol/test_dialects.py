from __future__ import annotations

from pathlib import Path

import pytest

from b24oauth import ApiVersion
from b24oauth.protocol.dialects import DIALECTS, is_plain_read, path_of, sends_telemetry

ROOT = "https://portal.example/rest/"
_, *LINES = (Path(__file__).parents[1] / "data" / "read_methods.tsv").read_text(encoding="utf-8").splitlines()
NATURES = dict(line.split("\t") for line in LINES)  # "read", "write", or "unsure" where the documentation does not tell


def test_the_versions_differ_by_a_path() -> None:
    assert (DIALECTS[ApiVersion.V2].path, DIALECTS[ApiVersion.V3].path) == ("", "api/")


def test_only_v3_takes_an_idempotency_key_and_a_batch_with_the_token_in_a_header() -> None:
    v2, v3 = DIALECTS[ApiVersion.V2], DIALECTS[ApiVersion.V3]
    assert (v2.idempotency_key, v2.batch_auth) == (False, "body")
    assert (v3.idempotency_key, v3.batch_auth) == (True, "bearer")


def test_every_version_is_in_the_table_under_its_name() -> None:
    assert {version: row.version for version, row in DIALECTS.items()} == {version: version for version in ApiVersion}


@pytest.mark.parametrize(
    ("method", "written"),
    [
        ("../evil", "..%2Fevil"),
        ("a?auth=x", "a%3Fauth%3Dx"),
        ("a#b", "a%23b"),
        ("a b", "a%20b"),
        ("@evil.example", "%40evil.example"),
        ("//evil.example", "%2F%2Fevil.example"),
        ("a\r\nX: y", "a%0D%0AX%3A%20y"),
        ("сделка.get", "%D1%81%D0%B4%D0%B5%D0%BB%D0%BA%D0%B0.get"),
    ],
)
def test_what_is_no_name_cannot_leave_the_path(method: str, written: str) -> None:
    assert path_of(method) == written


@pytest.mark.parametrize(
    "method",
    [
        "crm.deal.get",
        "crm.deal.list",
        "CRM.Deal.List",
        "crm.deal.fields",
        "user.current",
        "app.info",
        "tasks.task.aggregate",
        "main.eventlog.tail",
        "profile",
        "scope",
        "methods",
        "server.time",
        "rest.documentation.openapi",
    ],
)
def test_l5_what_only_reads_may_be_asked_twice(method: str) -> None:
    assert is_plain_read(method)


@pytest.mark.parametrize(
    "method",
    [
        "crm.deal.add",
        "crm.deal.update",
        "crm.deal.delete",
        "batch",
        "event.offline.get",
        "Event.Offline.Get",
        "event.offline.clear",
        "crm.deal.getit",
        "list.add",
        "listing",
        "",
    ],
)
def test_l5_what_may_write_is_no_read(method: str) -> None:
    assert not is_plain_read(method)


@pytest.mark.parametrize(("nature", "count"), [("read", 727), ("write", 925), ("unsure", 5)])
def test_l5_every_documented_method_is_known(nature: str, count: int) -> None:
    methods = [name for name, known in NATURES.items() if known == nature]
    assert len(methods) == count
    wrong = [name for name in methods if is_plain_read(name) is not (nature == "read")]
    assert not wrong


def test_l5_the_case_of_a_method_does_not_matter() -> None:
    for name, nature in NATURES.items():
        assert is_plain_read(name.lower()) is is_plain_read(name.upper()) is (nature == "read")


@pytest.mark.parametrize(
    ("method", "reads"),
    [
        ("vendor.thing.get", True),
        ("vendor.thing.LIST", True),
        ("vendor.thing.status", True),
        ("vendor.thing.getItems", False),
        ("vendor.thing.getOrCreate", False),
        ("vendor.thing.isReady", False),
        ("vendor.thing.getPublicUrl", False),
        ("vendor.get.thing", False),
        ("vendor.thing", False),
        ("get", True),
    ],
)
def test_l5_a_method_that_is_not_documented_is_a_write_when_in_doubt(method: str, reads: bool) -> None:
    assert is_plain_read(method) is reads


@pytest.mark.parametrize(
    ("method", "sends"), [("task.item.list", False), ("tasks.task.list", True), ("x.task.get", True)]
)
def test_only_positional_task_methods_go_without_telemetry(method: str, sends: bool) -> None:
    assert sends_telemetry(method) is sends
