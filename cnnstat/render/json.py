"""The JSON document, schema 1. It holds the whole report, whatever the view shows."""

from __future__ import annotations

from cnnstat.render.base import View
from cnnstat.render.document import Document
from cnnstat.report import Report
from cnnstat.schema import dump


class JsonRenderer:
    """`-f json`: everything, and `Report.from_json` reads it back."""

    name = "json"
    extensions = (".json",)
    carries_notes = True

    def render(self, report: Report, view: View) -> str:
        """One document; its form is described in `cnnstat.schema`."""
        return report.to_json()

    def draw(self, document: Document, view: View) -> str:
        """The document's data, whatever its body shows."""
        return dump(document.data)
