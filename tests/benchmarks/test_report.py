import json
import xml.etree.ElementTree as ET

import pytest

from benchmarks.pictures import line_chart
from benchmarks.report import BEGIN, END, Run, publish, write
from benchmarks.samples import Check, Samples, Section

SVG = "{http://www.w3.org/2000/svg}"


def a_run():
    checks = [
        Check(what="cost", value=1.5, bound=1.25),
        Check(what="speed", value=900, bound=500, most=False),
        Check(what="peer", value=None, bound=1),
    ]
    picture = line_chart("a < b", {"ours": [(0, 0), (10, 1234)]}, x_label="x", y_label="y")
    section = Section(
        key="calls",
        title="Calls",
        columns=("client", "ms"),
        rows=[["ours", "1.0"]],
        checks=checks,
        pictures={"calls.svg": picture},
    )
    machine = {"cpu": "CPU", "cores": 2, "memory_gib": 8, "system": "Linux", "python": "CPython"}
    return Run(when="now", seconds=3.0, options="5 rounds", machine=machine, versions={}, sections=[section])


def test_a_ratio_is_taken_within_each_round():
    samples = Samples()
    for ours, theirs in ((10, 5), (2, 2), (9, 3)):
        samples.add("ours", ours)
        samples.add("theirs", theirs)
    assert samples.median("ours") / samples.median("theirs") == 3
    assert samples.ratio("ours", "theirs") == 2
    assert samples.ratio("ours", "nobody") is None
    assert samples.shown("ours", 1) == "9.0 (2.0-10.0)"


@pytest.mark.parametrize(
    ("rounds", "largest"),
    [
        # The second round ran on a slower machine, which says nothing of them.
        ({"10": [1.0, 2.0], "100": [1.0, 2.0], "1000": [1.0, 2.0]}, 1.0),
        ({"10": [1.0, 1.0, 1.0], "100": [3.0, 1.5, 1.2], "1000": [1.0, 1.0, 1.0]}, 1.5),
        ({"10": [3.0], "100": [2.0], "1000": [2.0]}, 1.5),
        ({"10": [3.0]}, None),
    ],
    ids=["drift", "a rise", "a fall", "nothing to compare"],
)
def test_the_largest_ratio_is_taken_within_each_round_too(rounds, largest):
    assert Samples(rounds).largest_ratio() == largest


def test_the_report_tells_which_bounds_are_met(tmp_path):
    write(a_run(), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| cost | 1.50 | at most 1.25 | NOT MET |" in text
    assert "| speed | 900.00 | at least 500 | met |" in text
    assert "| peer |  | at most 1 | not measured |" in text
    checks = json.loads((tmp_path / "results.json").read_text())["tables"]["calls"]["checks"]
    assert [check["met"] for check in checks] == [False, True, None]


def test_tables_are_put_between_the_marks_of_a_readme_and_replace_older_ones(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    publish(a_run(), readme)
    publish(a_run(), readme)
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("### Calls") == 1
    assert (tmp_path / "last-run" / "calls.svg").exists()
    readme.write_text("no marks")
    with pytest.raises(ValueError, match="has no lines"):
        publish(a_run(), readme)


def test_a_picture_is_svg_with_a_line_and_round_ticks():
    root = ET.fromstring(a_run().sections[0].pictures["calls.svg"])
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"a < b", "ours", "0", "200", "1,400", "10"} <= set(texts)
    line = root.find(f"{SVG}polyline").get("points").split()
    assert len(line) == 2
    assert float(line[0].split(",")[1]) > float(line[1].split(",")[1])
