"""Writes rows as Parquet. The only import of pyarrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import IO, Any, Final

from b24oauth.exporting.columns import Column

try:
    _arrow: Any = import_module("pyarrow")
    _parquet: Any = import_module("pyarrow.parquet")
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'Exports to Parquet need pyarrow: pip install "b24oauth[parquet]"', name=missing.name
    ) from missing

__all__ = ["write_parquet"]

# Rows and bytes of JSON of a row group, whichever comes first: so much is in memory at once.
_GROUP_ROWS: Final = 50_000
_GROUP_BYTES: Final = 32 << 20
_TYPES: Final[Mapping[str, Any]] = {
    "text": _arrow.string(),
    "integer": _arrow.int64(),
    "number": _arrow.float64(),
    "boolean": _arrow.bool_(),
    "date": _arrow.date32(),
    "datetime": _arrow.timestamp("us", tz="UTC"),
}


def write_parquet(
    rows: Iterable[tuple[Mapping[str, Any], int]],
    columns: Sequence[Column],
    file: IO[bytes],
    *,
    group_rows: int = _GROUP_ROWS,
    group_bytes: int = _GROUP_BYTES,
) -> Iterator[int]:
    """Writes a Parquet file group by group.

    Args:
        rows: Rows, each with its size in bytes.
        columns: Their columns, which all values fit.
        file: The file.
        group_rows: Rows of a group at most.
        group_bytes: Bytes of the rows of a group, about.
    """
    schema = _arrow.schema([(column.name, _type(column)) for column in columns])
    readers = [(column.name, column.read) for column in columns]
    count, held, size = 0, [list[Any]() for _ in columns], 0
    with _parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for number, (row, length) in enumerate(rows, 1):
            for values, (name, read) in zip(held, readers, strict=True):
                values.append(read(row.get(name)))
            size += length
            if number - count >= group_rows or size >= group_bytes:
                writer.write_table(_table(held, schema))
                count, held, size = number, [list[Any]() for _ in columns], 0
                yield count
            elif number % 2000 == 0:
                yield number
        if held and held[0]:
            writer.write_table(_table(held, schema))


def _table(values: Sequence[list[Any]], schema: Any) -> Any:
    arrays = [_arrow.array(column, field.type) for column, field in zip(values, schema, strict=True)]
    return _arrow.Table.from_arrays(arrays, schema=schema)


def _type(column: Column) -> Any:
    return _arrow.list_(_TYPES[column.kind]) if column.multiple else _TYPES[column.kind]
