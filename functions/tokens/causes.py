"""What is in the way of a token, by the cause that AWS names, with what to do about it."""

from groundcrew.errors import AccessDenied, NotFound, PermanentError

REMEDIES = {
    "NoSuchBucket": "Look for the environment's bucket: without it, no container of the environment starts either.",
    "KMS.DisabledException": "Enable the KMS key of the bucket, or give the bucket another.",
    "KMS.NotFoundException": "Give the bucket a KMS key that exists.",
    "ResourceNotFoundException": "Correct the binding: the domain, a repository or the secret does not exist there.",
    "ValidationException": "Correct the binding: CodeArtifact does not take what it says.",
}


def explained(error: PermanentError) -> PermanentError:
    """The same error with a remedy for those who look after tokens, if it has none."""
    if error.cause == "SpokeRoleUnavailable" and "groundcrew-binder" not in error.what:
        return error
    if isinstance(error, AccessDenied):
        remedy = _permission(error.what)
    else:
        remedy = error.remedy or REMEDIES.get(error.cause, "")
    kind = NotFound if isinstance(error, NotFound) else PermanentError
    return kind(error.what, cause=error.cause, remedy=remedy)


def _permission(what: str) -> str:
    if what.startswith("airflow:UpdateEnvironment") or "/groundcrew/startup/" in what or "groundcrew-binder" in what:
        return "Deploy the spoke with BindsStartupScripts=true, and ExecutionRoleArns naming the execution role."
    if what.startswith(("codeartifact:", "sts:")):
        return "Let the domain's and the repositories' policies admit the hub's role groundcrew-tokens-minter-<Region>."
    if what.startswith("secretsmanager:"):
        return "Name a secret below groundcrew/tokens/ in an account with the spoke stack."
    if what.startswith("s3:"):
        return "Let the bucket's policy, and its KMS key's, admit the spoke's role groundcrew-courier-<Region>."
    return "Update the stack that has the role; then look for a service control policy."
