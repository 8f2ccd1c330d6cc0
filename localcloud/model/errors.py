"""The one exception of the model: an error AWS would answer with."""


class AwsError(Exception):
    """An error answer: its code and message as the client sees them."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
