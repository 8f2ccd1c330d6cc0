"""The context object that Lambda passes to a function with its event."""

from aws_lambda_powertools.utilities.typing import LambdaContext


class Context(LambdaContext):
    _function_name = "groundcrew"
    _memory_limit_in_mb = 512
    _invoked_function_arn = "arn:aws:lambda:us-east-1:111111111111:function:groundcrew"
    _aws_request_id = "00000000-0000-4000-8000-000000000000"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """As long as a function can run: nothing here takes time."""
        return 900_000
