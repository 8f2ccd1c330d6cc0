"""Configuration options may hold secrets: they reach nothing that Groundcrew writes, whatever happens."""

import json

import pytest

from localcloud.inprocess.faults import Killed, Kind
from tests.support.stage import HUB, SPOKE, Stage, request, status_event

SECRET = "correct-horse-battery-staple"


@pytest.mark.parametrize("kind", [None, *Kind], ids=lambda kind: kind.name if kind else "no fault")
def test_a_planted_secret_reaches_no_log_event_tag_or_exception(
    stage: Stage, kind: Kind | None, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    environment.settings["AirflowConfigurationOptions"] = {"smtp.smtp_password": SECRET}
    raised = []
    for nth in range(1, 16):
        stage.aws.faults.clear()
        if kind:
            stage.aws.faults.add(kind, nth=nth)
        events = status_event(environment), request(environment, dry_run=True), "not json"
        for act, given in ((stage.deliver, events), (stage.sweep, ())):
            try:
                act(*given)
            except (Exception, Killed) as error:
                raised.append(repr(error) + repr(error.__cause__) + repr(error.__context__))
    asked = [entry.attempt.params for entry in stage.aws.journal]
    tags = [endpoint.tags for endpoint in stage.aws.endpoints()] + [group.tags for group in stage.aws.groups(HUB)]
    written = [stage.log.getvalue(), *capfd.readouterr(), *raised, json.dumps([asked, stage.aws.events, tags])]
    assert stage.log.getvalue()
    assert SECRET in json.dumps(environment.record())
    assert not any(SECRET in text for text in written)
