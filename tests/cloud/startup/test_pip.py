"""A real pip, in MWAA's order: the startup script, then the requirements."""

import pytest

from localcloud.testing.served import HUB
from localcloud.wheels import wheel
from tests.cloud.startup.conftest import REGION, Shop

REQUIREMENTS = "acme-tool\n"


def test_pip_installs_until_the_token_expires_and_again_after_the_next_one(shop: Shop) -> None:
    shop.deliver(shop.mint())
    container = shop.container()
    started = container.start(shop.script())
    installed = container.install(REQUIREMENTS, "acme-tool==1.0\n")
    assert (installed.status, container.version("acme-tool")) == (0, "1.0"), installed.log
    shop.no_token_in(container, started, installed)

    shop.cloud.control.advance(43_201, step=43_201)
    container = shop.container(ahead=-43_201)  # its clock is behind, so it takes the token for good
    started = container.start(shop.script())
    assert started.status == 0
    refused = container.install(REQUIREMENTS)
    assert (refused.status, container.version("acme-tool")) == (1, None)
    assert "401" in refused.log
    shop.no_token_in(container, started, refused)

    shop.deliver(shop.mint())
    container = shop.container()
    started = container.start(shop.script())
    installed = container.install(REQUIREMENTS)
    assert (installed.status, container.version("acme-tool")) == (0, "1.0"), installed.log
    shop.no_token_in(container, started, installed)


def test_without_the_script_pip_knows_no_index_of_ours(shop: Shop) -> None:
    container = shop.container()
    refused = container.install(REQUIREMENTS)
    assert (refused.status, container.version("acme-tool")) == (1, None)
    assert container.install("ordinary\n").status == 0


def test_constraints_of_the_requirements_win_over_mwaas(shop: Shop) -> None:
    shop.cloud.control.publish(
        wheel(shop.folder, "acme-tool", "1.1"), domain=shop.domain, owner=HUB, region=REGION, repository="python"
    )
    shop.deliver(shop.mint())
    container = shop.container()
    container.start(shop.script())
    container.install(REQUIREMENTS, "acme-tool==1.0\n")
    assert container.version("acme-tool") == "1.0"
    container.install(f"{REQUIREMENTS}# -c none\n", "acme-tool==1.0\n")
    assert container.version("acme-tool") == "1.1"


@pytest.mark.parametrize(("index", "expected"), [("index-url", "1.0"), ("extra-index-url", "99.0")])
def test_a_higher_version_in_public_is_taken_only_with_an_extra_index(shop: Shop, index: str, expected: str) -> None:
    """Dependency confusion: pip treats all its indexes alike and takes the highest version."""
    shop.cloud.control.publish_publicly(wheel(shop.folder, "acme-tool", "99.0"))
    found = shop.mint()
    if index == "extra-index-url":
        found |= {"index_url": None, "extra_index_urls": [shop.index]}
    shop.deliver(found)
    container = shop.container()
    container.start(shop.script())
    installed = container.install(REQUIREMENTS)
    assert (installed.status, container.version("acme-tool")) == (0, expected), installed.log


def test_the_weakest_delivery_is_a_line_of_the_requirements(shop: Shop) -> None:
    found = shop.mint()
    container = shop.container()
    line = f"--index-url {found['index_url'].replace('https://', 'https://aws:' + found['token'] + '@')}\n"
    (container.home / "codeartifact.txt").write_text(line)
    installed = container.install(f"-r {container.home}/codeartifact.txt\n{REQUIREMENTS}")
    assert (installed.status, container.version("acme-tool")) == (0, "1.0"), installed.log


def test_a_script_that_shows_the_token_is_found_out(shop: Shop) -> None:
    """The control of ``no_token_in``: an exported token, a printed one, and one in another file."""
    shop.deliver(shop.mint())
    token = shop.tokens[0]
    for leak in (f"export PIP_INDEX_URL={token}", f"echo {token}", f'echo {token} > "$HOME/.netrc"'):
        container = shop.container()
        started = container.start(shop.script(after=leak))
        with pytest.raises(AssertionError):
            shop.no_token_in(container, started)
