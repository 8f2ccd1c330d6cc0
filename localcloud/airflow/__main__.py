"""``python -m localcloud.airflow prepare VERSION``: migrate the database of a version that was just installed."""

import argparse
import sys

from localcloud.airflow.prepare import prepare


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m localcloud.airflow", description=__doc__)
    parser.add_argument("what", choices=["prepare"])
    parser.add_argument("version")
    arguments = parser.parse_args()
    prepare(arguments.version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
