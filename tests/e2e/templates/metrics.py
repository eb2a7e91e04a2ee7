"""Which metrics the dashboard and the alarms of a deployed stack name.

    python metrics.py [PARAMETER=VALUE...]

deploys log-analytics.yaml with the parameters and prints a JSON list of `{"namespace", "name", "dimensions", "where"}`,
where the dimensions are names in order. Knows the forms in which the template names metrics, and fails on any other.
"""

import json
import re
import sys

import stack

# SELECT SUM(Requests) FROM SCHEMA("Namespace",Application,StatusClass) GROUP BY Application …
SELECT = re.compile(r'SELECT [A-Z]+\((\w+)\) FROM SCHEMA\("([^"]+)",([\w,]+)\)(?: .*)?', re.DOTALL)
# SEARCH('{"Namespace",Application} MetricName="Bytes"', 'Sum', 300)
SEARCH = re.compile(r"""SEARCH\('\{"([^"]+)",([\w,]+)\} MetricName="(\w+)"', '\w+', \d+\)""")
# Arithmetic on other metrics of the same alarm, by their ids.
ARITHMETIC = re.compile(r"(?:ANOMALY_DETECTION_BAND|FILL)\([a-z_]+, \d+\)(?: \+ FILL\([a-z_]+, \d+\))*")


def named(cloud, name):
    """The metrics that the dashboards and alarms of the stack `name` name."""
    resources, outputs = cloud.resources(name), cloud.stack(name)
    watch = cloud.client("cloudwatch")
    alarms = {logical: physical for logical, physical in resources.items() if logical.endswith("Alarm")}
    found = []
    for logical, physical in alarms.items():
        if f"Queries{logical}" in outputs:
            metrics = of_queries(json.loads(outputs[f"Queries{logical}"]))
        else:
            (alarm,) = watch.describe_alarms(AlarmNames=[physical])["MetricAlarms"]
            metrics = [of_stat(alarm)]
        found += [(physical, metric) for metric in metrics]
    body = watch.get_dashboard(DashboardName=resources["Dashboard"])["DashboardBody"]
    for widget in json.loads(body)["widgets"]:
        for entry in widget["properties"].get("metrics", []):
            found.append((widget["properties"]["title"], of_entry(entry)))
    return [
        {"namespace": namespace, "name": metric, "dimensions": list(dimensions), "where": where}
        for where, (namespace, metric, dimensions) in found
    ]


def of_queries(queries):
    """What the queries of an alarm name."""
    for query in queries:
        if "MetricStat" in query:
            yield of_stat(query["MetricStat"]["Metric"])
        elif not ARITHMETIC.fullmatch(query["Expression"]):
            yield of_expression(query["Expression"])


def of_stat(metric):
    dimensions = tuple(dimension["Name"] for dimension in metric.get("Dimensions", []))
    return metric["Namespace"], metric["MetricName"], dimensions


def of_entry(entry):
    """What an entry of a widget names: an expression, or namespace, name, dimensions and values by turns, options."""
    if isinstance(entry[0], dict):
        return of_expression(entry[0]["expression"])
    words = [part for part in entry if isinstance(part, str)]
    return words[0], words[1], tuple(words[2::2])


def of_expression(expression):
    if match := SELECT.fullmatch(expression):
        name, namespace, dimensions = match.groups()
    elif match := SEARCH.fullmatch(expression):
        namespace, dimensions, name = match.groups()
    else:
        raise ValueError(f"cannot tell which metrics this names: {expression}")
    return namespace, name, tuple(dimensions.split(","))


def main(arguments):
    with stack.cloud() as cloud:
        cloud.deploy(stack.ANALYTICS, "logs", **dict(argument.split("=", 1) for argument in arguments))
        json.dump(named(cloud, "logs"), sys.stdout, indent=1)


if __name__ == "__main__":
    main(sys.argv[1:])
