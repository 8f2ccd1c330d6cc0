"""The one exception of the model: an error AWS would answer with."""


class AwsError(Exception):
    """An error answer: its code and message as the client sees them."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def not_found(code: str, what: str, name: str) -> AwsError:
    """EC2's usual wording for an id that does not exist or is not the caller's to see."""
    return AwsError(code, f"The {what} '{name}' does not exist")
