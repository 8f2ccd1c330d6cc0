"""botocore's service models, loaded once per process (EC2's takes about 130 ms)."""

from functools import cache

import botocore.loaders
from botocore.model import OperationModel, ServiceModel

LOADER = botocore.loaders.create_loader()
"""Caches what it loads; give it to botocore sessions to share it."""


@cache
def service(name: str) -> ServiceModel:
    """The newest model of a service, by botocore's name for it (``ec2``, ``mwaa``, ``sts``)."""
    return ServiceModel(LOADER.load_service_model(name, "service-2"), name)


@cache
def operation(service_name: str, name: str) -> OperationModel:
    """One operation's model; KeyError if the service has none of this name."""
    model = service(service_name)
    if name not in model.operation_names:
        raise KeyError(name)
    return model.operation_model(name)
