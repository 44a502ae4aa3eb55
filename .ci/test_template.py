"""What template.yaml becomes when SAM translates it, and what must hold of that. Needs no network and no account."""

import json
import os
import re
import unittest
from pathlib import Path

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

ROOT = Path(__file__).resolve().parent.parent

# Ratchets, sessions and rendezvous: what was in them must not come back.
TABLES_WITHOUT_RECOVERY = {"AsQueueTable", "QsQueueTable", "KsSessionTable", "RsTable"}
# What is over within hours may go with the stack.
TABLES_THAT_MAY_GO = {"KsSessionTable", "RsTable"}

# What a service may see that is not its own (design, sections 4 and 7).
FOREIGN_RESOURCES = {
    ("ks-open-session", "AsTable"),
    ("ks-use-session", "AsTable"),
    ("rs-join", "AsTable"),
    ("ks-open-session", "OpaqueSecret"),
}
SECRETS = {
    "as": {"AsSigningSecret", "OpaqueSecret", "SealingAsSecret", "TokensSecret"},
    "ks": {"SealingKsSecret"},
    "qs": {"QsSecret", "SealingQsSecret", "TokensSecret"},
    "rs": {"SealingRsSecret"},
}


class ManagedPolicies:
    """The one managed policy that SAM gives a function: to write its log (decision 83)."""

    def load(self):
        return {"AWSLambdaBasicExecutionRole": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}


def translated():
    template = yaml_parse((ROOT / "template.yaml").read_text())
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    values = {name: parameter.get("Default") for name, parameter in template["Parameters"].items()}
    return transform(template, values, ManagedPolicies())


RESOURCES = translated()["Resources"]


def of_type(name):
    return {key: resource for key, resource in RESOURCES.items() if resource["Type"] == name}


FUNCTIONS = of_type("AWS::Lambda::Function")
TABLES = of_type("AWS::DynamoDB::Table")
ROLES = of_type("AWS::IAM::Role")


def binary(function):
    return FUNCTIONS[function]["Metadata"]["BuildProperties"]["Binary"]


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(role):
    for policy in ROLES[role]["Properties"].get("Policies", []):
        yield from listed(policy["PolicyDocument"]["Statement"])


def role_of(function):
    return FUNCTIONS[function]["Properties"]["Role"]["Fn::GetAtt"][0]


def referred(value):
    """The logical ids in a value."""
    if isinstance(value, dict):
        if "Ref" in value:
            return {value["Ref"]}
        if "Fn::GetAtt" in value:
            return {listed(value["Fn::GetAtt"])[0]}
        if "Fn::Sub" in value:
            return {name.split(".")[0] for name in re.findall(r"\$\{([^}!]+)\}", listed(value["Fn::Sub"])[0])}
        return set().union(*map(referred, value.values()), set())
    return set().union(*map(referred, value), set()) if isinstance(value, list) else set()


class Tables(unittest.TestCase):
    def test_items_expire_and_are_encrypted_and_nothing_streams(self):
        for name, table in TABLES.items():
            properties = table["Properties"]
            expiry = {"AttributeName": "expires_at", "Enabled": True}
            self.assertEqual(properties["TimeToLiveSpecification"], expiry, name)
            self.assertTrue(properties["SSESpecification"]["SSEEnabled"], name)
            self.assertEqual(properties["BillingMode"], "PAY_PER_REQUEST", name)
            self.assertNotIn("StreamSpecification", properties, name)

    def test_what_must_not_come_back_has_no_recovery_and_the_rest_has(self):
        for name, table in TABLES.items():
            recovery = table["Properties"].get("PointInTimeRecoverySpecification", {})
            is_on = recovery.get("PointInTimeRecoveryEnabled", False)
            self.assertEqual(is_on, name not in TABLES_WITHOUT_RECOVERY, name)

    def test_what_holds_users_outlives_the_stack(self):
        for name, table in TABLES.items():
            if name in TABLES_THAT_MAY_GO:
                continue
            self.assertEqual(table["DeletionPolicy"], "RetainExceptOnCreate", name)
            self.assertEqual(table["UpdateReplacePolicy"], "Retain", name)
            self.assertTrue(table["Properties"]["DeletionProtectionEnabled"], name)


class Routes(unittest.TestCase):
    def test_the_routes_are_those_of_the_protocol(self):
        document = json.loads((ROOT / "docs/openapi.json").read_text())
        (api,) = [api for api in of_type("AWS::ApiGatewayV2::Api").values() if "Body" in api["Properties"]]
        paths = {path: set(methods) for path, methods in api["Properties"]["Body"]["paths"].items()}
        self.assertEqual(paths, {path: set(methods) & {"get", "put", "post", "delete"}
                                 for path, methods in document["paths"].items()})

    def test_every_throttle_is_of_a_route_that_exists(self):
        (stage,) = [stage["Properties"] for stage in of_type("AWS::ApiGatewayV2::Stage").values()
                    if "RouteSettings" in stage["Properties"]]
        (api,) = [api for api in of_type("AWS::ApiGatewayV2::Api").values() if "Body" in api["Properties"]]
        routes = {f"{method.upper()} {path}" for path, methods in api["Properties"]["Body"]["paths"].items()
                  for method in methods}
        self.assertLessEqual(set(stage["RouteSettings"]), routes)
        self.assertIn("ThrottlingRateLimit", stage["DefaultRouteSettings"])

    def test_access_logs_say_nothing_of_whose_request_it_was(self):
        for name, stage in of_type("AWS::ApiGatewayV2::Stage").items():
            settings = stage["Properties"].get("AccessLogSettings")
            if settings:
                said = set(re.findall(r"\$context\.([A-Za-z.]+)", settings["Format"]))
                allowed = {"requestId", "requestTimeEpoch", "routeKey", "status", "responseLatency", "error.responseType"}
                self.assertLessEqual(said, allowed, name)
                json.loads(settings["Format"])


