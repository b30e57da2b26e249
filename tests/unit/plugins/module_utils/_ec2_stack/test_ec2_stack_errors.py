"""What botocore raises, as sentences."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack import errors
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack.errors import Target
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

AWS = Target("eu-west-1", None, ("eu-west-1", "eu-west-2", "us-east-1"))
LAB = Target("eu-west-1", "http://127.0.0.1:5111", AWS.regions)
NOWHERE = Target("eu-wets-1", None, AWS.regions)
ARN = "arn:aws:iam::123456789012:user/ann"
STS_ARN = "arn:aws-cn:sts::123456789012:assumed-role/ops/ann@example.org"


def said(failures: Exception | Sequence[Exception], target: Target = AWS) -> str:
    listed = [failures] if isinstance(failures, Exception) else failures
    return str(errors.stack_error("mine", listed, target))


def answer(code: str, message: str = "Because.", operation: str = "DescribeVpcs") -> sdk.ClientError:
    return sdk.ClientError({"Error": {"Code": code, "Message": message}}, operation)


def unreachable(region: str) -> sdk.EndpointConnectionError:
    return sdk.EndpointConnectionError(endpoint_url=f"https://ec2.{region}.amazonaws.com/")


@pytest.mark.parametrize(
    ("failure", "target", "cause", "advice"),
    [
        (sdk.NoCredentialsError(), AWS, "no credentials: Unable to locate credentials. ", "`make demo`"),
        (
            sdk.PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"),
            AWS,
            "no credentials: Partial credentials found in env, missing: aws_secret_access_key. ",
            "Give credentials by `aws configure`",
        ),
        (
            sdk.ProfileNotFound(profile="ann"),
            AWS,
            "The config profile (ann) could not be found. ",
            "AWS_PROFILE",
        ),
        *(
            (failure, AWS, "the credentials are not available, or have expired: ", "`aws sso login`")
            for failure in (
                sdk.UnauthorizedSSOTokenError(),
                sdk.SSOTokenLoadError(error_msg="gone"),
                sdk.TokenRetrievalError(provider="sso", error_msg="gone"),
                sdk.CredentialRetrievalError(provider="process", error_msg="gone"),
            )
        ),
        *(
            (answer(code), AWS, f"the credentials have expired: Because ({code}). ", "`aws sso login`")
            for code in ("RequestExpired", "ExpiredToken", "ExpiredTokenException")
        ),
        *(
            (
                answer(code),
                AWS,
                f"the credentials were refused: Because ({code}). ",
                "region eu-west-1 enabled",
            )
            for code in ("AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch")
        ),
        (answer("Client.AuthFailure"), AWS, "the credentials were refused: Because (AuthFailure). ", "clock"),
        *(
            (
                answer(code),
                AWS,
                f"AWS still throttles the calls after many tries: Because ({code}). ",
                "again",
            )
            for code in ("RequestLimitExceeded", "Throttling", "ThrottlingException")
        ),
        (
            answer("OptInRequired"),
            AWS,
            "region eu-west-1 can't be used: Because (OptInRequired). ",
            "has enabled",
        ),
        (
            answer("InvalidParameterValue", "Odd value."),
            AWS,
            "DescribeVpcs failed: Odd value (InvalidParameterValue). ",
            "run it again",
        ),
        (sdk.NoRegionError(), Target(None), "the region is missing. ", "AWS_REGION"),
        (
            sdk.InvalidRegionError(region_name="eu west 1"),
            Target("eu west 1", None, AWS.regions),
            "'eu west 1' is no region's name. ",
            "Did you mean eu-west-1?",
        ),
        (
            unreachable("eu-wets-1"),
            NOWHERE,
            "AWS has no region eu-wets-1 that boto3 knows of (Could not connect",
            "Did you mean eu-west-1?",
        ),
        (unreachable("eu-west-1"), AWS, "AWS can't be reached: Could not connect to", "HTTPS_PROXY"),
        # Which regions there are at an emulated endpoint, the SDK's list doesn't say.
        (
            unreachable("eu-wets-1"),
            Target("eu-wets-1", LAB.endpoint_url, AWS.regions),
            "nothing answers at http://127.0.0.1:5111: Could not connect to",
            "start it by `make up`",
        ),
        (
            sdk.ProxyConnectionError(proxy_url="http://proxy"),
            NOWHERE,
            "AWS can't be reached: Failed to connect to proxy URL",
            "HTTPS_PROXY",
        ),
        (
            sdk.ReadTimeoutError(endpoint_url="http://127.0.0.1:5111"),
            LAB,
            "nothing answers at http://127.0.0.1:5111: Read timeout",
            "`make up`",
        ),
        (
            sdk.SSLError(endpoint_url="https://x", error="self-signed"),
            LAB,
            "SSL validation failed for https://x self-signed. ",
            "aws_ca_bundle",
        ),
        (
            ResponseParserError("no XML\n at all"),
            LAB,
            "http://127.0.0.1:5111 did not answer as EC2 does: no XML at all. ",
            "Check which service answers there",
        ),
        (ValueError("Invalid endpoint: foo"), LAB, "Invalid endpoint: foo (ValueError). ", "endpoint_url"),
    ],
)
def test_cause_and_advice(failure: Exception, target: Target, cause: str, advice: str) -> None:
    text = said(failure, target)
    assert text.startswith(f"Failed to read the stack mine: {cause}")
    assert advice in text
    assert ".." not in text


@pytest.mark.parametrize(
    ("message", "operation", "cause"),
    [
        (
            f"You are not authorized to perform this operation. User: {ARN} is not authorized to perform:"
            " ec2:DescribeVpcs because no identity-based policy allows the ec2:DescribeVpcs action",
            "DescribeVpcs",
            f"ec2:DescribeVpcs denied to {ARN}",
        ),
        (
            f"User: {STS_ARN} is not authorized to perform: ec2:DescribeVpcs with an explicit deny in a"
            " service control policy. Encoded authorization failure message: abcdef",
            "DescribeVpcs",
            f"ec2:DescribeVpcs denied to {STS_ARN} with an explicit deny in a service control policy",
        ),
        (f"User: {ARN} is not authorized.", "DescribeVpcs", f"ec2:DescribeVpcs denied to {ARN}"),
        (
            "You are not authorized to perform this operation.",
            "DescribeNatGateways",
            "ec2:DescribeNatGateways denied to the caller",
        ),
        ("Access denied", "GetCallerIdentity", "sts:GetCallerIdentity denied to the caller"),
    ],
)
@pytest.mark.parametrize("code", ["UnauthorizedOperation", "Client.UnauthorizedOperation", "AccessDenied"])
def test_denied(code: str, message: str, operation: str, cause: str) -> None:
    text = said(answer(code, message, operation))
    assert text.startswith(f"Failed to read the stack mine: {cause}. Allow it in the policy")
    assert "abcdef" not in text


def test_all_denied_actions_are_named_once() -> None:
    text = f"User: {ARN} is not authorized to perform: ec2:%s because"
    failures = [
        answer("UnauthorizedOperation", text % name, name)
        for name in ("DescribeVpcs", "DescribeKeyPairs", "DescribeKeyPairs")
    ]
    assert f"mine: ec2:DescribeKeyPairs, ec2:DescribeVpcs denied to {ARN}. " in said(
        [*failures, sdk.NoCredentialsError()]
    )


def test_the_first_failure_decides() -> None:
    assert "no credentials" in said([sdk.NoCredentialsError(), answer("UnauthorizedOperation")])
