"""The private names of ministack that the hooks replace or call, with the signatures they rely on.

An upgrade of ministack that moves one of them fails here, with its name.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
VERSION = "1.5.33"

# module -> name -> parameters, as inspect.signature prints them without annotations and defaults; None: not a function
NAMES: dict[str, dict[str, str | None]] = {
    "app": {
        "SERVICE_HANDLERS": None,
        "_reset_all_state": "",
        "_routing_params": "method, path, headers, body, query_params",
        "app": "scope, receive, send",
    },
    "core.concurrency": {"esm_wake": None, "spawn_background": "fn, *args, thread_name, **kwargs"},
    "core.iam_actions": {
        "access_denied_response": "service, action, principal_arn, request_id, *, error_code, message, headers, "
        "resource_arn, explicit_deny, resource_policy_arn",
        "extract_iam_action": "service, method, path, headers, body, query_params",
        "extract_resource_arn": "service, method, path, headers, body, query_params, region, account_id",
    },
    "core.iam_evaluator": {
        "_gather_role_policies": "role_name, account_id",
        "_permissions_boundary": "store, name, account_id",
        "_principal_matches": "principal, caller_arn",
        "_resolve_condition_key": "key, ctx",
        "_resource_matches": "resource_arn, resources, not_resources",
        "caller_arn": "",
        "check_credentials": "access_key_id, service",
        "combine_resource_policy": "identity, ctx, policy, owner_account, required, limits",
        "enforce": "access_key_id, iam_action, service, region, resource_arn, service_context",
        "evaluate": "ctx, policies, *limits",
        "evaluate_resource_policy": "doc, ctx, service, named_only, direct_only",
        "evaluate_trust_policy": "trust_doc, caller_arn, ctx",
        "resolve_principal": "access_key_id, account_id, credential",
        "resource_policy_allows": "raw_policy, ctx, same_account",
    },
    "core.lambda_runtime": {"reset": ""},
    "core.router": {"SERVICE_PATTERNS": None},
    "services.cloudformation": {
        "_ACTION_HANDLERS": None,
        "_stacks": None,
        "handle_request": "method, path, headers, body, query_params",
    },
    "services.cloudformation.engine": {
        "_evaluate_conditions": "template, params",
        "_parse_template": "template_body",
    },
    "services.cloudformation.handlers": {
        "_create_stack": "params",
        "_delete_stack": "params",
        "_missing_capabilities": "given, required",
        "_required_iam_capabilities": "template",
        "_resolve_stack": "stack_name",
        "_uses_macro": "template",
    },
    "services.cloudformation.provisioners": {
        "_RESOURCE_HANDLERS": None,
        "_lambda_function_for_cfn_ref": "function_ref",
        "_physical_name": "stack_name, logical_id, *, lowercase, max_len, seeded",
    },
    "services.cloudwatch": {
        "_alarms": None,
        "_calc_stats": "points",
        "_delete_alarms": "params, cbor_data, is_cbor, is_json",
        "_dims_key": "dims",
        "_dispatch_alarm_actions": "alarm, old_state, new_state, reason",
        "_evaluate_alarm": "alarm",
        "_evaluate_all_alarms": "",
        "_evaluate_parent_alarms": "child, seen",
        "_metrics": None,
        "_put_composite_alarm": "params, cbor_data, is_cbor, is_json",
        "_record_history": "alarm_name, old_state, new_state, reason, alarm_type, reason_data",
        "_stat_value": "stats, stat_name, points",
        "record_metric": "namespace, metric_name, value, unit, dimensions",
    },
    "services.cloudwatch_logs": {"_log_groups": None},
    "services.cloudformation.stacks": {"_runs_on_worker_thread": "resource_type"},
    "services.ec2": {
        "_ACTION_MAP": None,
        "_DEFAULT_VPC_ID": None,
        "_delete_subnet": "p",
        "_delete_vpc": "p",
        "_route_tables": None,
        "_subnets": None,
        "_tags": None,
        "_vpcs": None,
    },
    "services.eventbridge": {
        "_archive_event": "event, view",
        "_create_archive": "data",
        "_delete_archive": "data",
        "_dispatch_event": "event, view",
        "_dispatch_to_event_bus": "spec, event, rule, event_path, target_input_payload",
        "_dispatch_to_lambda": "arn, payload",
        "_dispatch_to_sns": "arn, payload",
        "_dispatch_to_sqs": "spec, payload, sqs_parameters",
        "_ensure_default_bus": "",
        "_event_bus_policies": None,
        "_event_buses": None,
        "_events_log_list": "",
        "_invoke_target": "target, event, rule, view",
        "_now_ts": "",
        "_pattern_event_view": "event",
        "_put_events": "data, allow_aws_source",
        "_put_permission": "data",
        "_put_targets": "data",
        "_remove_permission": "data",
        "_rule_key": "rule_name, bus_name",
        "_targets": None,
        "_tick_scheduled_rules": "",
        "start_scheduler": "",
    },
    "services.iam": {"_roles": None},
    "services.lambda_svc": {
        "_account_region_from_function_config": "config",
        "_create_esm": "data",
        "_create_function": "data",
        "_emit_lambda_logs": "func, request_id, log_text, error, duration_ms, *, log_source",
        "_emit_lambda_metrics": "function_name, duration_ms, error, throttle",
        "_execute_function": "func, event",
        "_execute_function_dispatch": "func, config, event, request_id, started",
        "_execution_record_for_config": "func, config",
        "_extract_zip_preserving_mode": "zf, dest_dir",
        "_function_config_scope_mismatch": "config",
        "_get_func_record_for_ref": "function_ref",
        "_provided_code_lock": None,
        "_provided_runtime_code_dir": "code_zip",
        "_provided_worker_env": "config, code_dir, port",
        "_resolve_layer_zip": "attachment",
        "_runtime_env_vars": "config",
        "_update_config": "name, data",
        "_xray_trace_id_for_invocation": "config, inbound_trace_header",
        "execution_credentials": "config",
        "function_policy_for_arn": "resource_arn",
        "invoke_async_with_retry": "func, event",
    },
    "services.mwaa": {"handle_request": "method, path, headers, body, query_params"},
    "services.scheduler": {"_tick_schedules": "", "start_scheduler": ""},
    "services.sns": {
        "_deliver_to_sqs": None,
        "publish_internal": "topic_arn, message, subject, *, message_structure, message_attributes, "
        "message_group_id, message_deduplication_id",
        "topic_policy_for_arn": "topic_arn",
    },
    "services.sqs": {
        "_Err": None,
        "_collect_msgs": "q, max_n, vis_timeout",
        "_dlq_sweep": "q",
        "_expire_retained": "q",
        "_HANDLERS": None,
        "_act_send_message": "data, qurl",
        "_ensure_msg_fields": "m",
        "_get_q": "url, action",
        "_md5_msg_attrs": "attrs",
        "_queue_by_arn": "arn",
        "_queues": None,
        "_queues_lock": None,
        "_refresh_counts": "q",
        "queue_delay": "q",
    },
    "services.sts": {
        "_error": None,
        "_p": None,
        "_sessions": None,
        "handle_request": "method, path, headers, body, query_params",
        "register_session": "access_key, session",
    },
}

LOOK = """
import importlib, importlib.metadata, inspect, json, sys

