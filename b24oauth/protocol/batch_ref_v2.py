"""References from one command of a v2 batch to the answer of an earlier one."""

from __future__ import annotations

from b24oauth.errors import InvalidParamsError

__all__ = ["BatchRefV2"]


class BatchRefV2:
    """Builds `$result[…]` references.

    Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html
    """

    @staticmethod
    def ref(command: str | int, *path: str | int) -> str:
        """Stands for an earlier command's answer, or a part of it.

        Args:
            command: Name of the command, or its position in a list.
            path: Keys and positions that lead to the part, for example ``("items", 0, "id")``.

        Raises:
            InvalidParamsError: A part is empty or holds a bracket, which the portal would read differently.
        """
        parts = [str(part) for part in (command, *path)]
        if any(not part or "[" in part or "]" in part for part in parts):
            raise InvalidParamsError(
                "BatchRefV2.ref: names and keys must not be empty and must not hold brackets",
                code="B24OAUTH_BATCH_REF_V2_INVALID_PATH",
            )
        return "$result" + "".join(f"[{part}]" for part in parts)
