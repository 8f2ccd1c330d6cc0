"""What is ours: the tags that say so, checked against what we make, and the only test of it."""

from dataclasses import dataclass

from groundcrew.network import SecurityGroup, VpcEndpoint

ENVIRONMENT, PURPOSE, STACK = "groundcrew:environment", "groundcrew:purpose", "groundcrew:stack"

QUEUE = "groundcrew:queue"
"""On what is made for an environment: its Celery queue."""

MANAGE = "groundcrew:manage"
"""The tag by which an owner lets Groundcrew manage the policy of an SQS endpoint: ``groundcrew:manage=policy``."""

MWAA_MANAGED = "AmazonMWAAManaged"
"""MWAA's own tag on what it makes."""

GROUP_PREFIX = "groundcrew-"


@dataclass(frozen=True, slots=True)
class Owner:
    """This stack, in this partition."""

    stack_tag: str
    partition: str

    def tags(self, arn: str, purpose: str) -> dict[str, str]:
        """The tags of everything made for an environment."""
        return {ENVIRONMENT: arn} | self.shared_tags(purpose)

    def shared_tags(self, purpose: str) -> dict[str, str]:
        """The tags of what is made for all environments of a VPC."""
        return {PURPOSE: purpose, STACK: self.stack_tag}

    def service(self, region: str, name: str) -> str:
        """The endpoint service of an AWS service; China's carry a prefix (``VpcEndpointServiceName`` of botocore
        ``mwaa``).
        """
        return f"{'cn.' if self.partition == 'aws-cn' else ''}com.amazonaws.{region}.{name}"

    def made(self, resource: VpcEndpoint | SecurityGroup) -> bool:
        """Whether this stack made a resource, for whomever.

        Tags can be written by others, so a resource must also be of a kind that Groundcrew makes: nobody can have an
        endpoint for another service, or a group of another name, deleted by tagging it.
        """
        if resource.tags.get(STACK) != self.stack_tag or MWAA_MANAGED in resource.tags:
            return False
        if isinstance(resource, SecurityGroup):
            return resource.name.startswith(GROUP_PREFIX)
        if resource.tags.get(PURPOSE) == "sqs":
            return resource.service.endswith(".sqs")
        return "com.amazonaws.vpce." in resource.service

    def owns(self, resource: VpcEndpoint | SecurityGroup, arn: str) -> bool:
        """Whether a resource is ours, for that environment."""
        return self.made(resource) and resource.tags.get(ENVIRONMENT) == arn
