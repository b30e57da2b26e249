# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors between here and AWS, each as a message with what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

try:
    from botocore import exceptions as sdk
    from botocore.parsers import ResponseParserError

    FAILURES: tuple[type[Exception], ...] = (sdk.BotoCoreError, sdk.ClientError, ResponseParserError)
except ImportError:  # The module says so before any of this is needed.
    sdk = None
    FAILURES = ()

GIVE_CREDENTIALS = (
    "Give credentials by `aws configure`, AWS_PROFILE or `aws sso login`; without an account, take the lab:"
    " `make demo`, or -i inventory/lab"
)
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
EXPIRED = ("RequestExpired", "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired")
REFUSED = (
    "AuthFailure",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
# AWSRetry retries the first; AWS' other services use the other names.
THROTTLED = ("RequestLimitExceeded", "Throttling", "TooManyRequestsException", "ThrottlingException")
REGION = ("InvalidRegion", "OptInRequired")


class StackError(Exception):
    """A stack can't be read; the text is a whole message."""

    def __init__(self, stack: str, cause: str, advice: str) -> None:
        super().__init__(f"Failed to read the stack {stack}: {cause.rstrip('. ')}. {advice}")


@dataclass(frozen=True)
class Target:
    """The API that was called.

    Attributes:
        region: name of the region; None where none was given.
        endpoint_url: the API, where it isn't AWS' own.
        regions: the regions that the SDK knows.
    """

    region: str | None = None
    endpoint_url: str | None = None
    regions: Collection[str] = ()


def stack_error(stack: str, failures: Sequence[Exception], target: Target) -> StackError:
    """Return the failure of some calls as one error.

    Args:
        stack: name of the stack.
        failures: what the calls raised, at least one. The first decides, but of denied actions all are named.
        target: whom they went to.
    """
    first = failures[0]
    if _code(first) in DENIED:
        return StackError(stack, *_denied([exc for exc in failures if _code(exc) in DENIED]))
    if sdk is not None and isinstance(first, sdk.ClientError):
        return StackError(stack, *_answered(first, target))
    return StackError(stack, *_not_asked(first, target))


def _code(exc: Exception) -> str | None:
    """Return AWS' code of an error, without the prefix that old services give it."""
    if sdk is None or not isinstance(exc, sdk.ClientError):
        return None
    return str(exc.response.get("Error", {}).get("Code", "")).removeprefix("Client.")


def _message(exc: Exception) -> str:
    response = getattr(exc, "response", {})
    return str(response.get("Error", {}).get("Message") or exc)


def _denied(failures: Iterable[Exception]) -> tuple[str, str]:
    """Return which actions were denied to which user.

    The message is such as ``User: arn:aws:iam::123456789012:user/a is not authorized to perform:
    ec2:DescribeVpcs because no identity-based policy allows the ec2:DescribeVpcs action``, or just
    ``You are not authorized to perform this operation.``
    (https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html)
    """
    actions, who, reasons = set(), "", set()
    for exc in failures:
        text = _message(exc)
        action = re.search(r"perform: ([\w-]+:\w+)", text)
        operation = getattr(exc, "operation_name", "")
        service = "sts" if operation == "GetCallerIdentity" else "ec2"
        actions.add(action[1] if action else f"{service}:{operation}")
        arn = re.search(r"arn:aws[\w-]*:(?:iam|sts)::[^\s,]+", text)
        who = who or (arn[0].rstrip(".") if arn else "")
        if reason := re.search(r"with an explicit deny in an? [\w -]+? policy", text):
            reasons.add(reason[0])
    cause = f"{', '.join(sorted(actions))} denied to {who or 'the caller'}"
    return (
        " ".join([cause, *sorted(reasons)]),
        "Allow it in the policy of that user or role, or call as another: AWS_PROFILE",
    )


def _answered(exc: Exception, target: Target) -> tuple[str, str]:
    """Return what AWS answered, and what to do."""
    code, text = _code(exc) or "unknown", _message(exc)
    said = f"{text.rstrip('. ')} ({code})"
    if code in EXPIRED:
        return (
            f"the credentials have expired: {said}",
            "Get new ones: `aws sso login`, or a new session token. If they are new, set the clock",
        )
    if code in REFUSED:
        return (
            f"the credentials were refused: {said}",
            "Check that access key, secret key and session token belong together and are active, that the"
            f" account has region {target.region} enabled, and that this machine's clock is right."
            f" {GIVE_CREDENTIALS}",
        )
    if code in THROTTLED:
        return (
            f"AWS still throttles the calls after many tries: {said}",
            "Run it again in some minutes, and find out what else calls the API so often",
        )
    if code in REGION:
        return (f"region {target.region} can't be used: {said}", _other_region(target))
    operation = getattr(exc, "operation_name", "the call")
    return f"{operation} failed: {said}", "Correct what AWS reports, and run it again"


def _not_asked(exc: Exception, target: Target) -> tuple[str, str]:
    """Return why no answer came, and what to do."""
    name = type(exc).__name__
    text = " ".join(str(exc).split())
    where = target.endpoint_url or f"region {target.region}"
    for names, cause, advice in (
        (("NoCredentials", "PartialCredentials"), f"no credentials: {text}", GIVE_CREDENTIALS),
        (("ProfileNotFound",), text, "Name one of `aws configure list-profiles`: AWS_PROFILE"),
        (
            ("SSO", "UnauthorizedSSO", "Login", "Token", "CredentialRetrieval"),
            f"the credentials are not available, or have expired: {text}",
            "Log in again: `aws sso login`",
        ),
        (("NoRegion",), "the region is missing", _other_region(target)),
        (("InvalidRegion",), f"{target.region!r} is no region's name", _other_region(target)),
        (
            ("SSLError",),
            text,
            "Set aws_ca_bundle to the CA's certificate, and check endpoint_url",
        ),
        (
            ("ResponseParser",),
            f"{where} did not answer as EC2 does: {text}",
            "Check which service answers there",
        ),
    ):
        if name.startswith(names):
            return cause, advice
    if sdk is not None and isinstance(exc, (sdk.ConnectionError, sdk.HTTPClientError)):
        return _unreachable(exc, text, target)
    return f"{text} ({name})", "Check the options of the connection: region, endpoint_url, aws_config"


def _unreachable(exc: Exception, text: str, target: Target) -> tuple[str, str]:
    # botocore does not check a region's name: it makes a host name of it, which then does not resolve.
    known = target.region in target.regions or not target.regions
    if target.endpoint_url is None and not known and type(exc).__name__ == "EndpointConnectionError":
        return f"AWS has no region {target.region} that boto3 knows of ({text})", _other_region(target)
    if target.endpoint_url is None:
        return (
            f"AWS can't be reached: {text}",
            "Check that this machine reaches the internet, and whether it needs HTTPS_PROXY",
        )
    return (
        f"nothing answers at {target.endpoint_url}: {text}",
        "If that is the lab's emulated API, start it by `make up`; otherwise correct endpoint_url",
    )


def _other_region(target: Target) -> str:
    close = difflib.get_close_matches(target.region or "", target.regions, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    return (
        "Set the option region (pooled_aws.region), or AWS_REGION, to a region that your account has enabled,"
        f" such as `aws account list-regions` names.{meant}"
    )
