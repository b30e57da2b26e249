"""From the role's inputs to the stack that they describe, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pooled.postgres.plugins.module_utils._ec2_stack import plan, wanted

ROOT = Path(__file__).resolve().parents[5]
ZONE = "ap-southeast-1a"
MONITORING = {"name": "monitoring-server", "role": "monitoring", "subnet": "public"}
DATABASE = {"name": "postgres-db-server", "role": "database", "subnet": "private"}
SUBNETS = {
    "public": {"cidr": "10.0.1.0/24", "zone": ZONE, "public": True},
    "private": {"cidr": "10.0.2.0/24", "zone": ZONE, "public": False},
}


def given(**changes: Any) -> dict[str, Any]:
    """Return the inputs as the role's defaults have them, and what a user changed."""
    return {
        "vpc_cidr": "10.0.0.0/16",
        "subnets": SUBNETS,
        "admin_cidr": "192.0.2.7/32",
        "monitoring_ports": [22, 3000, 9090],
        "database_ports": [22, 5432, 6432, 9100, 9127, 9187],
        "instances": [MONITORING, DATABASE],
        "instance_type": "t3.micro",
        "root_volume_size": 8,
        "data_volume_size": 20,
        "volume_type": "gp3",
        "volume_iops": 0,
        "volume_throughput": 0,
        "volume_encrypted": True,
        "termination_protection": False,
        "profile": "",
        "reach": "public",
        "key_name": "pooled-db-cluster",
        "key_file": ".state/aws/ssh_key",
        "public_key": "ssh-ed25519 AAAA who@where\n",
        **changes,
    }


def subnet(key: str, **changes: Any) -> dict[str, Any]:
    return {**SUBNETS, key: {**SUBNETS.get(key, SUBNETS["private"]), **changes}}


