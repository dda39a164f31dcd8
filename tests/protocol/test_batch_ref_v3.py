from __future__ import annotations

import pickle
from typing import Any

import pytest

from b24oauth.errors import InvalidParamsError
from b24oauth.protocol.batch_ref_v3 import BatchRefV3


def test_ref_stands_for_one_value_of_an_earlier_answer():
    assert BatchRefV3.ref("task.item.id") == {"$ref": "task.item.id"}


def test_ref_accepts_an_alias_alone():
    assert BatchRefV3.ref("plain") == {"$ref": "plain"}


def test_a_reference_is_a_frozen_value_and_reads_like_the_mapping_that_is_sent():
    reference = BatchRefV3.ref("task.id")
    assert dict(reference) == {"$ref": "task.id"}
    assert len({reference, BatchRefV3.ref("task.id"), BatchRefV3.ref_array("task.id")}) == 2
    assert pickle.loads(pickle.dumps(reference)) == reference
    with pytest.raises(KeyError):
        reference["$refArray"]
    with pytest.raises(TypeError):
        reference["$ref"] = "other"


def test_the_command_can_be_exchanged():
    assert BatchRefV3.ref("51.item.id").renamed({"51": "1"}) == {"$ref": "1.item.id"}
    assert BatchRefV3.ref("task").renamed({}) == {"$ref": "task"}
    assert BatchRefV3.ref_array("tasks.id").command == "tasks"


def test_ref_array_stands_for_a_field_of_every_row():
    assert BatchRefV3.ref_array("tasks.id") == {"$refArray": "tasks.id"}


@pytest.mark.parametrize("build", [BatchRefV3.ref, BatchRefV3.ref_array])
@pytest.mark.parametrize("path", ["", "  ", 5, None, ["a.b"]])
def test_a_path_that_is_no_text_is_refused(build: Any, path: Any):
    with pytest.raises(InvalidParamsError, match="non-empty dotted string") as refused:
        build(path)
    assert (refused.value.code, refused.value.status) == ("B24OAUTH_BATCH_REF_V3_INVALID_PATH", 400)


def test_ref_array_without_a_field_is_refused():
    with pytest.raises(InvalidParamsError, match="must contain a dot") as refused:
        BatchRefV3.ref_array("tasks")
    assert (refused.value.code, refused.value.status) == ("B24OAUTH_BATCH_REF_V3_INVALID_REF_ARRAY", 400)


def test_a_reference_shows_what_it_stands_for() -> None:
    assert repr(BatchRefV3.ref("task.id")) == "<BatchRefV3 $ref task.id>"
    assert len(BatchRefV3.ref("task.id")) == 1