def signature(value):
    if not inspect.isfunction(value):
        return None
    words = []
    for parameter in inspect.signature(value).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not any(word.startswith("*") for word in words):
            words.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        words.append(stars + parameter.name)
    return ", ".join(words)

found = {"version": importlib.metadata.version("ministack")}
for module, names in json.load(sys.stdin).items():
    loaded = importlib.import_module("ministack." + module)
    found[module] = {name: signature(getattr(loaded, name)) if hasattr(loaded, name) else "missing" for name in names}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, str | None]]:
    python = os.environ.get("LOCALCLOUD_CLOUD_PYTHON") or ROOT / ".tools/cloud/bin/python"
    wanted = json.dumps({module: list(names) for module, names in NAMES.items()})
    looked = subprocess.run([python, "-c", LOOK], input=wanted, capture_output=True, text=True, check=True)
    return dict(json.loads(looked.stdout.splitlines()[-1]))


def test_the_version_is_the_pinned_one(found: dict[str, object]) -> None:
    assert found["version"] == VERSION


@pytest.mark.parametrize("module", NAMES)
def test_hooked_names_have_their_signatures(found: dict[str, dict[str, str | None]], module: str) -> None:
    # callables whose own signature is of no interest are None in NAMES
    wanted = {name: signature for name, signature in NAMES[module].items() if signature is not None}
    assert {name: found[module][name] for name in wanted} == wanted
    assert "missing" not in [found[module][name] for name in NAMES[module]]
