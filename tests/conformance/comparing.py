"""Whether what was done is what was recorded: values with placeholders, requests, outcomes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

PLACEHOLDER = re.compile(r"\{(UUID_\d+|SDK_VERSION|SDK_TYPE|HTTP_CLIENT|ELAPSED_MS|HOST)\}")
# What the SDK worded itself, and what came from its HTTP library or runtime, is not ours to repeat.
COMPARED_MESSAGES = {"server", "composed"}
NATIVE = {"TypeError", "ReferenceError", "RangeError", "SyntaxError", "Error", "NotAnError"}
PLATFORM_CODES = {"ECONNRESET", "ECONNREFUSED", "EPIPE", "ETIMEDOUT"}


class Comparison:
    """Collects differences; remembers which id stands for which placeholder."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        self.differences: list[str] = []

    def differ(self, place: str, expected: object, actual: object) -> None:
        self.differences.append(f"{place}: expected {expected!r:.200}, got {actual!r:.200}")

    def value(self, expected: Any, actual: Any, place: str) -> None:
        if isinstance(expected, str) and PLACEHOLDER.search(expected):
            if not self.fits(expected, actual):
                self.differ(place, expected, actual)
        elif isinstance(expected, Mapping) and isinstance(actual, Mapping):
            for key in {**expected, **actual}:
                if key not in expected or key not in actual:
                    self.differ(f"{place}.{key}", expected.get(key, "<absent>"), actual.get(key, "<absent>"))
                else:
                    self.value(expected[key], actual[key], f"{place}.{key}")
        elif isinstance(expected, list) and isinstance(actual, (list, tuple)) and len(expected) == len(actual):
            for position, (one, other) in enumerate(zip(expected, actual, strict=True)):
                self.value(one, other, f"{place}[{position}]")
        elif expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
            self.differ(place, expected, actual)

    def fits(self, expected: str, actual: Any) -> bool:
        if expected == "{ELAPSED_MS}":
            return isinstance(actual, (int, float)) and not isinstance(actual, bool) and actual >= 0
        names = PLACEHOLDER.findall(expected)
        pattern = "(.+?)".join(map(re.escape, PLACEHOLDER.sub("\0", expected).split("\0")))
        found = re.fullmatch(pattern, actual, re.DOTALL) if isinstance(actual, str) else None
        if found is None:
            return False
        for name, text in zip(names, found.groups(), strict=True):
            if name.startswith("UUID_"):
                taken = text in self.ids.values() and self.ids.get(name) != text
                if taken or self.ids.setdefault(name, text) != text:
                    return False
        return True

    # --- requests

    def requests(self, expected: Sequence[Any], actual: Sequence[Any], *, unordered: bool) -> None:
        if len(expected) != len(actual):
            self.differ("requests", [one["path"] for one in expected], [one["path"] for one in actual])
        elif unordered:
            left = list(actual)
            for one in expected:
                match = next((other for other in left if self.same_request(one, other)), None)
                if match is None:
                    self.differ("requests", one, left)
                else:
                    left.remove(match)
        else:
            for position, (one, other) in enumerate(zip(expected, actual, strict=True)):
                self.request(one, other, f"requests[{position}]")

    def same_request(self, expected: Any, actual: Any) -> bool:
        trial = Comparison()
        trial.ids = dict(self.ids)
        trial.request(expected, actual, "")
        if not trial.differences:
            self.ids = trial.ids
        return not trial.differences

    def request(self, expected: Any, actual: Any, place: str) -> None:
        for part in ("method", "query", "body"):
            self.value(expected[part], actual[part], f"{place}.{part}")
        self.value(single_slashes(expected["path"]), single_slashes(actual["path"]), f"{place}.path")
        self.value(
            (expected["contentType"] or "").partition(";")[0], actual["contentType"] or "", f"{place}.contentType"
        )
        if "rawBody" in expected:  # the order, and what a map of a form cannot hold
            fields, sent = (parse_qsl(one["rawBody"], keep_blank_values=True) for one in (expected, actual))
            self.value(list(map(list, fields)), list(map(list, sent)), f"{place}.rawBody")
        for name, wanted in expected.get("headers", {}).items():
            if name != "accept" and (wanted is None) != (not actual["headers"].get(name)):
                self.differ(f"{place}.headers.{name}", wanted, actual["headers"].get(name))

    # --- outcomes

    def outcome(self, expected: Mapping[str, Any], actual: Mapping[str, Any], place: str) -> None:
        if ("throws" in expected) != ("throws" in actual):
            self.differ(place, expected, actual)
            return
        for key, value in expected.items():
            if key == "throws":
                self.error(value, actual["throws"], f"{place}.throws")
            elif key == "errors":
                self.errors(value, actual.get(key) or {}, f"{place}.errors")
            elif key == "errorMessages":
                self.messages(expected, actual[key], f"{place}.errorMessages")
            elif key == "concurrent":
                for position, (one, other) in enumerate(zip(value, actual[key], strict=True)):
                    self.outcome(one, other, f"{place}.concurrent[{position}]")
            elif key == "data" and has_results(value):
                rows, ours = by_name(value), by_name(actual["data"])
                self.value(list(rows), list(ours), f"{place}.data rows")
                for name in rows.keys() & ours.keys():
                    self.outcome(rows[name], ours[name], f"{place}.data[{name}]")
            else:
                self.value(without_info(value), without_info(actual.get(key)), f"{place}.{key}")

    def messages(self, expected: Mapping[str, Any], actual: Sequence[str], place: str) -> None:
        if not isinstance(actual, list) or len(actual) != len(expected["errorMessages"]):
            self.differ(place, expected["errorMessages"], actual)
        for error in expected.get("errors", {}).values():
            if error.get("messageFrom") in COMPARED_MESSAGES and error["message"] not in actual:
                self.differ(place, error["message"], actual)

    def errors(self, expected: Mapping[str, Any], actual: Mapping[str, Any], place: str) -> None:
        if any(PLACEHOLDER.search(key) for key in expected):
            self.value(len(expected), len(actual), f"{place} number")
            expected = dict(zip(actual, expected.values(), strict=False))
        self.value(sorted(expected), sorted(actual), f"{place} keys")
        for key, error in expected.items():
            if key in actual:
                self.error(error, actual[key], f"{place}[{key}]")

    def error(self, expected: Mapping[str, Any], actual: Mapping[str, Any], place: str) -> None:
        if expected["class"] not in NATIVE:
            if expected.get("code") in PLATFORM_CODES:
                self.value(True, bool(actual.get("code")), f"{place}.code")
                expected = {key: value for key, value in expected.items() if key != "code"}
            for part in ("class", "code", "status"):
                if part in expected:
                    self.value(expected[part], actual.get(part), f"{place}.{part}")
        if expected.get("messageFrom") in COMPARED_MESSAGES:
            self.value(expected["message"], actual.get("message"), f"{place}.message")
        if expected.get("validation") or actual.get("validation"):
            self.value(expected.get("validation"), actual.get("validation"), f"{place}.validation")

    # --- what is left at the end

    def after(self, expected: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
        for key, value in expected.items():
            if key == "events":
                self.value(list(map(single_slashes, value)), list(map(single_slashes, actual[key])), "after.events")
            elif key not in ("log", "waitsMs"):  # levels and texts of the log differ on purpose
                self.value(value, actual[key], f"after.{key}")
        waited, waits = expected.get("waitsMs", []), actual.get("waitsMs", [])
        near = len(waited) == len(waits) and all(
            abs(one - other) <= max(2, 0.11 * one) for one, other in zip(waited, waits, strict=True)
        )
        if not near:
            self.differ("after.waitsMs", waited, waits)


def single_slashes(text: str) -> str:
    return re.sub("/{2,}", "/", text)


def has_results(data: Any) -> bool:
    rows = data.values() if isinstance(data, Mapping) else data if isinstance(data, list) else ()
    return any(isinstance(row, Mapping) and row.get("type") == "AjaxResult" for row in rows)


def by_name(rows: Any) -> dict[Any, Any]:
    return dict(rows) if isinstance(rows, Mapping) else dict(enumerate(rows or ()))


def without_info(value: Any) -> Any:
    """What is compared of a recorded value: `info` is for its reader."""
    if isinstance(value, Mapping):
        return {key: without_info(part) for key, part in value.items() if key != "info"}
    return [without_info(part) for part in value] if isinstance(value, list) else value
