"""Results and rows as the caller's own types; `converting` has the library's own classes."""

from b24oauth.rows.structuring import check_row_type, structure_row, structure_rows

__all__ = ["check_row_type", "structure_row", "structure_rows"]
