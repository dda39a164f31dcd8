"""References from one command of a v3 batch to the answer of an earlier one; the batch itself is built elsewhere."""

from __future__ import annotations

from b24oauth.errors import InvalidParamsError

__all__ = ["BatchRefV3"]

_INVALID_PATH = "B24OAUTH_BATCH_REF_V3_INVALID_PATH"
_INVALID_REF_ARRAY = "B24OAUTH_BATCH_REF_V3_INVALID_REF_ARRAY"


class BatchRefV3:
    """Builds the markers that a v3 portal replaces by parts of earlier answers.

    Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
    """

    @staticmethod
    def ref(path: str) -> dict[str, str]:
        """Stand for one value of an earlier answer.

        Args:
            path: Alias of the command and the way to the value, such as "task.item.id".

        Returns:
            The marker `{"$ref": path}`.

        Raises:
            InvalidParamsError: The path is empty or not a string.
        """
        return {"$ref": _checked(path, "ref")}

    @staticmethod
    def ref_array(path: str) -> dict[str, str]:
        """Stand for one field of every row of an earlier answer.

        Args:
            path: Alias of the command and the field, such as "tasks.id".

        Returns:
            The marker `{"$refArray": path}`.

        Raises:
            InvalidParamsError: The path is empty, not a string, or names no field.
        """
        if "." in _checked(path, "ref_array"):
            return {"$refArray": path}
        message = 'BatchRefV3.ref_array: path must contain a dot ("alias.field"): the field is collected from each item'
        raise InvalidParamsError(message, code=_INVALID_REF_ARRAY)


def _checked(path: object, method: str) -> str:
    if isinstance(path, str) and path.strip():
        return path
    message = f'BatchRefV3.{method}: path must be a non-empty dotted string (e.g. "tasks.id")'
    raise InvalidParamsError(message, code=_INVALID_PATH)
