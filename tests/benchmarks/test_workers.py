import shutil

import pytest

from benchmarks.contestants import CONTESTANTS
from benchmarks.workers import JobError, workers


def test_without_node_the_row_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    asked = []
    with workers(tmp_path) as found:
        found.each(["b24jssdk"], asked.append)
        assert found.missing == {"b24jssdk": "no Node here"}
    assert asked == []


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with workers(None) as found:
        assert found.get("fast_bitrix24") is None
        assert found.missing == {"fast_bitrix24": "no fast_bitrix24 here"}


def test_who_fails_is_set_aside_and_the_others_go_on():
    asked = []

    def ask(worker):
        asked.append(worker.name)
        if worker.name == "bare httpx":
            worker.ask("no such job", target={"params": {}, "secret": {}, "hosts": []})

    with workers(None) as found:
        for _ in range(2):
            found.each(["bare httpx", "bare sockets"], ask)
        assert found.missing == {"bare httpx": "failed: KeyError: 'no such job'"}
    assert asked == ["bare httpx", "bare sockets", "bare sockets"]


def test_each_job_may_have_a_process_of_its_own():
    with workers(None) as found:
        shared = found.get("bare sockets")
        apart = found.get("bare sockets", "10 in flight")
        assert shared is found.get("bare sockets") is not apart
        asked = []
        found.each(["bare sockets", "bare aiohttp"], asked.append, {"bare sockets": "10 in flight"})
        assert asked == [apart, found.get("bare aiohttp")]


def test_a_process_may_end_with_its_block(monkeypatch):
    with workers(None) as found:
        with found.alone("bare sockets") as one, found.alone("bare sockets") as other:
            assert one._process.pid != other._process.pid != found.get("bare sockets")._process.pid
        assert one._process.poll() is not None
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with found.alone("fast_bitrix24") as absent:
            assert absent is None
        assert found.missing == {"fast_bitrix24": "no fast_bitrix24 here"}


def test_a_process_that_ended_is_a_failure():
    with workers(None) as found:
        worker = found.get("bare sockets")
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(JobError, match="its process ended with -9"):
            worker.receive()


def test_every_contestant_has_its_file():
    assert len(CONTESTANTS) == 11
    assert {contestant.module for contestant in CONTESTANTS.values()} == {
        "b24", "b24py", "bare_aiohttp", "bare_httpx", "bare_sockets", "fast_bitrix", "peers.mjs",
    }  # fmt: skip
