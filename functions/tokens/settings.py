"""What the template tells the functions of this part, besides the settings of all."""

import os
from functools import cache

from groundcrew.settings import required


@cache
def rotations_url() -> str:
    """The queue that rotations are ordered on, read at first use.

    Raises:
        PermanentError: the variable is missing.
    """
    return required(os.environ, "GROUNDCREW_ROTATIONS_QUEUE")["GROUNDCREW_ROTATIONS_QUEUE"]


@cache
def minter_arn() -> str:
    """The role that tokens are asked for with, read at first use.

    Raises:
        PermanentError: the variable is missing.
    """
    return required(os.environ, "GROUNDCREW_TOKENS_MINTER")["GROUNDCREW_TOKENS_MINTER"]
