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
        "SERVICE_TO_IAM_NAMESPACE": None,
        "_BOTOCORE_SERVICE_MAP": None,
        "access_denied_response": "service, action, principal_arn, request_id, *, error_code, message, headers, "
        "resource_arn, explicit_deny, resource_policy_arn",
        "extract_iam_action": "service, method, path, headers, body, query_params",
        "s3_additional_checks": "method, path, headers, body, query_params",
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
    "core.responses": {"request_scope": "account_id, region"},
    "core.router": {"SERVICE_PATTERNS": None},
    "services.cloudformation": {
        "_ACTION_HANDLERS": None,
        "_stacks": None,
        "handle_request": "method, path, headers, body, query_params",
    },
    "services.cloudformation.engine": {
        "_evaluate_conditions": "template, params",
        "_parse_template": "template_body",
        "_resolve_parameters": "template, provided_params, previous_params",
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
        "_lambda_function_for_cfn_ref": "function_ref",
        "_physical_name": "stack_name, logical_id, *, lowercase, max_len, seeded",
        "_RESOURCE_HANDLERS": None,
        "_sfn_definition": "props",
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
    "services.dynamodb": {
        "_tables": None,
        "_ttl_settings": None,
        "_update_ttl": "data",
    },
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
        "_apply_input_transformer": "transformer, rule, view",
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
        "_render_input_template": "template, replacements",
        "_rule_key": "rule_name, bus_name",
        "_targets": None,
        "_tick_scheduled_rules": "",
        "start_scheduler": "",
    },
    "services.iam": {
        "_aws_managed_policies": None,
        "_make_aws_managed_record": "name, document, description",
        "_roles": None,
    },
    "services.kms": {"_resolve_key": "key_id_or_arn"},
    "services.lambda_svc": {
        "_account_region_from_function_config": "config",
        "_create_esm": "data",
        "_create_function": "data",
        "_emit_lambda_logs": "func, request_id, log_text, error, duration_ms, *, log_source",
        "_emit_lambda_metrics": "function_name, duration_ms, error, throttle",
        "_execute_function": "func, event",
        "_execute_function_dispatch": "func, config, event, request_id, started",
        "_execute_function_with_config_scope": "func, event",
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
    "services.s3": {
        "_bucket_notifications": None,
        "_bucket_owner_account": "name",
        "_error": "code, message, status, resource, extra, headers",
        "_fire_s3_event_async": "bucket_name, key, event_name, size, etag, deletion_type, version_id, object_extra, "
        "record_extra",
        "_get_object": "bucket_name, key, headers, query_params",
        "_head_object": "bucket_name, key, headers, query_params",
        "_next_event_sequencer": "event_name",
        "_notification_bucket_region": "bucket_name",
        "_put_object": "bucket_name, key, body, headers",
        "_resolve_sse_write_headers": "headers, bucket_name",
        "_s3_event_to_eventbridge": "event_name",
    },
    "services.scheduler": {
        "_at_time_epoch": "expr",
        "_create_schedule": "name, body",
        "_error": "status, code, message",
        "_tick_schedules": "",
        "_update_schedule": "name, body",
        "start_scheduler": "",
    },
    "services.secretsmanager": {
        "_create_secret": "data",
        "_put_secret_value": "data",
        "_resolve": "secret_id, *, use_arn_scope",
        "_secrets": None,
    },
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
    "services.stepfunctions": {
        "_apply_catcher": "catcher, raw_input, ctx, query_language, error_output",
        "_apply_input_path": "state_def, data, ctx",
        "_apply_jsonata_arguments": "state_def, raw_input, ctx",
        "_apply_jsonata_output": "state_def, raw_input, ctx, result, error_output, default",
        "_apply_output_path": "state_def, data, ctx",
        "_apply_parameters": "state_def, data, ctx",
        "_apply_result_path": "state_def, original, result",
        "_apply_result_selector": "state_def, data",
        "_apply_state_assign": "state_def, raw_input, ctx, result, error_output",
        "_call_lambda": "func_ref, event",
        "_create_state_machine": "data",
        "_describe_execution": "data",
        "_error_matches": "error_equals, error",
        "_evaluate_rule": "rule, data, ctx",
        "_execute_choice": "state_def, raw_input, ctx",
        "_execute_map": "state_def, raw_input, execution, ctx",
        "_execute_parallel": "state_def, raw_input, execution, ctx",
        "_execute_pass": "state_def, raw_input, ctx",
        "_execute_task": "state_def, raw_input, execution, ctx",
        "_execute_wait": "state_def, raw_input, ctx",
        "_ExecutionError": None,
        "_executions": None,
        "_fail_state_error": "state_def, raw_input, ctx",
        "_finalize_response": "response",
        "_find_matching_catcher": "catchers, error",
        "_find_matching_retrier": "retriers, error, retry_counts",
        "_invoke_resource": "resource, input_data",
        "_invoke_resource_with_timeout": "resource, input_data, timeout",
        "_iso_to_epoch_ms": "iso",
        "_next_or_end": "state_def",
        "_parse_jsonpath_tokens": "path",
        "_resolve_lambda_function_ref": "value, optimized",
        "_resolve_path": "path, data",
        "_resolve_path_or_ctx": "path, data, ctx",
        "_scaled_sleep": "seconds",
        "_start_execution": "data",
        "_state_machines": None,
        "_state_query_language": "state_def, ctx",
        "_stop_execution": "data",
        "_timestamp_response_value": "value",
        "_update_state_machine": "data",
        "handle_request": "method, path, headers, body, query_params",
        "now_iso": "",
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
