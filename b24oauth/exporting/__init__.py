"""Exports all rows of a list method to a file: JSON lines, CSV or Parquet; a broken export goes on where it ended."""

from b24oauth.exporting.exporter import ExportProgress, ExportReport, export
from b24oauth.exporting.request import ExportRequest, Format
from b24oauth.exporting.spool import rows_kept
from b24oauth.exporting.streaming import export_to_stream

__all__ = ["ExportProgress", "ExportReport", "ExportRequest", "Format", "export", "export_to_stream", "rows_kept"]
