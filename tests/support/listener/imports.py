"""A script that sends changes of runs, and prints which modules were imported for it afterwards."""

IMPORTS = """
import os, sys
from groundcrew_listener.bus import Bus
from groundcrew_listener.environment import Environment
from tests.support.listener.runs import change
before = set(sys.modules)
print(Bus(Environment.here(), "3.3.1").put([change(conf={"a": "\u00e9"})] * 3))
os.environ["AWS_ENDPOINT_URL_EVENTBRIDGE"] = "http://127.0.0.1:1"
print(Bus(Environment.here(), "3.3.1").put([change()]))
print(sorted(set(sys.modules) - before))
"""
