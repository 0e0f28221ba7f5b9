"""What schemathesis cannot know of the CM, given to it at the last moment: versions move with every write, a revocation
names the fingerprint of the certificate in its path, names are judged by IDNA, and chains are text. Only requests that are
meant to be good are touched.
"""

import datetime
import os
import uuid

import requests
import schemathesis

PKI, ROLE, URL = (os.environ[name] for name in ("CONTRACT_PKI", "CONTRACT_ROLE", "CONTRACT_URL"))

session = requests.Session()
# Else an authority in the environment would be believed in place of the CM's.
session.trust_env = False
session.verify = f"{PKI}/infra-ca.pem"
session.cert = (f"{PKI}/{ROLE}.pem", f"{PKI}/{ROLE}.key")


def read(path):
    """The answer of the CM to a GET, or none if it has nothing there."""
    answer = session.get(URL + path, timeout=10)
    return answer if answer.ok else None


# A good value for each kind of rule: what is a name, a public suffix or a small block, no schema can state.
VALUES = {
    ("dns", "suffix"): "printers.example.com",
    ("dns", "exact"): "www.example.com",
    ("dns", "wildcard"): "*.dev.example.com",
    ("ip", "exact"): "192.0.2.7",
    ("ip", "cidr"): "192.0.2.0/24",
}
SOON = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")


def mend(node):
    """Makes good what keeps to the schemas and cannot be meant."""
    if isinstance(node, list):
        for item in node:
            mend(item)
    if not isinstance(node, dict):
        return
    for item in node.values():
        mend(item)
    if "match" in node and "value" in node:
        node["value"] = VALUES[node["type"], node["match"]]
    if node.get("addresses"):
        node["addresses"] = ["192.0.2.0/24"]
    if node.get("allowedProfiles"):
        node["allowedProfiles"] = ["tls-server"]
    if node.get("overlap"):
        node["overlap"] = "P7D"
    if node.get("notBefore") and node.get("notAfter"):
        node["notBefore"] = None
    if node.get("notAfter"):
        node["notAfter"] = SOON


@schemathesis.hook
def before_call(context, case, **kwargs):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    place, asked = case.path_parameters or {}, case.query or {}
    if asked.get("identifier") is not None:
        asked["identifier"] = "www.example.com"
    if "key" in asked:
        asked.pop("eabKid", None)
    mend(case.body)
    if isinstance(case.body, dict) and case.body.get("mode") == "open":
        case.headers = {"Idempotency-Key": uuid.uuid4().hex, **(case.headers or {})}
    if "If-Match" in (case.headers or {}) and "id" in place:
        found = read("/realms/{realm}/registrations/{id}".format(**place))
        if found is not None:
            case.headers["If-Match"] = found.headers["ETag"]
    if isinstance(case.body, dict) and "certificateSha256" in case.body and "certId" in place:
        found = read("/realms/{realm}/certificates/{certId}".format(**place))
        if found is not None:
            case.body["certificateSha256"] = found.json()["sha256"]


@schemathesis.deserializer("application/pem-certificate-chain")
def pem_chain(context, response):
    return response.content.decode("ascii")
