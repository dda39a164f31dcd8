"""Observers of other packages are loaded when they are first used; what is missing is named."""

from __future__ import annotations

import subprocess
import sys

import pytest

from b24oauth import observers

EXTRAS = [
    ("OpenTelemetryObserver", "opentelemetry", "otel"),
    ("PrometheusObserver", "prometheus_client", "prometheus"),
]


@pytest.mark.parametrize(("name", "package", "extra"), EXTRAS)
def test_a_missing_package_is_named_with_what_installs_it(name: str, package: str, extra: str) -> None:
    program = f"""
import sys
sys.modules[{package!r}] = None
import b24oauth.observers
try:
    b24oauth.observers.{name}
except ModuleNotFoundError as error:
    print(error.name, error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == f'{package} {name} needs {package}: pip install "b24oauth[{extra}]"\n'


def test_importing_the_library_loads_no_package_of_an_observer() -> None:
    packages = [package for _, package, _ in EXTRAS]
    program = f"import sys, b24oauth, b24oauth.observers; print([name for name in {packages} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_observers_lists_all_of_its_names_and_no_others() -> None:
    assert {"LoggingObserver", *(name for name, _, _ in EXTRAS)} <= set(dir(observers))
    with pytest.raises(AttributeError, match="Zipkin"):
        _ = observers.ZipkinObserver  # type: ignore[attr-defined]
