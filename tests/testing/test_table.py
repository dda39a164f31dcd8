import pytest

from b24oauth.testing.conditions import Selection
from b24oauth.testing.table import Table


def table(ids):
    return Table(lambda row_id: {"ID": str(row_id), "SORT": str(-row_id), "TITLE": f"row {row_id}"}, "ID", ids)


def ids(page):
    return [row["ID"] for row in page.rows]


def page(rows, selection=None, *, order=(), offset=0, limit=3, count=True):
    return rows.page(selection or Selection(), order=order, offset=offset, limit=limit, count=count)


def test_a_page_of_a_million_rows_is_made_without_reading_the_others():
    made = []

    def make(row_id):
        made.append(row_id)
        return {"ID": str(row_id)}

    rows = Table(make, "ID", range(1, 1_000_001))
    assert ids(page(rows, Selection(low=999_000))) == ["999000", "999001", "999002"]
    assert made == [999_000, 999_001, 999_002]


def test_another_function_may_make_the_rows():
    rows = table(range(1, 4))
    rows.update(2, {"TITLE": "written"})
    usual = rows.make
    rows.make = lambda row_id: usual(row_id) | {"UF_NOTE": "wide"}
    assert [row.get("UF_NOTE") for row in page(rows).rows] == ["wide"] * 3
    assert rows.get(2) == {"ID": "2", "SORT": "-2", "TITLE": "written", "UF_NOTE": "wide"}


def test_gaps_are_kept():
    rows = table([1])
    rows.replace([30, 10, 20])
    assert ids(page(rows)) == ["10", "20", "30"]


def test_it_counts_what_fits_only_when_asked():
    assert page(table(range(1, 8)), Selection(low=3)).total == 5
    assert page(table(range(1, 8)), Selection(low=3), count=False).total is None


def test_it_counts_behind_the_page_when_rows_must_be_tested():
    even = Selection(tests=(lambda row: int(row["ID"]) % 2 == 0,))
    found = page(table(range(1, 21)), even, offset=2)
    assert (ids(found), found.total) == (["6", "8", "10"], 10)


def test_it_orders_by_id_downwards_and_by_other_fields():
    rows = table(range(1, 6))
    assert ids(page(rows, order=[("ID", True)])) == ["5", "4", "3"]
    assert ids(page(rows, order=[("SORT", False)])) == ["5", "4", "3"]
    assert ids(page(rows, order=[("SORT", True)], offset=1)) == ["2", "3", "4"]


@pytest.mark.parametrize("empty", [None, "", [], [""]])
def test_an_empty_user_field_is_answered_as_false(empty):
    rows = table(range(1, 4))
    rows.update(1, {"UF_SIZE": empty, "TITLE": empty})
    assert rows.get(1) == {"ID": "1", "SORT": "-1", "TITLE": empty, "UF_SIZE": False}
    rows.update(1, {"UF_SIZE": 0})
    assert rows.get(1)["UF_SIZE"] == 0
    assert rows.get(1)["UF_SIZE"] is not False


def test_added_rows_get_the_next_id_and_their_values():
    rows = table(range(1, 4))
    assert rows.add({"TITLE": "new", "ID": "77"}) == 4
    assert rows.get(4) == {"ID": "4", "SORT": "-4", "TITLE": "new"}
    assert isinstance(rows.ids, range)


def test_a_row_can_be_added_in_a_gap_once():
    rows = table(range(1, 4))
    rows.delete(2)
    rows.add(row_id=2)
    assert list(rows.ids) == [1, 2, 3]
    with pytest.raises(ValueError, match="2 already"):
        rows.add(row_id=2)


def test_an_empty_table_starts_at_one():
    rows = table(range(0))
    assert rows.add() == 1
    assert list(rows.ids) == [1]


def test_deleted_rows_are_gone_and_lose_their_changes():
    rows = table(range(1, 4))
    rows.update(2, {"TITLE": "changed"})
    assert rows.delete(2)
    assert not rows.delete(2)
    assert rows.get(2) is None
    rows.add(row_id=2)
    assert rows.get(2)["TITLE"] == "row 2"


def test_updating_what_is_not_there_changes_nothing():
    assert not table(range(1, 4)).update(9, {"TITLE": "x"})


def test_a_snapshot_can_be_restored():
    rows = table(range(1, 4))
    snapshot = rows.snapshot()
    rows.add()
    rows.update(1, {"TITLE": "changed"})
    rows.restore(snapshot)
    assert (len(rows), rows.get(1)["TITLE"]) == (3, "row 1")
