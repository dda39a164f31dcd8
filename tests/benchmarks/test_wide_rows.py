import json

import pytest

from b24oauth.testing.data import ENTITIES
from benchmarks.wide_rows import ROW_BYTES, widened

DEAL = ENTITIES["crm.deal"].make


def size(row):
    return len(json.dumps(row, separators=(",", ":")))


@pytest.mark.parametrize("wanted", [*ROW_BYTES, 320, 1000, 4096])
def test_rows_have_the_wanted_size(wanted):
    make = widened(DEAL, wanted)
    assert all(abs(size(make(row_id)) - wanted) <= 30 for row_id in (1, 20_000, 1_000_000))
    assert make(7).items() > DEAL(7).items()


def test_rows_are_not_made_smaller():
    with pytest.raises(ValueError, match="more than 100"):
        widened(DEAL, 100)


def test_a_portal_has_deals_of_a_size():
    # The portal of the benchmarks writes its answers with it.
    pytest.importorskip("orjson")
    from benchmarks.portal import make_portal

    portal = make_portal("http://127.0.0.1:1", ids=[3, 5], row_bytes=500)
    assert 490 <= size(portal.rows("crm.deal").get(5)) <= 510
    assert size(portal.rows("crm.contact").get(5)) < 490
