"""The worker of the queue ``groundcrew-tokens``: an event about an environment → its token is fresh, or a rotation of
its binding is ordered.
"""

import time
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from groundcrew.accept import accepted, swept_policy
from groundcrew.aws import airflow, bus
from groundcrew.aws.queue import SqsQueue, send_in_turn
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment
from groundcrew.errors import NotFound, PermanentError
from groundcrew.events import FACT, MWAA, OBSERVED, REQUEST, STATUS_CHANGE, Envelope, Fact
from groundcrew.observability import count, logger, measure_hours, observed
from groundcrew.settings import Settings, settings
from groundcrew.work import keeping, refuse, work_through
from tokens import startup
from tokens.bind import Script
from tokens.facts import REQUESTED, bound, failed, planned
from tokens.look import Bindings, View, bound_to, view
from tokens.order import Order
from tokens.plan import Deliver, Refuse, as_detail
from tokens.settings import rotations_url
from tokens.startup import Bind

KNOWN = {(MWAA, STATUS_CHANGE), (FACT, OBSERVED), (REQUEST, REQUESTED)}
"""Source and type of the events that there is something to do for; the rules of ``template.yaml`` pass on no others."""


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work through a batch of messages; or, invoked with one request, answer with the plan made for it."""
    watch = Watch(settings())
    if "Records" in event:
        return work_through(event, watch.work, SqsQueue())
    seen = watch.look(Envelope.read(event))
    if seen is None:
        return {"plan": {"action": "nothing", "reason": "the environment is not bound, or is gone"}}
    return {
        "status": seen.environment.status,
        "place": str(seen.target),
        "hours_left": round(seen.hours_left, 2),
        "plan": as_detail(seen.plan),
    }


class Watch:
    """Looks at the environments of one invocation's messages."""

    def __init__(self, config: Settings) -> None:
        """``config``: of this function."""
        self._config = config
        self._roles = Roles(config.partition, config.region, "groundcrew-tokens")
        self._bindings = Bindings(config)

    def work(self, envelope: Envelope) -> None:
        """Look, then order, announce, or leave it."""
        seen = self.look(envelope)
        if seen is None:
            return
        logger.info("looked", hours_left=round(seen.hours_left, 2), **as_detail(seen.plan))
        script = self._script(seen)
        todo = self._script_plan(script, envelope) if script else None
        if envelope.dry_run or (not self._config.acts and (isinstance(seen.plan, Deliver) or isinstance(todo, Bind))):
            self._announce(planned(seen.ref, _name(seen.environment), seen.plan, seen.hours_left, todo))
            return
        for plan in (seen.plan, todo):
            if isinstance(plan, Refuse):
                self._refused(seen.environment, plan, seen.hours_left)
        if isinstance(seen.plan, Deliver):
            self._order(envelope, seen)
        if script and isinstance(todo, Bind):
            self._bind(script, todo, seen)

    def look(self, envelope: Envelope) -> View | None:
        """What there is to do about the token of the environment that an event is about; None if it has none.

        Raises:
            PermanentError: the event is not valid, or not the sender's to send; or the token cannot be looked after,
                which is announced.
        """
        ref = accepted(envelope, KNOWN, self._config)
        try:
            environment = airflow.get_environment(self._roles, ref)
        except NotFound:
            return None
        except PermanentError as error:
            if name := swept_policy(envelope, "tokens"):
                self._announce(failed(ref, name, error))
                count("TokensFailed")
            raise
        if bound_to(environment) is None:
            return None
        asked_at = envelope.time if _forced(envelope) else None
        try:
            binding = self._bindings.get(_name(environment))
            seen = view(binding, environment, self._roles, envelope.now, asked_at)
        except PermanentError as error:
            self._measure(envelope, 0.0)
            self._announce(failed(ref, environment.policy_name("tokens"), error))
            count("TokensFailed")
            raise
        self._measure(envelope, seen.hours_left)
        return seen

    def _script(self, seen: View) -> Script | None:
        """The startup script that an environment is to have, if its binding says so: one that will find a token."""
        binding = self._bindings.get(_name(seen.environment))
        if binding.startup_script == "keep" or isinstance(seen.plan, Refuse) or seen.hours_left <= 0:
            return None
        return Script.of(self._roles, seen.environment, binding, seen.target)

    @staticmethod
    def _script_plan(script: Script, envelope: Envelope) -> startup.Plan:
        """What is to be done about it; what is in its way must not be in the way of the token."""
        todo: startup.Plan
        try:
            todo = script.plan(envelope.now, forced=_forced(envelope))
        except PermanentError as error:
            todo = Refuse(error.cause, error.what, error.remedy)
        logger.info("startup script", **startup.as_detail(todo))
        return todo

    def _bind(self, script: Script, todo: Bind, seen: View) -> None:
        name, where = _name(seen.environment), f"s3://{seen.environment.bucket}/{script.key}"
        try:
            version = script.bind(todo)
        except PermanentError as error:
            self._announce(failed(seen.ref, name, error, seen.hours_left))
            count("TokensFailed")
            raise
        if version:
            count("StartupScriptsBound")
            self._announce(bound(seen.ref, name, where, version, todo.reason))

    def _order(self, envelope: Envelope, seen: View) -> None:
        order = Order(_name(seen.environment), envelope.id, envelope.time, seen.ref if _forced(envelope) else None)
        with keeping():
            send_in_turn(
                rotations_url(),
                order.as_message(self._config.account, self._config.region),
                group=order.binding,
                once=order.once(time.time()),
                region=self._config.region,
            )
        count("RotationsOrdered")

    def _refused(self, environment: Environment, refusal: Refuse, hours_left: float) -> None:
        self._announce(failed(environment.ref, _name(environment), refusal, hours_left))
        count("TokensFailed")
        refuse(PermanentError(refusal.reason, cause=refusal.cause, remedy=refusal.remedy))

    @staticmethod
    def _measure(envelope: Envelope, hours: float) -> None:
        """Once a sweep and environment; the alarm looks at the lowest."""
        if envelope.source == FACT:
            measure_hours("TokenHoursLeft", hours)

    def _announce(self, fact: Fact) -> None:
        with keeping():
            bus.announce([fact], bus=self._config.bus, region=self._config.region)


def _name(environment: Environment) -> str:
    return environment.policy_name("tokens") or ""


def _forced(envelope: Envelope) -> bool:
    return envelope.source == REQUEST and envelope.detail.get("force") is True
