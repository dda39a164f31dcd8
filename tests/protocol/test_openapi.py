from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth.protocol.openapi import V3Param, read_methods
from tests.support.clients import connected, fake_portal

DOCUMENT: dict[str, Any] = {
    "paths": {
        "/tasks.task.get": {
            "post": {
                "summary": "Reads a task",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Get"}}}},
            }
        },
        "/rest/api/server.time": {"post": {}},
        "/no.operation": {},
    },
    "components": {
        "schemas": {
            "Get": {
                "properties": {"id": {"$ref": "#/components/schemas/Id"}, "select": {"type": "array"}},
                "required": ["id"],
            },
            "Id": {"type": "integer"},
            "Loop": {"$ref": "#/components/schemas/Loop"},
        }
    },
}


def test_methods_and_their_parameters_are_read_through_references() -> None:
    DOCUMENT["paths"]["/server.time"] = {"post": {"operationId": "time"}}
    methods = read_methods(DOCUMENT)
    assert methods["tasks.task.get"].summary == "Reads a task"
    assert methods["tasks.task.get"].params == {
        "id": V3Param(type="integer", required=True),
        "select": V3Param(type="array"),
    }
    assert methods["server.time"].params == {}
    assert "no.operation" not in methods


def test_a_reference_to_itself_ends() -> None:
    schema = {"$ref": "#/components/schemas/Loop"}
    body = {"content": {"application/json": {"schema": schema}}}
    loop = {"paths": {"/x": {"post": {"requestBody": body}}}, "components": DOCUMENT["components"]}
    assert read_methods(loop)["x"].params == {}


documents = st.recursive(
    st.none() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["paths", "post", "/x", "$ref", "requestBody", "schema"]), inner, max_size=4)
    ),
)


@given(documents)
def test_a_document_of_any_shape_is_read_without_an_error(document: Any) -> None:
    read_methods(document if isinstance(document, dict) else {"paths": document})


@pytest.mark.anyio
async def test_the_portal_tells_its_v3_methods() -> None:
    async with connected(fake_portal()) as b24:
        methods = await b24.discover_v3_methods()
        plain = await b24.actions.v3.call.make("rest.documentation.openapi")
    assert "id" in methods["tasks.task.get"].params
    assert plain.payload["openapi"].startswith("3.")