class TestWanted:
    def test_the_tutorials(self) -> None:
        root = {"type": "gp3", "iops": 0, "throughput": 0, "encrypted": True, "size": 8}
        common = {"type": "t3.micro", "profile": "", "termination_protection": False}
        assert wanted.stack_wanted(given()) == {
            "prefix": "postgres-db",
            "vpc": {"name": "postgres-db-vpc", "cidr": "10.0.0.0/16"},
            "subnets": {
                "public": {
                    "name": "postgres-db-public-subnet",
                    "cidr": "10.0.1.0/24",
                    "zone": ZONE,
                    "public": True,
                },
                "private": {
                    "name": "postgres-db-private-subnet",
                    "cidr": "10.0.2.0/24",
                    "zone": ZONE,
                    "public": False,
                },
            },
            "groups": {
                "monitoring": {
                    "name": "monitoring-security-group",
                    "description": "Security group for monitoring server",
                    "rules": [
                        {
                            "ports": [22, 3000, 9090],
                            "source": "192.0.2.7/32",
                            "description": "Those who run the stack",
                        }
                    ],
                },
                "database": {
                    "name": "postgres-db-security-group",
                    "description": "Security group for PostgreSQL database",
                    "rules": [
                        {
                            "ports": [22, 5432, 6432, 9100, 9127, 9187],
                            "source": "monitoring",
                            "description": "Jump host, load generator and Prometheus",
                        }
                    ],
                },
            },
            "key_pair": {
                "name": "pooled-db-cluster",
                "file": ".state/aws/ssh_key",
                "public_key": "ssh-ed25519 AAAA",
            },
            "instances": [
                {
                    **MONITORING,
                    **common,
                    "groups": ["monitoring"],
                    "root_volume": {"name": "monitoring-server-root", **root},
                    "data_volume": None,
                },
                {
                    **DATABASE,
                    **common,
                    "groups": ["database"],
                    "root_volume": {"name": "postgres-db-server-root", **root},
                    "data_volume": {**root, "name": "postgres-db-server-data", "size": 20},
                },
            ],
        }

    def test_numbers_as_text(self) -> None:
        """As ``-e name=value`` gives them."""
        numbers = {
            "monitoring_ports": [22, 3000],
            "database_ports": [22, 5432],
            "root_volume_size": 10,
            "data_volume_size": 30,
            "volume_iops": 4000,
            "volume_throughput": 500,
        }
        text = {
            key: [str(one) for one in value] if isinstance(value, list) else str(value)
            for key, value in numbers.items()
        }
        assert wanted.input_problems(given(**text)) == []
        made = wanted.stack_wanted(given(**text))
        assert made == wanted.stack_wanted(given(**numbers))
        assert made["instances"][1]["data_volume"] == {
            "name": "postgres-db-server-data",
            "size": 30,
            "type": "gp3",
            "iops": 4000,
            "throughput": 500,
            "encrypted": True,
        }

    @pytest.mark.parametrize(
        ("host", "common", "size"),
        [
            (DATABASE, 20, 20),
            (DATABASE, 0, None),
            (DATABASE, "0", None),
            ({**DATABASE, "data_volume_size": 50}, 20, 50),
            ({**DATABASE, "data_volume_size": "50"}, 20, 50),
            ({**DATABASE, "data_volume_size": 0}, 20, None),
            (MONITORING, 20, None),
            ({**MONITORING, "data_volume_size": 5}, 20, 5),
        ],
    )
    def test_data_volume(self, host: dict[str, Any], common: Any, size: int | None) -> None:
        (made,) = wanted.stack_wanted(given(instances=[host], data_volume_size=common))["instances"]
        assert (made["data_volume"] or {}).get("size") == size

    def test_volume(self) -> None:
        inputs = given(volume_type="io2", volume_iops=500, volume_encrypted=False, root_volume_size=12)
        made = wanted.stack_wanted(inputs)["instances"][1]
        # A root disk is the system's, which asks for little.
        plain = {"type": "gp3", "iops": 0, "throughput": 0, "encrypted": False}
        assert made["root_volume"] == {**plain, "name": "postgres-db-server-root", "size": 12}
        assert made["data_volume"] == {
            **plain,
            "name": "postgres-db-server-data",
            "size": 20,
            "type": "io2",
            "iops": 500,
        }

    def test_hosts_differ(self) -> None:
        hosts = [MONITORING, {**DATABASE, "type": "r6i.large"}, {**DATABASE, "name": "db-2"}]
        made = wanted.stack_wanted(
            given(instances=hosts, instance_type="t3.small", profile="p", termination_protection=True)
        )["instances"]
        assert [one["type"] for one in made] == ["t3.small", "r6i.large", "t3.small"]
        assert {one["profile"] for one in made} == {"p"}
        assert {one["termination_protection"] for one in made} == {True}

    @pytest.mark.parametrize("key", ["", "\n"])
    def test_a_key_that_is_not_made_yet(self, key: str) -> None:
        assert wanted.stack_wanted(given(public_key=key))["key_pair"]["public_key"] == ""

    @pytest.mark.parametrize(
        ("admin", "source"),
        [
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            # What the role has where nobody asked for the address: it reads the ids alone.
            ("/32", "/32"),
        ],
    )
    def test_networks_are_written_as_ec2_writes_them(self, admin: str, source: str) -> None:
        made = wanted.stack_wanted(
            given(
                admin_cidr=admin,
                vpc_cidr="10.0.0.0/255.255.0.0",
                subnets=subnet("public", cidr="10.0.1.0/255.255.255.0"),
            )
        )
        assert made["groups"]["monitoring"]["rules"][0]["source"] == source
        assert (made["vpc"]["cidr"], made["subnets"]["public"]["cidr"]) == ("10.0.0.0/16", "10.0.1.0/24")

    def test_a_port_named_twice_is_opened_once(self) -> None:
        inputs = given(monitoring_ports=[22, "22", 3000, 22])
        assert wanted.input_problems(inputs) == []
        assert wanted.stack_wanted(inputs)["groups"]["monitoring"]["rules"][0]["ports"] == [22, 3000]

    def test_it_is_what_the_plan_takes(self) -> None:
        kinds = (
            "vpcs subnets internet_gateways nat_gateways addresses route_tables security_groups key_pairs"
            " volumes instances"
        )
        found: dict[str, Any] = {kind: [] for kind in kinds.split()}
        planned = plan.stack_plan(found, wanted.stack_wanted(given()))
        assert planned["problems"] == []
        assert planned["todo"]["instance"] == ["monitoring-server", "postgres-db-server"]


