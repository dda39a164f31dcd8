"""Async iterators over the rows and pages of a list; use `async with` to close them early."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Generic, Self, TypeVar

from b24oauth.errors import AjaxError, SdkError

__all__ = ["Pages", "Rows"]

T = TypeVar("T")


class Pages(Generic[T]):
    """Async iterator over the pages of a list; `async with` closes it, also if the block is left early.

    Args:
        pages: The pages.
    """

    def __init__(self, pages: AsyncGenerator[list[T], None]) -> None:
        self._pages = pages

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[T]:
        return await _next_page(self._pages)

    async def aclose(self) -> None:
        """Cancels running requests. May be called twice."""
        await self._pages.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()


class Rows(Generic[T]):
    """Async iterator over the rows of a list; `async with` closes it, also if the block is left early.

    Args:
        pages: The pages of rows.
    """

    def __init__(self, pages: AsyncGenerator[list[T], None]) -> None:
        self._pages = pages
        self._page: list[T] = []
        self._next = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while self._next >= len(self._page):
            self._page, self._next = await _next_page(self._pages), 0
        row = self._page[self._next]
        self._next += 1
        return row

    async def aclose(self) -> None:
        """Cancels running requests. May be called twice."""
        self._page, self._next = [], 0
        await self._pages.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()


async def _next_page(pages: AsyncGenerator[list[T], None]) -> list[T]:
    """The next page; if `fetch_list` wrapped an error, the original error is raised."""
    try:
        return await anext(pages)
    except SdkError as error:
        soft = error.__cause__
        if type(error) is not SdkError or not isinstance(soft, AjaxError):
            raise
    raise soft
