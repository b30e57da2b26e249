# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read a stack from EC2."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ansible_collections.amazon.aws.plugins.module_utils.botocore import (
    boto3_inventory_conn,
    check_sdk_version_supported,
    get_aws_connection_info,
)
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleBotocoreError
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack import errors, model
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack.errors import StackError

try:
    import boto3
except ImportError:
    boto3 = None

Name = TypeVar("Name", bound=Hashable)

# Below the ten connections that botocore's pool keeps by default.
THREADS = 8
# The most that all paginated operations take (DescribeRouteTables). AWS recommends to page always:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html#api-pagination
PAGE_SIZE = 100
# For calls without an answer; timeout in seconds. Throttling has longer retries, below.
CONFIG = {"retries": {"mode": "standard", "total_max_attempts": 3}, "connect_timeout": 10}


class Session:
    """Calls of AWS, in threads.

    Attributes:
        region: name of the region that is called.
        calls: names of the operations of all requests that were sent, tries that failed included.
    """

    def __init__(self, module: Any, services: tuple[str, ...] = ("ec2", "sts")) -> None:
        """Connect, which sends nothing yet.

        Args:
            module: an AnsibleAWSModule with amazon.aws' common options.
            services: what will be called, as boto3 names it.

        Raises one of ``errors.FAILURES``, ValueError or TypeError: options that make no connection.
        """
        region, endpoint_url, options = get_aws_connection_info(module)
        self.calls: list[str] = []
        self._clients = {
            service: boto3_inventory_conn(
                conn_type="client",
                resource=service,
                region=region,
                endpoint=endpoint_url,
                config=CONFIG,
                **options,
            )
            for service in services
        }
        for client in self._clients.values():
            client.meta.events.register("before-send", self._count)
        self.region: str = self._clients["ec2"].meta.region_name

    def _count(self, event_name: str, **_: Any) -> None:
        # before-send.<service>.<operation>; to return anything would replace the answer.
        self.calls.append(event_name.rpartition(".")[2])

    def ask(self, query: model.Query) -> dict[str, Any]:
        """Return the whole answer, all pages of it, trying again for a minute or two while AWS throttles.

        Raises one of ``errors.FAILURES``.
        """
        client = self._clients[query.service]
        # Not with ids, which EC2 refuses together with a page size.
        if client.can_paginate(query.operation) and not any(key.endswith("Ids") for key in query.arguments):
            paginator = client.get_paginator(query.operation)

            def call(**arguments: Any) -> Any:
                return paginator.paginate(
                    **arguments, PaginationConfig={"PageSize": PAGE_SIZE}
                ).build_full_result()
        else:
            call = getattr(client, query.operation)

        # One for each query: it keeps its delay within, and threads would share that.
        retry = AWSRetry.jittered_backoff(
            retries=8, delay=1, max_delay=20, catch_extra_error_codes=errors.THROTTLED
        )
        try:
            answer: dict[str, Any] = retry(call)(**query.arguments)
        except errors.FAILURES as exc:
            if getattr(exc, "response", {}).get("Error", {}).get("Code") in query.absent:
                return {}
            raise
        return answer


def _wait(*futures: Future[dict[str, Any]]) -> None:
    """Wait for all. Raises CallsFailedError if any failed."""
    failures = [exc for future in futures if isinstance(exc := future.exception(), Exception)]
    if failures:
        raise CallsFailedError(failures)


def _answers(futures: Mapping[Name, Future[dict[str, Any]]]) -> dict[Name, dict[str, Any]]:
    return {name: future.result() for name, future in futures.items()}


class CallsFailedError(Exception):
    """Some calls failed, for the reasons in ``failures``."""

    def __init__(self, failures: list[Exception]) -> None:
        super().__init__(failures)
        self.failures = failures


def _connected(module: Any) -> Session:
    """Return a session. Raises CallsFailedError where the options make none."""
    # ValueError: an endpoint_url that is not valid. TypeError: an unknown option in aws_config.
    failures: tuple[type[Exception], ...] = (*errors.FAILURES, ValueError, TypeError)
    try:
        return Session(module)
    except failures as exc:
        raise CallsFailedError([exc]) from exc


def _read(session: Session, params: Mapping[str, Any]) -> dict[str, Any]:
    stack, key_name = params["stack"], params["key_name"]
    with ThreadPoolExecutor(THREADS) as pool:
        asked = {
            name: pool.submit(session.ask, query)
            for name, query in model.queries(stack, key_name, params["image"]).items()
        }
        # Calls for one resource each: they wait only for the list of these.
        vpcs, instances = (
            model.resources(kind, asked[kind].result(), stack) if asked[kind].exception() is None else []
            for kind in ("vpcs", "instances")
        )
        dns = {name: pool.submit(session.ask, query) for name, query in model.dns_queries(vpcs).items()}
        protection = {
            name: pool.submit(session.ask, query)
            for name, query in model.protection_queries(instances).items()
        }
    # Together, so that of several actions that are denied all are named.
    _wait(*asked.values(), *dns.values(), *protection.values())
    complete = {
        "vpcs": model.with_dns(vpcs, _answers(dns)),
        "instances": model.with_protection(instances, _answers(protection)),
    }
    return {
        "region": session.region,
        **model.result(_answers(asked), complete, stack, key_name),
        "calls": len(session.calls),
    }


def known_regions() -> frozenset[str]:
    """Return the regions that this version of the SDK knows EC2 in, of all of AWS' partitions."""
    session = boto3.session.Session()
    return frozenset(
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("ec2", partition_name=partition)
    )


def read(module: Any) -> dict[str, Any]:
    """Return everything that carries the tag of a stack.

    Args:
        module: an AnsibleAWSModule with the options of ``ec2_stack_info``.

    Returns:
        What the module returns: ``account``, ``region``, ``stack``, ``image`` and ``calls``.

    Raises StackError, whose text is a whole message.
    """
    params = module.params
    stack = params["stack"]
    if not stack:
        raise StackError("''", "its name is empty", "Set the option stack (pooled_stack)")
    try:
        check_sdk_version_supported(warn=module.warn)
    except AnsibleBotocoreError as exc:
        advice = "Install it: `make env`, or `pip install boto3` for that Python"
        raise StackError(stack, str(exc), advice) from exc
    if params["profile"] and (params["access_key"] or params["secret_key"] or params["session_token"]):
        raise StackError(
            stack,
            f"both the profile {params['profile']} and an access key are given",
            "Leave one out; AWS_PROFILE and AWS_ACCESS_KEY_ID in the environment count as given",
        )
    try:
        return _read(_connected(module), params)
    except CallsFailedError as exc:
        target = errors.Target(module.region, params["endpoint_url"], known_regions())
        raise errors.stack_error(stack, exc.failures, target) from exc
