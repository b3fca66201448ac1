"""What AWS would have logged around recorded lines: CloudTrail's records, made up in the form that AWS's documents give.

Sources: https://docs.aws.amazon.com/athena/latest/ug/create-cloudtrail-table.html for the table;
https://docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-integration.html for the events of STS, and
https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html for those of EKS Pod Identity.
"""

import copy
import json
from datetime import datetime

INSTANCE, ANOTHER_INSTANCE = "i-0123456789abcdef0", "i-0fedcba9876543210"

DDL = """
CREATE EXTERNAL TABLE cloudtrail_logs (
  eventversion string,
  useridentity struct<type:string,principalid:string,arn:string,accountid:string,invokedby:string,accesskeyid:string,username:string,
    onbehalfof:struct<userid:string,identitystorearn:string>,
    sessioncontext:struct<attributes:struct<mfaauthenticated:string,creationdate:string>,
      sessionissuer:struct<type:string,principalid:string,arn:string,accountid:string,username:string>,
      ec2roledelivery:string,webidfederationdata:struct<federatedprovider:string,attributes:map<string,string>>>>,
  eventtime string,
  eventsource string,
  eventname string,
  awsregion string,
  sourceipaddress string,
  useragent string,
  errorcode string,
  errormessage string,
  requestparameters string,
  responseelements string,
  additionaleventdata string,
  requestid string,
  eventid string,
  resources array<struct<arn:string,accountid:string,type:string>>,
  eventtype string,
  apiversion string,
  readonly string,
  recipientaccountid string,
  serviceeventdetails string,
  sharedeventid string,
  vpcendpointid string
)
"""


class Story:
    """Recorded lines, one line more that no sample has, and the trail around them."""

    def __init__(self, lines):
        def first(**wanted):
            found = [line for line in lines if all(wanted[key] == line.get(key) for key in wanted)]
            assert found, f"no recorded line is of {wanted}: the records are made up around one"
            return found[0]

        def is_theft(line):
            return any(finding["id"] == "foreign-token-open" for finding in line.get("findings") or [])

        self.theft = next(line for line in lines if is_theft(line) and line["binding"]["kind"] == "pod-identity")
        self.own = next(line for line in lines if line.get("relation") == "own" and line["token"]["kind"] == "irsa" and line["verdict"] == "allowed")
        self.imds = first(event="credential_connect", verdict="allowed", binding=None)
        # Its cluster has session tags switched off.
        self.untagged = copy.deepcopy(self.theft)
        self.untagged["id"] = "01a204b0-0000-7000-8000-000000000000"
        self.untagged["token"]["owner"].update(name="vault-abcde", uid="00000000-0000-4000-8000-000000000001")
        role = "arn:aws:iam::111122223333:role/payments-vault"
        self.untagged["binding"].update(role_arn=role, session_name_prefix="eks-prod-vault-abcd-", session_tags=False)
        self.lines = [*lines, self.untagged]
        self.trail = [*self.pod_identity(), *self.irsa(), *self.node_role()]

    def pod_identity(self):
        """Sessions that the agent fetched, before the theft and after, and what was done with them."""
        binding, uid = self.theft["binding"], self.theft["token"]["owner"]["uid"]
        role, prefix = binding["role_arn"], binding["session_name_prefix"]
        untagged = self.untagged["binding"]
        day, hour = self.theft["time"][:10], int(self.theft["time"][11:13])
        assert hour >= 13, "the first query of the document ends at 13:00, and the theft was later"
        after = f"{self.theft['time'][:17]}59Z"
        return [
            # Within the first query's hours, and too long before the theft for the agent to have had it then.
            assumed(f"{day}T12:30:00Z", role, f"{prefix}old", uid, "ASIAOLD"),
            call(f"{day}T12:31:00Z", "dynamodb", "GetItem", "ASIAOLD", "10.0.1.5"),
            assumed(after, role, f"{prefix}new", uid, "ASIANEW"),
            call(after, "s3", "GetObject", "ASIANEW", "203.0.113.7"),
            # Of another pod of the same role; of another service; of the same name, tagged for another pod.
            assumed(after, role, "eks-prod-other-0000-new", "00000000-0000-4000-8000-000000000002", "ASIAOTHER"),
            assumed(after, role, f"{prefix}new", uid, "ASIALAMBDA", by="lambda.amazonaws.com"),
            assumed(after, role, f"{prefix}new", "00000000-0000-4000-8000-000000000003", "ASIANAMESAKE"),
            assumed(after, untagged["role_arn"], f"{untagged['session_name_prefix']}new", None, "ASIAUNTAGGED"),
            assumed(after, untagged["role_arn"], "eks-prod-vault-zzzz-new", None, "ASIAUNTAGGEDOTHER"),
            asked(after, INSTANCE),
            asked(after, INSTANCE, error="AccessDenied"),
            asked(after, ANOTHER_INSTANCE),
        ]

    def irsa(self):
        """Sessions with one token, each SDK's name for them, and one long after the token was opened."""
        owner, role = self.own["token"]["owner"], self.own["binding"]["role_arn"]
        user = f"system:serviceaccount:{owner['namespace']}:{owner['service_account']}"
        opened = datetime.fromisoformat(f"{self.own['time'][:19]}+00:00").timestamp()
        # The event comes when the session is made: later than the time in the name.
        at = iso(opened + 40)
        return [
            web_identity(at, user, role, f"botocore-session-{opened:.0f}", "ASIAPYTHON"),
            web_identity(at, user, role, f"aws-sdk-js-session-{opened * 1e3:.0f}", "ASIAJS"),
            web_identity(at, user, role, f"{int(opened) * 10**9}", "ASIAGO"),
            web_identity(iso(opened + 1), user, role, "nightly", "ASIANAMED"),
            web_identity(at, user, role, f"botocore-session-{opened + 3600:.0f}", "ASIAREPLAY"),
        ]

    def node_role(self):
        """Calls with the node's own credentials: after the connect, before it, and another node's."""
        asked = datetime.fromisoformat(f"{self.imds['time'][:19]}+00:00").timestamp()
        return [
            by_node(iso(asked + 60), "ec2", "DescribeInstances", INSTANCE, "198.51.100.9"),
            by_node(iso(asked - 60), "ec2", "DescribeVolumes", INSTANCE, "198.51.100.9"),
            by_node(iso(asked + 7 * 3600), "ec2", "DescribeVpcs", INSTANCE, "198.51.100.9"),
            by_node(iso(asked + 60), "ec2", "DescribeSubnets", ANOTHER_INSTANCE, "198.51.100.9"),
        ]


