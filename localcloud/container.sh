#!/bin/sh
# Starts a container's environment like MWAA's images do: sources the startup script $1 with `exit` aliased, and leaves the
# resulting environment in the file $2 for every process to come.
# https://github.com/aws/amazon-mwaa-docker-images (images/airflow/3.0.6/bin/airflow-user/execute-user-startup-script)
dump=$2

leave() {
    python3 -c 'import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], "w"))' "$dump"
    unalias exit
    exit
}

if [ -n "${BASH_VERSION-}" ]; then
    # shellcheck disable=SC3044 # bash, here
    shopt -s expand_aliases
fi
# shellcheck disable=SC2262 # for the script that is sourced, not for this one
alias exit=leave
# shellcheck source=/dev/null
. "$1"

leave
