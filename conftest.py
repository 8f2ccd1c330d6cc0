"""Loads the fixtures that all tests share; see each module."""

pytest_plugins = (
    "localcloud.testing.airflows",
    "localcloud.testing.served",
    "tests.support.figures",
    "tests.support.tiers",
)