class Permissions(unittest.TestCase):
    def test_every_action_is_named_and_every_resource_is_of_this_stack(self):
        for role in ROLES:
            for statement in statements(role):
                self.assertEqual(statement["Effect"], "Allow", role)
                self.assertFalse({"NotAction", "NotResource"} & set(statement), role)
                for action in listed(statement["Action"]):
                    self.assertNotIn("*", action, role)
                    self.assertNotIn("?", action, role)
                for resource in listed(statement["Resource"]):
                    self.assertTrue(referred(resource) & set(RESOURCES), f"{role}: {resource}")

    def test_items_are_named_by_their_leading_keys(self):
        for role in ROLES:
            for statement in statements(role):
                if not listed(statement["Action"])[0].startswith("dynamodb:"):
                    continue
                conditions = statement["Condition"].values()
                keys = [key for condition in conditions for key in listed(condition["dynamodb:LeadingKeys"])]
                self.assertTrue(keys and all(key.split("*")[0] for key in keys), role)

    def test_connections_are_managed_on_the_functions_own_api_alone(self):
        for function in FUNCTIONS:
            for statement in statements(role_of(function)):
                if "execute-api:ManageConnections" in listed(statement["Action"]):
                    service = binary(function).split("-")[0].capitalize()
                    for resource in listed(statement["Resource"]):
                        self.assertIn(f"{service}WebSocketApi", referred(resource), function)
                        self.assertIn("/@connections/", resource["Fn::Sub"], function)

    def test_the_log_is_all_that_a_role_may_do_beyond_this_file(self):
        for name, role in ROLES.items():
            policies = role["Properties"].get("ManagedPolicyArns", [])
            self.assertEqual(policies, list(ManagedPolicies().load().values()), name)

    def test_a_service_sees_its_own_tables_and_secrets(self):
        for function in FUNCTIONS:
            name = binary(function)
            service = name.split("-")[0]
            for resource in set().union(*map(referred, statements(role_of(function))), set()):
                kind = RESOURCES.get(resource, {}).get("Type")
                if kind == "AWS::DynamoDB::Table":
                    is_own = resource.lower().startswith(service)
                elif kind == "AWS::SecretsManager::Secret":
                    is_own = resource in SECRETS[service]
                else:
                    continue
                self.assertTrue(is_own or (name, resource) in FOREIGN_RESOURCES, f"{name}: {resource}")

    def test_a_function_may_read_the_secrets_that_it_is_told_of_and_no_others(self):
        secrets = set(of_type("AWS::SecretsManager::Secret"))
        for function in FUNCTIONS:
            told = referred(FUNCTIONS[function]["Properties"]["Environment"]) & secrets
            readable = set()
            for statement in statements(role_of(function)):
                if "secretsmanager:GetSecretValue" in listed(statement["Action"]):
                    readable |= referred(statement["Resource"])
            self.assertEqual(told, readable, function)


class Operations(unittest.TestCase):
    def test_every_function_has_a_log_of_its_own_that_ends(self):
        logs = [FUNCTIONS[function]["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] for function in FUNCTIONS]
        self.assertEqual(len(logs), len(set(logs)))
        for name, log in of_type("AWS::Logs::LogGroup").items():
            self.assertIn("RetentionInDays", log["Properties"], name)

    def test_every_alarm_is_heard(self):
        alarms = of_type("AWS::CloudWatch::Alarm")
        self.assertTrue(alarms)
        for name, alarm in alarms.items():
            self.assertEqual(alarm["Properties"]["AlarmActions"], [{"Ref": "Alarms"}], name)
            self.assertLessEqual(len(alarm["Properties"].get("Metrics", [])), 11, name)

    def test_every_function_and_every_table_is_watched(self):
        watched = {}
        for alarm in of_type("AWS::CloudWatch::Alarm").values():
            for metric in alarm["Properties"].get("Metrics", []):
                if "MetricStat" in metric:
                    described = metric["MetricStat"]["Metric"]
                    for resource in referred(described["Dimensions"]):
                        watched.setdefault(resource, set()).add(described["MetricName"])
        for function in FUNCTIONS:
            self.assertEqual(watched.get(function), {"Errors", "Throttles", "Duration"}, function)
        for table in TABLES:
            self.assertEqual(watched.get(table), {"ReadThrottleEvents", "WriteThrottleEvents"}, table)

    def test_the_dashboard_shows_every_function_table_and_api(self):
        (dashboard,) = of_type("AWS::CloudWatch::Dashboard").values()
        body = dashboard["Properties"]["DashboardBody"]
        widgets = json.loads(body["Fn::Sub"])["widgets"]
        self.assertEqual(len({(widget["x"], widget["y"]) for widget in widgets}), len(widgets))
        apis = set(of_type("AWS::ApiGatewayV2::Api"))
        self.assertLessEqual(set(FUNCTIONS) | set(TABLES) | apis, referred(body))

    def test_what_was_not_created_is_not_in_the_way_of_another_attempt(self):
        for name, resource in RESOURCES.items():
            self.assertNotEqual(resource.get("DeletionPolicy"), "Retain", name)
        for name, secret in of_type("AWS::SecretsManager::Secret").items():
            self.assertEqual(secret["DeletionPolicy"], "RetainExceptOnCreate", name)
            self.assertNotIn("Name", secret["Properties"], "a name is taken for 30 days after the secret's end")


if __name__ == "__main__":
    unittest.main()