class TestProblems:
    def test_the_roles_defaults_have_none(self) -> None:
        defaults = yaml.safe_load((ROOT / "roles/infrastructure/defaults/main.yml").read_text())
        own = {
            name.removeprefix("infrastructure_"): value
            for name, value in defaults.items()
            if "{{" not in str(value) and name != "infrastructure_admin_cidr"
        }
        inputs = given()
        assert {name: own[name] for name in own if name in inputs} == {
            name: inputs[name] for name in own if name in inputs
        }, "the inputs of these tests are the role's"
        assert wanted.input_problems(inputs) == []

    @pytest.mark.parametrize(
        "changes",
        [
            {"admin_cidr": "0.0.0.0/0"},
            {"admin_cidr": "192.0.2.7"},
            {"monitoring_ports": [3000], "reach": "session-manager"},
            {"monitoring_ports": [1, 22, 65535]},
            {"reach": "private", "instances": [{**MONITORING, "subnet": "private"}, DATABASE]},
            {"reach": "session-manager", "instances": [{**MONITORING, "subnet": "private"}, DATABASE]},
            {"instances": [MONITORING, DATABASE, {**MONITORING, "name": "m2", "subnet": "private"}]},
            {"instances": [MONITORING, DATABASE, {**DATABASE, "name": "a"}]},
            {"instances": [MONITORING, DATABASE, {**DATABASE, "name": "9" * 63}]},
            {"subnets": subnet("private", zone="ap-southeast-1b")},
            {"subnets": subnet("other", cidr="10.0.3.0/24", zone="ap-southeast-1c")},
            {
                "subnets": {
                    "public": {**SUBNETS["public"], "zone": "us-west-2-lax-1a"},
                    "private": {**SUBNETS["private"], "zone": "us-west-2b"},
                }
            },
            *(
                {"subnets": {key: {**SUBNETS[key], "zone": zone} for key in SUBNETS}}
                for zone in ("us-gov-west-1a", "eu-central-1c", "us-east-1-wl1-bos-wlz-1a")
            ),
            {"data_volume_size": 0, "volume_type": "st1"},
        ],
    )
    def test_none(self, changes: dict[str, Any]) -> None:
        assert wanted.input_problems(given(**changes)) == []

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            (
                {"vpc_cidr": "10.0.0.0/8"},
                ["the VPC's CIDR 10.0.0.0/8 has a prefix", "infrastructure_vpc_cidr"],
            ),
            (
                {"subnets": subnet("public", cidr="10.1.1.0/24")},
                ["the public subnet 10.1.1.0/24 does not lie within"],
            ),
            (
                {"subnets": subnet("public", cidr="10.0.2.128/25")},
                ["overlaps the private subnet", "side by side"],
            ),
            (
                {
                    "subnets": {"private": SUBNETS["private"]},
                    "instances": [{**MONITORING, "subnet": "private"}, DATABASE],
                    "reach": "private",
                },
                ["has no public subnet"],
            ),
            (
                {
                    "subnets": {"public": SUBNETS["public"]},
                    "instances": [MONITORING, {**DATABASE, "subnet": "public"}],
                },
                ["has no private subnet"],
            ),
            (
                {"subnets": subnet("other", cidr="10.0.3.0/24", public="no")},
                ["public: 'no' for other; take true or false"],
            ),
            *(
                (
                    {"admin_cidr": admin},
                    [f"infrastructure_admin_cidr is {admin!r} (", "with /32", "0.0.0.0/0, if you mean it"],
                )
                for admin in ("", "/32", "me", "192.0.2.7/24", "192.0.2.300/32", "::/0", 10)
            ),
            *(
                (
                    {f"{group}_ports": [22, port]},
                    [f"infrastructure_{group}_ports has {port!r}, which is no TCP port"],
                )
                for group in ("monitoring", "database")
                for port in (0, -1, 65536, "ssh", "22-25", 22.5, None, "²")
            ),
            *(
                ({"monitoring_ports": [3000], "reach": reach}, ["infrastructure_monitoring_ports has no 22"])
                for reach in ("public", "private")
            ),
            *(
                ({"database_ports": [5432], "reach": reach}, ["infrastructure_database_ports has no 22"])
                for reach in ("public", "session-manager")
            ),
            ({"instances": [MONITORING, DATABASE, DATABASE, DATABASE]}, ["names postgres-db-server twice"]),
            # The tutorial's.
            ({"instance_type": "t2.micro"}, ["to be a t2.micro, which has no NVMe disks"]),
            *(
                (
                    {"instances": [MONITORING, DATABASE, {**DATABASE, "name": name}]},
                    [f"the name {name!r}, which is no host name"],
                )
                for name in ("", "Db", "db_2", "-db", "db-", "db.example", "d" * 64, "db\n", 2)
            ),
            (
                {"instances": [MONITORING, DATABASE, {**DATABASE, "name": "x", "role": "web"}]},
                ["x has the role 'web'; take one of database, monitoring"],
            ),
            (
                {"instances": [MONITORING, {**DATABASE, "subnet": "inner"}]},
                ["postgres-db-server is to go into the subnet 'inner'; take one of public, private"],
            ),
            (
                {"instances": [{**MONITORING, "subnet": "inner"}, DATABASE]},
                ["monitoring-server is to go into the subnet"],
            ),
            ({"instances": [MONITORING]}, ["no host with the role database"]),
            ({"instances": [DATABASE]}, ["no host with the role monitoring"]),
            (
                {"instances": [{**MONITORING, "subnet": "private"}, DATABASE]},
                [
                    "monitoring-server is the jump host and in the private subnet private",
                    "infrastructure_reach",
                ],
            ),
            (
                {"instances": [{**MONITORING, "subnet": "private"}, {**MONITORING, "name": "m2"}, DATABASE]},
                ["monitoring-server is the jump host"],
            ),
            (
                {"subnets": subnet("private", zone="eu-west-1a")},
                ["the regions ap-southeast-1, eu-west-1; set infrastructure_availability_zone"],
            ),
            *(
                (
                    {"subnets": subnet("private", zone=zone)},
                    [f"the private subnet is to go into {zone!r}, which is no"],
                )
                for zone in ("ap-southeast-1", "apse1-az1", "", "a", "AP-SOUTHEAST-1A", None)
            ),
        ],
    )
    def test_network_and_hosts(self, changes: dict[str, Any], said: list[str]) -> None:
        (problem,) = wanted.input_problems(given(**changes))
        assert all(part in problem for part in said), problem

    @pytest.mark.parametrize(
        "changes",
        [
            {"instance_type": "t2.micro", "data_volume_size": 0},
            {"instances": [{**MONITORING, "type": "t2.micro"}, DATABASE]},
            {"instance_type": "i3.metal"},
        ],
    )
    def test_xen_without_a_data_volume(self, changes: dict[str, Any]) -> None:
        assert wanted.input_problems(given(**changes)) == []

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            *(
                (
                    {"volume_type": kind, "volume_iops": iops},
                    f"infrastructure_volume_iops is {iops}, which a volume of the type"
                    f" {kind} does not take; set it to 0, or infrastructure_volume_type to gp3 or io1 or io2",
                )
                for kind in ("gp2", "st1", "sc1", "standard")
                for iops in (3000, "3000")
            ),
            *(
                (
                    {
                        "volume_type": kind,
                        "volume_throughput": 125,
                        "volume_iops": 500 if kind in ("io1", "io2") else 0,
                    },
                    f"infrastructure_volume_throughput is 125, which a volume of the type {kind} does not"
                    " take; set it to 0, or infrastructure_volume_type to gp3",
                )
                for kind in ("gp2", "st1", "sc1", "standard", "io1", "io2")
            ),
            *(
                (
                    {"volume_iops": iops},
                    f"infrastructure_volume_iops is {iops}; a volume of the type gp3 takes 3000 to 16000, or"
                    " 0 for the least",
                )
                for iops in (1, 2999, 16001, "2999")
            ),
            *(
                (
                    {"volume_type": kind, "volume_iops": iops},
                    f"infrastructure_volume_iops is {iops}; a volume of the type {kind} takes 100 to 64000",
                )
                for kind in ("io1", "io2")
                for iops in (0, 99, 64001)
            ),
            *(
                (
                    {"volume_throughput": throughput},
                    f"infrastructure_volume_throughput is {throughput}; a volume of the type gp3"
                    " takes 125 to 1000, or 0 for the least",
                )
                for throughput in (1, 124, 1001, 9999)
            ),
            *(
                (
                    {"volume_throughput": throughput, "volume_iops": iops},
                    f"infrastructure_volume_throughput is {throughput}, for which a volume needs {least}"
                    " IOPS; set infrastructure_volume_iops to that at least",
                )
                for throughput, iops, least in ((751, 0, 3004), (1000, 3999, 4000), ("1000", "0", 4000))
            ),
            (
                {"volume_iops": 10001},
                "the data volume of postgres-db-server has 20 GiB, which gives 10000 IOPS at most as gp3;"
                " set infrastructure_volume_iops, which is 10001, to less, or infrastructure_data_volume_size"
                " to 21 at least",
            ),
            (
                {"volume_type": "io1", "volume_iops": 1001},
                "the data volume of postgres-db-server has 20 GiB, which gives 1000"
                " IOPS at most as io1; set infrastructure_volume_iops, which is 1001, to less, or"
                " infrastructure_data_volume_size to 21 at least",
            ),
            (
                {"volume_type": "io2", "volume_iops": 20001},
                "the data volume of postgres-db-server has 20 GiB, which gives 20000"
                " IOPS at most as io2; set infrastructure_volume_iops, which is 20001, to less, or"
                " infrastructure_data_volume_size to 21 at least",
            ),
            *(
                (
                    {"volume_type": kind, "data_volume_size": least - 1, "volume_iops": iops},
                    f"the data volume of postgres-db-server has {least - 1} GiB; one of the type {kind} has"
                    f" {least} at least. Set infrastructure_data_volume_size",
                )
                for kind, least, iops in (("st1", 125, 0), ("sc1", 125, 0), ("io1", 4, 100), ("io2", 4, 100))
            ),
            *(
                (
                    {"volume_type": kind},
                    f"infrastructure_volume_type is {kind!r}; take one of gp2, gp3, io1, io2, st1, sc1,"
                    " standard",
                )
                for kind in ("gp4", "", "GP3")
            ),
            *(
                ({name: value}, f"infrastructure_{name} is {value!r}, which is no whole number")
                for name in ("root_volume_size", "data_volume_size", "volume_iops", "volume_throughput")
                for value in ("", "many", -1, 1.5, "²", None)
            ),
            *(
                (
                    {"instances": [MONITORING, {**DATABASE, "data_volume_size": size}]},
                    f"data_volume_size of postgres-db-server is {size!r}, which is no whole number",
                )
                for size in ("big", -1, None)
            ),
            *(
                (
                    {"root_volume_size": size},
                    "infrastructure_root_volume_size is 7; the images need 8 GiB at least",
                )
                for size in (7, "7")
            ),
        ],
    )
    def test_volumes(self, changes: dict[str, Any], said: str) -> None:
        size = {"data_volume_size": 125} if changes.get("volume_type") in ("st1", "sc1") else {}
        assert wanted.input_problems(given(**{**size, **changes})) == [said]

    @pytest.mark.parametrize(
        "changes",
        [
            *(
                {"volume_type": kind, "data_volume_size": 125}
                for kind in ("gp2", "gp3", "st1", "sc1", "standard")
            ),
            *(
                {"volume_type": "gp3", "volume_iops": iops, "data_volume_size": 100}
                for iops in (0, 3000, "16000")
            ),
            {"volume_iops": 10000},
            # What every gp3 volume has is within bounds, however small it is.
            *({"volume_iops": iops, "data_volume_size": 1} for iops in (0, 3000)),
            *({"volume_throughput": throughput} for throughput in (0, 125, 750, "750")),
            {"volume_throughput": 1000, "volume_iops": 4000},
            *({"volume_type": kind, "volume_iops": 100, "data_volume_size": 4} for kind in ("io1", "io2")),
            {"volume_type": "io1", "volume_iops": 64000, "data_volume_size": 1280},
            {"volume_type": "io2", "volume_iops": 64000, "data_volume_size": 64},
            {"root_volume_size": 8, "data_volume_size": "1"},
        ],
    )
    def test_volumes_that_ebs_makes(self, changes: dict[str, Any]) -> None:
        assert wanted.input_problems(given(**changes)) == []

    def test_each_host_has_its_own_data_volume(self) -> None:
        hosts = [
            {**MONITORING, "data_volume_size": 0},
            {**DATABASE, "data_volume_size": 100},
            {**DATABASE, "name": "db-2", "data_volume_size": 10},
        ]
        (problem,) = wanted.input_problems(given(instances=hosts, volume_iops=6000))
        assert problem.startswith("the data volume of db-2 has 10 GiB, which gives 5000 IOPS at most")

    def test_all_are_told_at_once(self) -> None:
        problems = wanted.input_problems(
            given(
                admin_cidr="",
                database_ports=[0],
                instances=[MONITORING],
                volume_type="tape",
                root_volume_size=1,
                subnets=subnet("private", zone="x"),
            )
        )
        assert len(problems) == 7
