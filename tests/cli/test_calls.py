"""`b24oauth call`, `batch`, `methods` and `limits` against a portal on loopback."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from b24oauth.cli import main
from b24oauth.models import B24OAuthParams
from b24oauth.testing import FakePortal
from tests.cli.conftest import Run, use_up_half_of_the_time

Put = Callable[[B24OAuthParams], None]


@pytest.fixture
def _stored(portal: FakePortal, put: Put) -> None:
    put(portal.issue(expired=True))


@pytest.mark.usefixtures("_stored")
def test_a_call_prints_its_result_and_renews_an_expired_pair(portal: FakePortal, run: Run) -> None:
    done = run("call", "crm.deal.get", "id=7", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["TITLE"] == "Deal 7"
    assert len(portal.token_requests) == 1
    assert run("call", "crm.deal.get", "id=8", "--json").returncode == 0
    assert len(portal.token_requests) == 1  # the renewed pair was stored


@pytest.mark.usefixtures("_stored")
def test_a_failed_call_prints_code_message_and_remedy_without_a_traceback(portal: FakePortal, run: Run) -> None:
    done = run("call", "crm.deal.get", "id=99999")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Not found" in done.stderr
    assert "b24oauth methods" in done.stderr
    assert "Traceback" not in done.stderr
    assert portal.secret.client_secret not in done.stderr


@pytest.mark.usefixtures("_stored")
def test_parameters_come_from_words_files_and_the_standard_input(tmp_path: Path, run: Run) -> None:
    file = tmp_path / "params.json"
    file.write_text('{"filter": {">ID": 3}, "select": ["ID"]}', encoding="utf-8")
    done = run("call", "crm.deal.list", f"@{file}", "filter[<=ID]:=5", "order.ID=DESC", "--json")
    assert [row["ID"] for row in json.loads(done.stdout)] == ["5", "4"]
    done = run("call", "crm.deal.list", "-", "--json", given='{"filter": {"<ID": 3}, "select": ["ID"]}')
    assert [row["ID"] for row in json.loads(done.stdout)] == ["1", "2"]
    done = run("call", "crm.deal.list", "-", given="[1]")
    assert done.returncode == 2
    assert "must be a JSON object" in done.stderr


@pytest.mark.usefixtures("_stored")
def test_a_page_of_a_longer_list_says_so_beside_the_result(run: Run) -> None:
    done = run("call", "crm.deal.list", "select[]=ID", "--json")
    assert len(json.loads(done.stdout)) == 50
    assert "one page of 120 rows" in done.stderr


def test_a_webhook_needs_no_store(portal: FakePortal, run: Run, store_path: Path) -> None:
    done = run(
        "call", "crm.deal.get", "id=1", "--json",
        B24OAUTH_WEBHOOK=portal.webhook(), B24OAUTH_CLIENT_ID=None, B24OAUTH_CLIENT_SECRET=None,
    )  # fmt: skip
    assert json.loads(done.stdout)["ID"] == "1"
    assert not store_path.exists()


@pytest.mark.usefixtures("_stored")
def test_rest_v3_is_called_with_a_flag(run: Run) -> None:
    done = run("call", "tasks.task.get", "id:=1", "--v3", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["item"]["id"] == 1


def test_what_is_missing_is_named_when_there_is_no_terminal(run: Run) -> None:
    done = run("call", "profile", B24OAUTH_CLIENT_SECRET=None)
    assert (done.returncode, done.stdout) == (2, "")
    assert "B24OAUTH_CLIENT_SECRET is not set" in done.stderr
    done = run("call", "profile", B24OAUTH_CLIENT_ID=None)
    assert "B24OAUTH_CLIENT_ID is not set" in done.stderr
    done = run("call", "profile")
    assert done.returncode == 2
    assert "b24oauth login DOMAIN" in done.stderr


@pytest.mark.usefixtures("_stored")
def test_every_command_of_a_batch_runs_and_one_failure_makes_the_exit_status_1(tmp_path: Path, run: Run) -> None:
    file = tmp_path / "commands.jsonl"
    lines = [{"method": "crm.deal.get", "params": {"id": number}} for number in (1, 99999, 3)]
    file.write_text("\n".join(map(json.dumps, [*lines, {"name": "me", "method": "profile"}])), encoding="utf-8")
    done = run("batch", str(file), "--json")
    assert done.returncode == 1
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["name"] for line in printed] == ["1", "2", "3", "me"]
    assert [line["result"]["ID"] for line in printed[:3:2]] == ["1", "3"]
    assert "Not found" in printed[1]["error"]["message"]
    assert "1 of 4 commands failed" in done.stderr


@pytest.mark.usefixtures("_stored")
def test_a_batch_is_an_object_by_name_or_a_list(run: Run) -> None:
    by_name = {f"deal{n}": {"method": "crm.deal.get", "params": {"id": n}} for n in range(1, 61)}
    done = run("batch", "-", given=json.dumps(by_name))
    assert done.returncode == 0
    assert list(json.loads(done.stdout)) == list(by_name)
    done = run("batch", "-", "--json", given='[{"method": "profile"}]')
    assert json.loads(done.stdout)["name"] == "1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("3", "must be a JSON object or list"),
        ('[{"methode": "profile"}]', 'a command is an object with "method"'),
        ('[{"method": "profile", "parameters": {}}]', "unknown fields parameters"),
        ('{"a": {"method": "profile", "params": [1]}}', "a: params must be an object"),
        ('{"method": "profile"}\n{"method": "profile", "name": "1"}', "line 2: another command is named 1"),
        ('{"method": "profile"}\n{"method"', "line 2 is not JSON"),
    ],
)
def test_a_batch_that_is_not_understood_is_refused_before_anything_is_sent(text: str, said: str, run: Run) -> None:
    done = run("batch", "-", given=text, B24OAUTH_CLIENT_ID=None)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.usefixtures("_stored")
def test_methods_are_found_by_a_part_of_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "deal"]) == 0
    assert capsys.readouterr().out == "crm.deal.get\ncrm.deal.list\n"
    assert main(["methods", "--scope", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["crm", "task"]
    assert main(["methods", "im.notify"]) == 0
    assert "outside of the scope" in capsys.readouterr().out
    assert main(["methods", "no.such"]) == 1
    assert main(["methods", "tasks.task", "--v3", "--json"]) == 0
    assert "tasks.task.get" in [found["name"] for found in json.loads(capsys.readouterr().out)]


@pytest.mark.usefixtures("_stored")
def test_limits_show_the_execution_time_of_calls_in_other_processes(
    portal: FakePortal, run: Run, store_path: Path
) -> None:
    use_up_half_of_the_time(portal, store_path)
    done = run("limits", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["burst"], found["rate"]) == (found["configured_burst"], found["configured_rate"])
    assert found["operating"]["crm.deal.list"] >= 240
    shown = run("limits").stdout
    assert re.search(r"Requests: \d+ at once, \d+ a second\n", shown)
    assert re.search(rf"crm.deal.list +{found['operating']['crm.deal.list']:.1f} ", shown)
