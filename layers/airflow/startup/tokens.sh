# shellcheck shell=sh
# Groundcrew: pip in this container uses CodeArtifact, with the token that was delivered to the environment's bucket.
# To be sourced. MWAA's own wrapper sources the startup script with `exit` aliased, and passes on to all tasks what is
# exported here: only PIP_CONFIG_FILE is.

groundcrew_home="${HOME:-/usr/local/airflow}/.groundcrew"
if command python3 - "${GROUNDCREW_SETTINGS:-}" "$groundcrew_home" <<'GROUNDCREW_PYTHON'
import sys

# Nothing is imported from the current directory, where DAG authors may write. That is the option -P, which Python 3.10
# refuses; -I would leave out PYTHONPATH and the user's site-packages, where an image may have boto3.
if sys.path[:1] == [""]:
    del sys.path[0]

import configparser
import datetime
import json
import os
import time

ENOUGH = 600  # seconds: MWAA gives an installation nine minutes
MINTED = 3600  # seconds that a token lives which is asked for here
INDEX_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX")


class NoTokenError(ValueError):
    """There is no token that could be used; says why, and nothing secret."""


def main(text, home):
    settings = json.loads(text)
    os.makedirs(home, mode=0o700, exist_ok=True)
    os.chmod(home, 0o700)
    pip, script = os.path.join(home, "pip.conf"), os.path.join(home, "startup.sh")
    before = os.environ.get("PIP_CONFIG_FILE", "")
    kept = read_configuration(before)
    for path in (pip, script):
        if os.path.lexists(path):
            os.remove(path)
    component = os.environ.get("MWAA_AIRFLOW_COMPONENT") or os.environ.get("MWAA__AIRFLOW__COMPONENT")
    if component == "webserver" and settings["private_web_server"]:
        say("nothing is changed on a private web server")
        if before == pip:
            write(pip, kept)
    else:
        try:
            configure(settings, pip, kept)
        except NoTokenError as error:
            say(f"no token: {error}")
            if settings["on_missing"] != "continue":
                return 1
            say("pip stays as it was: on_missing is continue")
    if settings["then"]:
        fetch_script(settings["then"], script)
    return 0


def configure(settings, path, kept):
    import botocore.exceptions

    refusals = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, KeyError, TypeError, ValueError)
    try:
        found = delivered(settings["object"])
        left = seconds_left(found)
        if left >= ENOUGH:
            return use(found, path, kept)
        reason = f"the delivered one has {left:.0f} s left" if left > 0 else "the delivered one has expired"
    except refusals as error:
        found, left, reason = None, 0, plain(error)
    if settings["fallback"]:
        say(f"{reason}; asking CodeArtifact")
        try:
            return use(minted(settings["fallback"]), path, kept)
        except refusals as error:
            reason = f"{reason}, and CodeArtifact gives none: {plain(error)}"
    if left > 0:
        say(reason)
        return use(found, path, kept)
    raise NoTokenError(reason)


def delivered(place):
    body = client("s3").get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
    found = json.loads(body)
    if found["version"] != 1:
        raise NoTokenError(f"the object has version {found['version']}, not 1")
    return found


def minted(wanted):
    packages = client("codeartifact", wanted["region"])
    domain = {"domain": wanted["domain"], "domainOwner": wanted["owner"]}
    answer = packages.get_authorization_token(**domain, durationSeconds=MINTED)
    urls = [
        packages.get_repository_endpoint(**domain, repository=name, format="pypi")["repositoryEndpoint"] + "simple/"
        for name in wanted["repositories"]
    ]
    first = urls.pop(0) if wanted["index"] == "index-url" else None
    expires = answer["expiration"].isoformat()
    return {
        "token": answer["authorizationToken"], "expires_at": expires, "index_url": first, "extra_index_urls": urls,
    }


def use(found, path, kept):
    if "global" not in kept:
        kept["global"] = {}
    for option in ("index-url", "extra-index-url"):
        kept["global"].pop(option, None)
    if found["index_url"]:
        kept["global"]["index-url"] = with_token(found["index_url"], found["token"])
    if found["extra_index_urls"]:
        more = [with_token(url, found["token"]) for url in found["extra_index_urls"]]
        kept["global"]["extra-index-url"] = "\n" + "\n".join(more)
    write(path, kept)
    shown = [url for url in [found["index_url"], *found["extra_index_urls"]] if url]
    say(f"pip uses {', '.join(shown)} until {found['expires_at']}")
    for name in INDEX_VARIABLES:
        if os.environ.get(name):
            say(f"{name} is set, and pip heeds it before its configuration")


def with_token(url, token):
    scheme, _, rest = url.partition("://")
    if scheme != "https":
        raise NoTokenError("the URL of an index is not https")
    return f"https://aws:{token}@{rest}"


def read_configuration(path):
    found = configparser.RawConfigParser()
    if path and os.path.isfile(path):
        found.read(path)
    return found


def write(path, configuration):
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w") as file:
        configuration.write(file)


def fetch_script(place, path):
    version = {"VersionId": place["version"]} if place["version"] else {}
    answer = client("s3").get_object(Bucket=place["bucket"], Key=place["key"], **version)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(answer["Body"].read())


def client(service, region=None):
    import botocore.config
    import botocore.session

    session = botocore.session.get_session()
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    patience = botocore.config.Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3})
    return session.create_client(service, region_name=region, config=patience)


def seconds_left(found):
    return datetime.datetime.fromisoformat(found["expires_at"]).timestamp() - time.time()


def plain(error):
    """What the SDK and this script say is fit to be shown; any other message may quote what was read."""
    ours = isinstance(error, NoTokenError) or type(error).__module__.startswith("botocore.")
    return " ".join(str(error).split()) if ours else type(error).__name__


def say(line):
    print(f"groundcrew: {line}", flush=True)


if __name__ == "__main__":
    try:
        status = main(*sys.argv[1:])
    except Exception as error:
        say(plain(error))
        status = 1
    sys.exit(status)
GROUNDCREW_PYTHON
then
    if [ -f "$groundcrew_home/pip.conf" ]; then
        PIP_CONFIG_FILE="$groundcrew_home/pip.conf"
        export PIP_CONFIG_FILE
    fi
else
    echo "groundcrew: the container does not start"
    command exit 1
fi
unset GROUNDCREW_SETTINGS
if [ -f "$groundcrew_home/startup.sh" ]; then
    # shellcheck source=/dev/null
    . "$groundcrew_home/startup.sh"
fi
unset groundcrew_home
