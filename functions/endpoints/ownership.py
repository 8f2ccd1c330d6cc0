"""What is ours: the tags that say so, and the only test of it."""

from dataclasses import dataclass

from groundcrew.network import SecurityGroup, VpcEndpoint

ENVIRONMENT, PURPOSE, STACK, QUEUE = (
    "groundcrew:environment",
    "groundcrew:purpose",
    "groundcrew:stack",
    "groundcrew:queue",
)

MANAGE = "groundcrew:manage"
"""The tag by which an owner lets Groundcrew manage the policy of an SQS endpoint: ``groundcrew:manage=policy``."""


@dataclass(frozen=True, slots=True)
class Owner:
    """This stack, in this partition."""

    stack_tag: str
    partition: str

    def tags(self, arn: str, purpose: str) -> dict[str, str]:
        """The tags of everything made for an environment."""
        return {ENVIRONMENT: arn, PURPOSE: purpose, STACK: self.stack_tag}

    def made(self, resource: VpcEndpoint | SecurityGroup) -> bool:
        """Whether this stack made a resource, for whichever environment."""
        return resource.tags.get(STACK) == self.stack_tag

    def owns(self, resource: VpcEndpoint | SecurityGroup, arn: str) -> bool:
        """Whether a resource is ours, for that environment."""
        return self.made(resource) and resource.tags.get(ENVIRONMENT) == arn
