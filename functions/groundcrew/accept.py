"""What every part asks of an event before it does anything for it."""

from collections.abc import Set

from groundcrew.authorization import RequestDenied, authorize, denial, require_looked_after
from groundcrew.aws import bus, parameters
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.events import FACT, MWAA, Envelope, environment_of, validate
from groundcrew.observability import about
from groundcrew.settings import Settings
from groundcrew.work import keeping


def accepted(envelope: Envelope, known: Set[tuple[str, str]], config: Settings) -> EnvironmentRef:
    """The environment that an event is about, if the event is valid and its sender may ask.

    Args:
        envelope: the event.
        known: source and type of the events that there is something to do for; the rules of ``template.yaml`` pass on
            no others.
        config: of the function.

    Raises:
        PermanentError: it is not; then nothing is done, and only a denied request is announced.
        TransientError: the announcement could not be made.
    """
    if (envelope.source, envelope.detail_type) not in known:
        raise PermanentError(
            f"there is nothing to do for {envelope.detail_type[:80]!r} of {envelope.source[:80]!r}",
            cause="UnknownEvent",
            remedy="Find out which rule sends it: those of template.yaml do not.",
        )
    if envelope.source != MWAA:
        validate(envelope)
    environment = environment_of(envelope)
    about(environment, envelope.correlation_id)
    try:
        authorize(envelope, environment, config.account, parameters.grants(config.region))
    except RequestDenied as error:
        with keeping():
            bus.announce([denial(envelope, environment, error)], bus=config.bus, region=config.region)
        raise
    require_looked_after(environment, config)
    return environment


def swept_policy(envelope: Envelope, part: str) -> str | None:
    """The policy that the sweep saw an environment's tag name for a part; what others say of tags is only a hint."""
    tags = envelope.detail.get("tags") or {} if envelope.source == FACT else {}
    return None if (name := tags.get(f"groundcrew:{part}")) in (None, "", "off") else str(name)
