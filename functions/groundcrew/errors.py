"""The two families of errors, and what each makes a worker do.

::

    GroundcrewError
    ├── TransientError          the message stays in its queue and is tried again, then goes to the dead-letter queue
    └── PermanentError          trying again cannot help: recorded, counted, announced with the remedy
        ├── AccessDenied        a permission, a trust policy or an organization's policy is in the way
        ├── NotFound            AWS says that the thing does not exist
        └── AlreadyExists       somebody was faster, or the name is taken
"""


class GroundcrewError(Exception):
    """Says what happened, where, and what to do about it."""

    def __init__(self, what: str, *, cause: str = "Unexpected", remedy: str = "") -> None:
        """Keep the sentence for people, ``cause`` (one CamelCase word) for machines and the remedy for both."""
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.remedy = remedy


class TransientError(GroundcrewError):
    """Throttled, unavailable, or changed by somebody else meanwhile: try again later."""


class PermanentError(GroundcrewError):
    """A person has to change something first."""


class AccessDenied(PermanentError):
    """The call was refused by an identity policy, a trust policy or an organization's policy."""


class NotFound(PermanentError):
    """The thing asked for does not exist in that account and Region."""


class AlreadyExists(PermanentError):
    """The thing to be made exists, or its name is taken."""
