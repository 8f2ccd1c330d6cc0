"""Step ``tokens``: a real pip installs from CodeArtifact until the token expires, and again after the next rotation."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.container import Container, credentials, startup_script
from localcloud.demo.environments import Watched
from localcloud.demo.facts import Facts
from localcloud.demo.report import NotAsExpected, Step
from localcloud.demo.setting import LOOK_SECONDS, Setting
from localcloud.demo.view import DIM, View
from localcloud.fleet import Environment
from localcloud.installation import HUB, REGION
from localcloud.wheels import wheel

PACKAGE, VERSION, SMUGGLED = "acme-tool", "1.0", "99.0"
BINDING = "acme"
SCHEDULE = "groundcrew-sweep"
SWEEP_SECONDS, TOGETHER_SECONDS, LIFE_SECONDS = 900.0, 65.0, 43_200.0
PATIENCE_SECONDS = 60.0
TRUST = {"Effect": "Allow", "Principal": {"Service": "airflow-env.amazonaws.com"}, "Action": "sts:AssumeRole"}


@dataclass
class Stage:
    """The environment, its bucket and its execution role, and a folder for its containers."""

    setting: Setting
    environment: Environment
    folder: Path
    bucket: str
    role: str
    public: str
    facts: Facts
    containers: int = 0

    @property
    def key(self) -> str:
        """Where the token is."""
        return f"groundcrew/tokens/{self.environment.name}.json"

    def container(self) -> Container:
        """A new container, as a scale-out brings one; its clock is the cloud's."""
        self.containers += 1
        home = self.folder / f"container-{self.containers}"
        home.mkdir(parents=True)
        cloud = self.setting.cloud
        variables = credentials(cloud.session(self.role), REGION, cloud.endpoint)
        authority, clock = cloud.status()["authority"], cloud.now() - time.time()
        return Container(home, variables, self.public, authority, component="worker", clock=clock)


def rotate(setting: Setting, watched: list[Watched], folder: Path, view: View, step: Step) -> None:
    """Bind an environment, install, let the token expire while no sweep is made, and let the sweep make it good."""
    environment = next(one.environment for one in watched if one.environment.name == "reports")
    stage = _prepare(setting, environment, folder)
    step.facts["rotations"] = [_rotated(stage, view, TOGETHER_SECONDS)]
    first = stage.container()
    _install(stage, first, view, step, works=True)
    _hold_sweeps(setting, "DISABLED")
    setting.cloud.advance(LIFE_SECONDS + 60, step=LIFE_SECONDS + 60)
    view.say(f"{view.elapsed}   12 hours later, without a sweep in between, the token has expired")
    _install(stage, first, view, step, works=False)
    _hold_sweeps(setting, "ENABLED")
    step.facts["rotations"].append(_rotated(stage, view, SWEEP_SECONDS))
    _install(stage, stage.container(), view, step, works=True)


def _prepare(setting: Setting, environment: Environment, folder: Path) -> Stage:
    """A domain in the hub's account with a package; the same name, higher, in public; the bucket; the binding."""
    packages = setting.aws.client("codeartifact", HUB, REGION)
    packages.create_domain(domain=BINDING)
    packages.create_repository(domain=BINDING, repository="python")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    own, other = wheel(folder, PACKAGE, VERSION), wheel(folder, PACKAGE, SMUGGLED)
    setting.cloud.publish(own, domain=BINDING, owner=HUB, region=REGION, repository="python")
    public = setting.cloud.publish_publicly(other)
    account = environment.account
    s3, bucket = setting.aws.client("s3", account, REGION), f"airflow-{account}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    role = _execution_role(setting, account, bucket)
    facts = Facts(setting.aws, "demo-tokens", ("groundcrew",), "Token Rot")
    binding = {"domain": BINDING, "owner": HUB, "repositories": ["python"], "accounts": [account]}
    setting.aws.client("ssm", HUB, REGION).put_parameter(
        Name=f"/groundcrew/tokens/{BINDING}", Type="String", Value=json.dumps(binding)
    )
    mwaa = setting.aws.client("mwaa", account, REGION)
    mwaa.tag_resource(ResourceArn=environment.arn, Tags={"groundcrew:tokens": BINDING})
    request = {"environment": environment.ref, "request_id": "demo-token"}
    entry = {
        "Source": "groundcrew.request",
        "DetailType": "Token Rotation Requested",
        "Detail": json.dumps(request),
    }
    setting.aws.client("events", account, REGION).put_events(Entries=[entry])
    return Stage(setting, environment, folder, bucket, role, public, facts)


def _execution_role(setting: Setting, account: str, bucket: str) -> str:
    iam = setting.aws.client("iam", account)
    trust = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
    role = str(iam.create_role(RoleName="airflow-containers", AssumeRolePolicyDocument=trust)["Role"]["Arn"])
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    reads = {"Effect": "Allow", "Action": ["s3:GetObject*", "s3:List*"], "Resource": resources}
    document = json.dumps({"Version": "2012-10-17", "Statement": [reads]})
    iam.put_role_policy(RoleName="airflow-containers", PolicyName="bucket", PolicyDocument=document)
    return role


def _rotated(stage: Stage, view: View, turn: float) -> dict[str, Any]:
    """Turn the clock as far as it needs, and wait for what is said of the rotation."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for fact in stage.facts.new():
            detail = fact["detail"]
            if fact["detail-type"] == "Token Rotation Failed":
                raise NotAsExpected(f"a token should have been delivered, but: {detail['evidence']}")
            if fact["detail-type"] == "Token Rotated":
                view.say(
                    f"{view.elapsed}   {fact['detail-type']}: {detail['reason']} {view.paint(detail['place'], DIM)}"
                )
                return {key: detail[key] for key in ("reason", "place", "expires_at", "hours_left", "verified")}
        stage.setting.cloud.advance(turn, step=turn)
        turn = TOGETHER_SECONDS
        time.sleep(LOOK_SECONDS)
    raise NotAsExpected(f"a token should have been delivered after {PATIENCE_SECONDS:.0f} s")


def _install(stage: Stage, container: Container, view: View, step: Step, *, works: bool) -> None:
    """Startup script (in a new container), then requirements; what was installed is held against ``works``."""
    if not (container.home / "startup.sh").exists():
        script = container.home / "startup.sh"
        script.write_text(startup_script(stage.bucket, stage.key))
        started = container.start(script)
        step.facts.setdefault("startup_seconds", round(started.seconds, 2))
        if started.exported is None:
            raise NotAsExpected(f"the container should have started, but:\n{started.log}")
    installed = container.install(f"{PACKAGE}\n")
    found = container.version(PACKAGE)
    step.facts.setdefault("installs", []).append({"status": installed.status, "version": found})
    if (installed.status, found) != ((0, VERSION) if works else (1, None)):
        raise NotAsExpected(f"pip should {'install' if works else 'refuse'} {PACKAGE}, but:\n{installed.log}")
    if any(token in installed.log for token in stage.setting.cloud.tokens()):
        raise NotAsExpected("pip's log should have no token in it")
    said = f"installs {PACKAGE} {found}, not {SMUGGLED} from the public index" if works else "is refused: 401"
    view.say(f"{view.elapsed}   pip in a container of {stage.environment.name} {said}")


def _hold_sweeps(setting: Setting, state: str) -> None:
    scheduler = setting.aws.client("scheduler", HUB, REGION)
    shown = scheduler.get_schedule(Name=SCHEDULE)
    keys = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    scheduler.update_schedule(**{key: shown[key] for key in keys if key in shown}, State=state)
