"""The templates as an emulator of CloudFormation deploys them: ministack, on a loopback port of its own.

Knows what the emulator cannot do and works around it in one place: it has no alarms on queries. Their properties are
given out by the stack instead, so that what they say is resolved like everything else.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cfnlint.decode import cfn_yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
ANALYTICS = ROOT / "packaging/cloudformation/log-analytics.yaml"
UPDATE_REFERENCE = ROOT / "packaging/autoscaling/update-reference.yaml"
CODE_BUCKET = "code-of-the-functions"
START_SECONDS = 60


class Cloud:
    """A running emulator and its clients."""

    def __init__(self, port):
        self.endpoint = f"http://127.0.0.1:{port}"

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def deploy(self, path, name, **parameters):
        """Deploys a template and returns what the stack gives out; fails if not all of it comes into being."""
        template = emulated(load(path))
        formation = self.client("cloudformation")
        formation.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in {"CodeBucket": CODE_BUCKET, **parameters}.items()
            ],
        )
        formation.get_waiter("stack_create_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        return self.stack(name)

    def stack(self, name):
        """What a stack gives out, by the names of its outputs."""
        stack = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def resources(self, name):
        """The resources of a stack: logical to physical name."""
        found = self.client("cloudformation").describe_stack_resources(StackName=name)
        return {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for resource in found["StackResources"]
        }


@contextlib.contextmanager
def cloud():
    """A new emulator that holds the zips of the functions, until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}", "ministack.app:app"],
            env={**os.environ, "GATEWAY_PORT": str(port), "HOME": folder},
            stdout=log,
            stderr=log,
        )
        try:
            running = Cloud(port)
            wait_for(running, process, log)
            for key in ("kinetail-lambda-arm64.zip", "update_reference.zip"):
                running.client("s3").put_object(Bucket=CODE_BUCKET, Key=key, Body=b"not run here")
            yield running
        finally:
            process.kill()
            process.wait()


def wait_for(running, process, log):
    """Returns when the emulator answers; fails with its log if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            running.client("s3").create_bucket(
                Bucket=CODE_BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
            )
            return
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                raise RuntimeError(f"the emulator does not answer:\n{log.read()}") from error
        time.sleep(0.1)


def load(path):
    """A template with its functions in the long form, as JSON has them."""
    return json.loads(json.dumps(cfn_yaml.load(str(path))))


def emulated(template):
    """The template without the queries of alarms, which are given out as the output `Queries<Alarm>` instead."""
    for name, resource in template["Resources"].items():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in properties:
            output = {key: resource[key] for key in ("Condition",) if key in resource}
            template["Outputs"][f"Queries{name}"] = {**output, "Value": as_json(properties.pop("Metrics"))}
            properties.pop("ThresholdMetricId", None)
            properties.update(
                Namespace="stand-in",
                MetricName="stand-in",
                Statistic="Sum",
                Period=60,
                ComparisonOperator="GreaterThanThreshold",
            )
            properties.setdefault("Threshold", 0)
    return template


def as_json(value):
    """An expression of CloudFormation that gives `value` as JSON once its own functions have been resolved."""
    return {"Fn::Join": ["", list(parts(value))]}


def parts(value):
    """The texts and functions that make up the JSON of `value`. What a function gives is taken for a text."""
    if isinstance(value, dict) and "Fn::Sub" in value:
        yield {"Fn::Sub": json.dumps(value["Fn::Sub"])}
    elif isinstance(value, dict) and set(value) & {"Ref", "Fn::GetAtt"}:
        yield from ('"', value, '"')
    elif isinstance(value, dict):
        yield "{"
        for number, (key, inner) in enumerate(value.items()):
            yield ("," if number else "") + json.dumps(key) + ":"
            yield from parts(inner)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, inner in enumerate(value):
            yield "," if number else ""
            yield from parts(inner)
        yield "]"
    else:
        yield json.dumps(value)
