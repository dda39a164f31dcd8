from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from b24oauth.oauth.renewal import ends_the_program, is_own_cancellation, safe_cause, what_happened
from tests.support.builders import REFRESH

SECRETS = (REFRESH,)
NEW = "n3w-t0ken"


class NoTextError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class NoTextAtAllError(Exception):
    __str__ = lambda self: None  # type: ignore[assignment]  # noqa: E731 - no string, whatever is promised


class NoReprError(Exception):
    def __repr__(self) -> str:
        raise TypeError("no repr")


class QuietError(Exception):
    """Its text is clean whatever it holds."""

    def __str__(self) -> str:
        return "quiet"


class QuietReprError(QuietError):
    def __repr__(self) -> str:
        return "QuietReprError()"


class TellingReprError(QuietError):
    def __repr__(self) -> str:
        return f"TellingReprError({REFRESH})"


def chained(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [NoTextError, NoTextAtAllError])
def test_t6_an_error_without_a_text_is_named_by_its_kind(kind: type[Exception]) -> None:
    assert what_happened(kind(), SECRETS).startswith(f"{kind.__name__}: ")


def test_t12_what_happened_repeats_no_known_secret() -> None:
    assert what_happened(ValueError(f"refused: {REFRESH}"), SECRETS) == "ValueError: refused: ***REDACTED***"


@pytest.mark.parametrize(
    "text",
    [
        f"access_token={NEW}",
        f"(refresh_token='{NEW}')",
        f"{{'access_token': '{NEW}'}}",
        f'{{"refresh_token": "{NEW}"}}',
        f"Bearer {NEW}",
    ],
)
def test_t12_what_happened_repeats_no_token_that_stands_under_its_name(text: str) -> None:
    said = what_happened(ValueError(f"broker says {text}"), SECRETS)
    assert NEW not in said
    assert said.startswith("ValueError: broker says ")


# --- causes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [OSError(28, "the disk is full"), ValueError(), KeyError("id"), asyncio.CancelledError()]
)
def test_a_harmless_error_is_a_cause(error: BaseException) -> None:
    assert safe_cause(error, SECRETS) is error


@pytest.mark.parametrize(
    "error",
    [
        ValueError(REFRESH),
        QuietError(REFRESH),
        QuietReprError(REFRESH),
        QuietReprError({"spare": [REFRESH]}),
        TellingReprError(),
        QuietReprError(TellingReprError()),
        QuietError({"access_token": NEW}),
        QuietError(f"access_token={NEW}"),
        chained(ValueError("outer"), QuietReprError(REFRESH)),
        ExceptionGroup("several", [QuietReprError(REFRESH)]),
    ],
    ids=repr,
)
def test_t12_an_error_that_shows_a_token_in_any_way_is_no_cause(error: BaseException) -> None:
    assert safe_cause(error, SECRETS) is None


@pytest.mark.parametrize("secret", ["back\\slash'quote\"", "я" * 8, "tab\there"])
def test_t12_a_token_is_found_in_the_arguments_however_repr_escapes_it(secret: str) -> None:
    assert safe_cause(QuietReprError(secret), [secret]) is None


def test_t12_the_line_of_code_that_raised_may_name_tokens() -> None:
    def save(*, access_token: bool) -> None:
        raise OSError("the disk is full" if access_token else "")

    with pytest.raises(OSError, match="full") as caught:
        save(access_token=True)
    assert safe_cause(caught.value, SECRETS) is caught.value


@pytest.mark.parametrize("kind", [NoTextError, NoTextAtAllError, NoReprError])
def test_t6_an_error_that_cannot_be_looked_at_is_no_cause(kind: type[Exception]) -> None:
    assert safe_cause(kind(), SECRETS) is None


def test_causes_that_go_round_in_circles_are_looked_at_once() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert safe_cause(first, SECRETS) is first


# --- what ends the task -----------------------------------------------------------------------------------------------


def kind_of_end(run: Callable[[], Any]) -> bool | None:
    """What is thought of the error that a task's code raised; the task may be cancelled while it waits."""
    verdict: list[bool] = []

    async def task() -> None:
        here = asyncio.current_task()
        try:
            await run()
        except BaseException as error:  # noqa: BLE001 - that is what is judged
            verdict.append(is_own_cancellation(error, here))

    async def main() -> None:
        started = asyncio.create_task(task())
        await asyncio.sleep(0)
        started.cancel("outside")
        await asyncio.wait([started])

    asyncio.run(main())
    return verdict[0] if verdict else None


async def _raise(error: BaseException) -> None:
    raise error


def test_t10_a_cancellation_of_the_task_ends_it() -> None:
    assert kind_of_end(asyncio.Event().wait) is True


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), BaseExceptionGroup("g", [asyncio.CancelledError()]), OSError(), GeneratorExit()],
)
def test_t10_whatever_the_called_code_raises_does_not(error: BaseException) -> None:
    assert kind_of_end(lambda: _raise(error)) is False


def test_t10_discarding_its_coroutine_ends_the_task() -> None:
    verdict: list[bool] = []

    async def discarded() -> None:
        here = asyncio.current_task()
        try:
            await asyncio.Event().wait()
        except BaseException as error:  # noqa: BLE001 - that is what is judged
            verdict.append(is_own_cancellation(error, here))

    async def main() -> None:
        task = asyncio.create_task(discarded())
        await asyncio.sleep(0)
        task.get_coro().close()  # type: ignore[union-attr]  # as the garbage collector does
        task.cancel()

    asyncio.run(main())
    assert verdict == [True]


@pytest.mark.parametrize(("error", "ends"), [(KeyboardInterrupt(), True), (SystemExit(), True), (OSError(), False)])
def test_what_ends_the_program(error: BaseException, ends: bool) -> None:
    assert ends_the_program(error) is ends
