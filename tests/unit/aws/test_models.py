from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import UnknownServiceError
from botocore.loaders import create_loader

from groundcrew.aws import session
from groundcrew.aws.models import Models

SERVICES = ("ec2", "events", "mwaa", "sqs", "ssm", "sts")


@pytest.mark.parametrize("service", SERVICES)
def test_models_are_those_that_botocore_reads(service: str) -> None:
    ours, theirs = Models(), create_loader()
    for kind in ("service-2", "paginators-1", "endpoint-rule-set-1"):
        assert ours.load_service_model(service, kind) == theirs.load_service_model(service, kind)


def test_services_are_those_that_botocore_knows() -> None:
    assert set(create_loader().list_available_services("service-2")) <= set(
        Models().list_available_services("service-2")
    )
    with pytest.raises(UnknownServiceError):
        Models().load_service_model("no-such-service", "service-2")


@pytest.fixture
def no_clients() -> Iterator[None]:
    """A function's process before its first client; nothing made here is kept for other tests."""
    for kept in (session._session, session._own_client):
        kept.cache_clear()
    yield
    for kept in (session._session, session._own_client):
        kept.cache_clear()


@pytest.mark.usefixtures("no_clients")
def test_threads_that_make_clients_at_once_read_a_model_once() -> None:
    read: list[str] = []
    load = Models.load_data_with_path

    def counted(models: Models, name: str) -> Any:
        read.append(name)
        return load(models, name)

    with mock.patch.object(Models, "load_data_with_path", counted), ThreadPoolExecutor(8) as pool:
        clients = list(pool.map(lambda _: session.own_client("sqs", "us-east-1"), range(8)))
    assert len(set(map(id, clients))) == 1
    assert sum(name.startswith("sqs/") and name.endswith("/service-2") for name in read) == 1
