"""Says which requests are not signed as AWS wants it, by AWS's own signer: botocore.

Reads a file with one request in JSON on each line, and writes to standard output the number of each that is signed otherwise,
with what is wrong. The second argument is the secret that all were signed with.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import base64
import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def trouble(request, secret):
    """What is wrong with a request's signature."""
    headers = dict(request["headers"])
    if len(headers) != len(request["headers"]):
        return "a header is there twice"
    kind, _, rest = headers["authorization"].partition(" ")
    if kind != "AWS4-HMAC-SHA256":
        return "not a signature"
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    key, date, region, service, end = parts["Credential"].split("/")
    signed = parts["SignedHeaders"].split(";")
    unsigned = [name for name in headers if name == "host" or name.startswith("x-amz-")]
    unsigned = [name for name in unsigned if name not in signed]
    if unsigned:
        return f"not signed: {unsigned}"
    if end != "aws4_request" or not headers["x-amz-date"].startswith(date):
        return "the scope is not that of the date"
    # The signer takes the hash of the body from this header if it is there, and would not look at the body.
    if "x-amz-content-sha256" in headers:
        return "the hash of the body is given"
    again = AWSRequest(
        method=request["method"],
        url=f"http://{headers['host']}{request['path']}",
        headers={name: headers[name] for name in signed if name in headers},
        data=base64.b64decode(request["body"]),
    )
    again.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(key, secret), service, region)
    if signer.signed_headers(signer.headers_to_sign(again)) != parts["SignedHeaders"]:
        return "a header that is signed is not there"
    text = signer.string_to_sign(again, signer.canonical_request(again))
    return None if signer.signature(text, again) == parts["Signature"] else "another signature"


with open(sys.argv[1], "rb") as requests:
    for number, text in enumerate(requests):
        wrong = trouble(json.loads(text), sys.argv[2])
        if wrong:
            print(f"{number}: {wrong}")
