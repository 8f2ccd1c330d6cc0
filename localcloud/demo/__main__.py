"""``python -m localcloud.demo [--keep]``: the main job, for real, on this machine.

Exit code 0 only if everything was seen to happen; .demo/report.json says what.
"""

import argparse
import io
import sys

from localcloud.__main__ import DIRECTORY, down
from localcloud.aws import SECRET
from localcloud.client import Client, ControlError
from localcloud.demo import cleanup, environments, exports, runs, setting, tokens
from localcloud.demo.report import NotAsExpected, Report
from localcloud.demo.view import GREEN, RED, View, table
from localcloud.deploy import DeployError
from localcloud.installation import HUB, REGION, SPOKES, log_tail

STEPS = ("deploy", "endpoints", "runs", "tokens", "exports", "cleanup", "teardown")
FUNCTIONS = {
    "cleanup": "groundcrew-cleanup-step",
    "exports": "groundcrew-exports-step",
    "runs": "groundcrew-runs",
    "tokens": "groundcrew-tokens-rotate",
}  # whose log explains a step


def main() -> int:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(prog="python -m localcloud.demo", description="Shows Groundcrew at work.")
    parser.add_argument("--keep", action="store_true", help="leave the local cloud running")
    keep = parser.parse_args().keep
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a locale without arrows
    view = View()
    report = Report(DIRECTORY / "report.json", STEPS)
    report.file.unlink(missing_ok=True)
    if down(DIRECTORY):
        view.say("Stopped the local cloud that was running.")
    (DIRECTORY / "server.log").unlink(missing_ok=True)
    airflows = runs.Airflows()
    try:
        _play(view, report, airflows)
    except KeyboardInterrupt:
        view.say("Interrupted.")
    except (NotAsExpected, DeployError, ControlError, RuntimeError) as error:
        view.say(view.paint(f"\n{report.steps[-1].name}: not as expected\n{error}", RED))
        _show_log(view, report)
    finally:
        report.write()
        if not keep:
            airflows.stop()
            down(DIRECTORY)
    _sum_up(view, report)
    if keep and (endpoint := report.fact("deploy", "endpoint")):
        view.say(_how_to_use(endpoint))
    return 0 if report.ok else 1


def _play(view: View, report: Report, airflows: runs.Airflows) -> None:
    view.say("Deploying the real templates with the real SAM CLI onto a local cloud of three accounts")
    with report.step("deploy") as step:
        place = setting.prepare(DIRECTORY, view, step, lambda cloud: airflows.begin(cloud, DIRECTORY))
    view.say("\nCreating three environments with customer-managed endpoints, through the MWAA API")
    with report.step("endpoints") as step:
        watched = environments.create(place, view, step)
    versions = environments.upstream_version(), environments.DOWNSTREAM_VERSION
    view.say("\nStarting a DAG in orders, on Airflow {}; its success starts one in reports, on {}".format(*versions))
    with report.step("runs") as step:
        airflows.attach(place.cloud, watched)
        runs.chain(place, airflows, watched, view, step)
    view.say(
        "\nBinding reports to a CodeArtifact repository: its containers install with a token that Groundcrew delivers"
    )
    with report.step("tokens") as step:
        tokens.rotate(place, watched, DIRECTORY / "containers", view, step)
    cleanup.give_past(airflows)
    view.say("\nExporting the metadata of orders, from inside its Airflow, and of reports, through its REST API")
    with report.step("exports") as step:
        exports.ask(place, airflows, watched, DIRECTORY / "exports", view, step)
    view.say(f"\nCleaning both metadata databases of what is older than {cleanup.KEPT_DAYS} days")
    with report.step("cleanup") as step:
        cleanup.clean(place, airflows, watched, view, step)
    view.say(f"\nDeleting {watched[0].environment.name}")
    with report.step("teardown") as step:
        environments.delete(place, view, step, watched)


def _show_log(view: View, report: Report) -> None:
    """The function's last words, if there is a function."""
    endpoint = report.fact("deploy", "endpoint")
    if endpoint is None:
        view.say(f"The cloud's own log is {DIRECTORY}/server.log.")
        return
    function = FUNCTIONS.get(report.steps[-1].name, "groundcrew-endpoints")
    view.say(f"\nThe last lines of the function {function}:")
    for line in log_tail(Client(endpoint), f"/aws/lambda/{function}"):
        view.say(f"  {line}")


def _sum_up(view: View, report: Report) -> None:
    rows = [
        [
            one["name"],
            one["account"],
            one["what"],
            one["status"],
            " + ".join(sorted(made["purpose"] for made in one["endpoints"])),
            f"{one['seconds_pending']:.1f} s",
            str(one["aws_calls"]),
        ]
        for one in report.fact("endpoints", "environments") or []
    ]
    view.say()
    if rows:
        head = ["environment", "account", "what", "status", "endpoints made", "in PENDING", "AWS calls"]
        for line in table(head, rows):
            view.say(line)
    if ran := report.fact("runs", "runs"):
        view.say()
        head = ["environment", "Airflow", "DAG", "run", "state", "took"]
        keys = ["environment", "airflow_version", "dag_id", "run_id", "state"]
        for line in table(
            head, [[*(str(one[key]) for key in keys), f"{one['duration_seconds']:.1f} s"] for one in ran]
        ):
            view.say(line)
    if name := report.fact("teardown", "environment"):
        gone = [report.fact("teardown", what) for what in ("endpoints_removed", "groups_removed")]
        view.say(f"\n{name} deleted: {gone[0]} endpoints and {gone[1]} group gone with it, its own group free to go")
    verdict = view.paint("All of it happened", GREEN) if report.ok else view.paint("It did not all happen", RED)
    view.say(f"{verdict}, in {report.seconds:.0f} s. {report.file}")


def _how_to_use(endpoint: str) -> str:
    return f"""
The cloud keeps running. To use it with the AWS CLI:

  export AWS_ENDPOINT_URL={endpoint} AWS_REGION={REGION} AWS_DISABLE_HOST_PREFIX_INJECTION=true
  export AWS_ACCESS_KEY_ID={SPOKES[0]} AWS_SECRET_ACCESS_KEY={SECRET}

  aws mwaa list-environments

The access key is the account: {HUB} is the hub, {" and ".join(SPOKES)} are participants.
Stop it with: make cloud-down"""


if __name__ == "__main__":
    sys.exit(main())
