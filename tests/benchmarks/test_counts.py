"""What calls and lists cost, counted in a process of their own: coverage and other tests would be counted with them."""

import json
import subprocess
import sys

import pytest

from benchmarks.counting import BOUNDS, broken


@pytest.fixture(scope="module")
def counts():
    command = [sys.executable, "-m", "benchmarks.counting"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.stdout, process.stderr
    return json.loads(process.stdout)


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the bounds are those of Python 3.11")
@pytest.mark.parametrize("scenario", BOUNDS)
def test_counts_stay_below_their_bounds(counts, scenario):
    problems = [problem for problem in broken(counts) if problem.startswith(f"{scenario}:")]
    assert not problems, "\n".join(problems)


def test_each_call_is_one_request(counts):
    assert [counts[name]["requests"] for name in ("sequential", "at_once", "queued")] == [100, 100, 100]


def test_counts_above_a_bound_and_blind_counters_are_told():
    good = {name: {**dict.fromkeys(bounds, 0.0), "requests": 1.0} for name, bounds in BOUNDS.items()}
    for values in good.values():
        values.update({metric: 1.0 for metric in values if metric.startswith(("instructions", "peak"))})
    assert broken(good) == []
    worse = good | {"queued": good["queued"] | {"timers": BOUNDS["queued"]["timers"] + 1}}
    assert broken(worse) == ["queued: timers is 51.0, at most 50 allowed"]
    blind = good | {"export": good["export"] | {"instructions_per_row": 0.0}}
    assert broken(blind) == ["export: instructions_per_row is 0, so nothing was counted"]