def iso(timestamp):
    return datetime.utcfromtimestamp(timestamp).strftime("%Y-%m-%dT%H:%M:%SZ")


def record(time, service, name, identity, address, parameters=None, response=None, **more):
    return {
        "eventversion": "1.11",
        "eventtime": time,
        "eventsource": f"{service}.amazonaws.com",
        "eventname": name,
        "awsregion": "eu-west-1",
        "sourceipaddress": address,
        "useragent": "made-up",
        "useridentity": identity,
        # Text in CloudTrail's own table.
        "requestparameters": json.dumps(parameters) if parameters else None,
        "responseelements": json.dumps(response) if response else None,
        **more,
    }


def assumed(time, role, session, uid, key, by="pods.eks.amazonaws.com"):
    parameters = {"roleArn": role, "roleSessionName": session, "durationSeconds": 21600}
    if uid:
        tags = {"eks-cluster-name": "prod", "kubernetes-namespace": "payments", "kubernetes-pod-uid": uid}
        parameters["tags"] = [{"key": name, "value": value} for name, value in tags.items()]
    identity = {"type": "AWSService", "invokedby": by}
    return record(time, "sts", "AssumeRole", identity, by, parameters, {"credentials": {"accessKeyId": key}})


def call(time, service, name, key, address):
    return record(time, service, name, {"type": "AssumedRole", "accesskeyid": key, "principalid": "AROAEXAMPLEPOD:session"}, address)


def asked(time, instance, error=None):
    parameters = {"clusterName": "prod", "token": "HIDDEN_DUE_TO_SECURITY_REASONS"}
    identity = {"type": "AssumedRole", "principalid": f"AROAEXAMPLENODE:{instance}", "accesskeyid": "ASIANODE"}
    # It is made with the node's role, so the query for that finds it, too, where it is in time.
    return record(time, "eks-auth", "AssumeRoleForPodIdentity", identity, "10.0.1.5", parameters, errorcode=error)


def web_identity(time, user, role, session, key):
    parameters = {"roleArn": role, "roleSessionName": session}
    identity = {"type": "WebIdentityUser", "username": user, "principalid": f"arn:aws:iam::111122223333:oidc-provider/example:sts.amazonaws.com:{user}"}
    return record(time, "sts", "AssumeRoleWithWebIdentity", identity, "10.0.1.5", parameters, {"credentials": {"accessKeyId": key}})


def by_node(time, service, name, instance, address):
    return record(time, service, name, {"type": "AssumedRole", "principalid": f"AROAEXAMPLENODE:{instance}"}, address)
