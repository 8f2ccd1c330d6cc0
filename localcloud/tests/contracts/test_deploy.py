"""The real SAM CLI against the local cloud."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import deploy
from localcloud.testing.served import SPOKE, LocalCloud, unique
from localcloud.testing.waiting import eventually


def template(path: Path, **resources: Any) -> Path:
    document = {"Resources": resources, "Outputs": {name: {"Value": {"Ref": name}} for name in resources}}
    path.write_text(json.dumps(document))
    return path


def test_a_template_is_deployed_updated_and_removed(cloud: LocalCloud, tmp_path: Path) -> None:
    stack, account, region = unique("stack"), SPOKE, "eu-west-3"
    path = tmp_path / "template.json"

    def deployed(value: str) -> deploy.Deployed:
        parameter = {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Name": f"/{stack}", "Type": "String", "Value": value},
        }
        template(path, Parameter=parameter)
        return deploy.deploy(cloud.control, path, stack=stack, account=account, region=region)

    ssm = cloud.client("ssm", account, region)
    for value in ("first", "second", "second"):
        assert deployed(value).outputs == {"Parameter": f"/{stack}"}
        assert ssm.get_parameter(Name=f"/{stack}")["Parameter"]["Value"] == value
    deploy.remove(cloud.control, stack, account, region)
    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.get_parameter(Name=f"/{stack}")


STATE_MACHINE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Runtime: {Type: String}
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties: {Runtime: !Ref Runtime, Handler: app.handler, CodeUri: code, Timeout: 5}
  Logs:
    Type: AWS::Logs::LogGroup
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement:
          - Effect: Allow
            Principal: {Service: states.amazonaws.com}
            Action: sts:AssumeRole
            Condition: {StringEquals: {"aws:SourceAccount": !Ref AWS::AccountId}}
      Policies:
        - PolicyName: only
          PolicyDocument:
            Statement:
              - {Effect: Allow, Action: "lambda:InvokeFunction", Resource: !GetAtt Function.Arn}
              - Effect: Allow
                Action:
                  - logs:CreateLogDelivery
                  - logs:GetLogDelivery
                  - logs:UpdateLogDelivery
                  - logs:DeleteLogDelivery
                  - logs:ListLogDeliveries
                  - logs:PutResourcePolicy
                  - logs:DescribeResourcePolicies
                  - logs:DescribeLogGroups
                Resource: "*"
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      Name: NAME
      Role: !GetAtt Role.Arn
      DefinitionUri: machine.asl.yaml
      DefinitionSubstitutions: {FunctionArn: !GetAtt Function.Arn, Seconds: 60}
      Logging:
        Level: ERROR
        IncludeExecutionData: false
        Destinations: [CloudWatchLogsLogGroup: {LogGroupArn: !GetAtt Logs.Arn}]
Outputs:
  Machine: {Value: !Ref Machine}
"""
DEFINITION = """
Comment: COMMENT
StartAt: Call
TimeoutSeconds: 600
States:
  Call:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke
    Parameters: {FunctionName: "${FunctionArn}", Payload.$: $}
    OutputPath: $.Payload
    Next: Pause
  Pause: {Type: Wait, Seconds: ${Seconds}, End: true}
"""


def test_a_state_machine_is_packaged_deployed_and_updated(cloud: LocalCloud, tmp_path: Path) -> None:
    """https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-statemachine.html"""
    name, client = unique("machine"), cloud.client("stepfunctions", SPOKE)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/app.py").write_text("def handler(event, context):\n    return {**event, 'seen': True}\n")
    path = tmp_path / "template.yaml"
    path.write_text(STATE_MACHINE.replace("NAME", name))
    for comment in ("first", "second"):
        (tmp_path / "machine.asl.yaml").write_text(DEFINITION.replace("COMMENT", comment))
        arn = deploy.deploy(cloud.control, path, stack=name, account=SPOKE).outputs["Machine"]
        assert arn == f"arn:aws:states:us-east-1:{SPOKE}:stateMachine:{name}"
        described = client.describe_state_machine(stateMachineArn=arn)
        assert json.loads(described["definition"])["Comment"] == comment
        assert described["loggingConfiguration"]["level"] == "ERROR"
    execution = client.start_execution(stateMachineArn=arn, input='{"n": 1}')["executionArn"]
    eventually(lambda: "WaitStateEntered" in str(client.get_execution_history(executionArn=execution)))
    cloud.control.advance(61)
    ended = eventually(lambda: (d := client.describe_execution(executionArn=execution))["status"] != "RUNNING" and d)
    assert json.loads(ended["output"]) == {"n": 1, "seen": True}
    later = client.start_execution(stateMachineArn=arn)["executionArn"]
    deploy.remove(cloud.control, name, SPOKE)
    cloud.control.advance(61)
    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_DeleteStateMachine.html
    assert client.describe_execution(executionArn=later)["status"] == "ABORTED"


def test_a_failed_deployment_says_which_resource_and_why(cloud: LocalCloud, tmp_path: Path) -> None:
    properties = {"FunctionName": "nobody", "Principal": "*", "Action": "lambda:InvokeFunction"}
    wrong = {"Type": "AWS::Lambda::Permission", "Properties": properties}
    path = template(tmp_path / "template.json", Wrong=wrong)
    with pytest.raises(deploy.DeployError, match=r"Wrong: .*Function not found: nobody"):
        deploy.deploy(cloud.control, path, stack=unique("stack"), account=SPOKE)
