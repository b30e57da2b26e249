"""Rounds of the keeper, on a machine that only writes down what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from firewall import Group, Rule
from hosts import Account, Container, Instance, Settings, Volume
from keeper import Keeper, resolvers
from machine import Machine, MachineError

VOLUME = Volume("vol-1", 2)
HOST = Instance("i-a", "a", "running", "10.0.1.4", "ip-10-0-1-4", "", "", ("sg",), (VOLUME,))


class FakeAccount:
    """An account that a test may change."""

    def __init__(self) -> None:
        self.instances: tuple[Instance, ...] = (HOST,)
        self.port = 22
        self.volumes = frozenset({"vol-1"})

    def read(self, stack: str) -> Account:
        assert stack == "pooled"
        rule = Rule("tcp", self.port, self.port, "10.0.0.1/32")
        return Account(self.instances, {"sg": Group((rule,))}, {}, self.volumes)


class Notebook(Machine):
    """A machine whose containers and loop devices are entries in a list; its files are real."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.steps: list[str] = []
        self.there: dict[str, Container] = {}
        self.looped: dict[str, str] = {}
        self.runs = 0
        self.broken = ""

    def note(self, step: str) -> None:
        if step == self.broken:
            raise MachineError(f"Failed to {step}")
        self.steps.append(step)

    def taken(self) -> list[str]:
        steps, self.steps = self.steps, []
        return steps

    def containers(self) -> tuple[Container, ...]:
        return tuple(self.there.values())

    def settle(self, container: Container) -> None:
        self.note("settle")

    def wait_booted(self, name: str) -> str:
        self.note("boot")
        return f"ssh-ed25519 key-of-{name} comment"

    def create(self, instance: Instance) -> None:
        self.note("create")
        # What is mounted must be there by now.
        for name in ("seed/meta-data", "by-id", "udev"):
            assert (self.settings.host_dir(instance.id) / name).exists()
        self.there["pooled-a"] = Container("pooled-a", instance.id, "")

    def start(self, name: str) -> None:
        self.note("start")
        self.runs += 1
        self.there[name] = replace(self.there[name], run=f"run {self.runs}", lost="")

    def stop(self, name: str) -> None:
        self.note("stop")
        self.there[name] = replace(self.there[name], run="")

    def remove(self, name: str) -> None:
        self.note("remove")
        del self.there[name]

    def apply_rules(self, name: str, rules: str) -> None:
        self.note("rules")

    def show(self, name: str, devices: Sequence[str]) -> None:
        self.note(f"show {len(devices)}")

    def loops(self) -> dict[str, str]:
        return dict(self.looped)

    def run(self, what: str, *command: str, stdin: str | None = None, accept: Sequence[int] = (0,)) -> str:
        self.note(" ".join(command[:2]))
        if command[1] == "--find":
            self.looped[command[-1]] = f"/dev/loop{len(self.looped)}"
            return self.looped[command[-1]] + "\n"
        if command[1] == "--detach":
            self.looped = {file: device for file, device in self.looped.items() if device != command[-1]}
        return ""

    def device_numbers(self, device: str) -> tuple[int, int]:
        return 7, int(device.removeprefix("/dev/loop"))


@pytest.fixture
def account() -> FakeAccount:
    return FakeAccount()


@pytest.fixture
def machine(tmp_path: Path) -> Notebook:
    settings = Settings("image", "net", "pooled", str(tmp_path), "pooled-", "owner", "instance", False, 1024)
    return Notebook(settings)


@pytest.fixture
def keeper(account: FakeAccount, machine: Notebook) -> Keeper:
    """Return a keeper that has made the host."""
    made = Keeper(account.read, lambda _settings: machine)
    made.arm(machine.settings)
    changes, hosts = made.bring_up()
    assert changes == [
        "created vol-1",
        "linked the volumes of pooled-a",
        "created pooled-a",
        "started pooled-a",
        "wrote known_hosts",
    ]
    assert [host.name for host in hosts] == ["a"]
    # The volume before the start, and the rules right after it.
    assert machine.taken() == ["losetup --find", "create", "start", "rules", "boot"]
    return made


def test_what_is_as_it_should_be_is_left_alone(keeper: Keeper, machine: Notebook) -> None:
    assert keeper.bring_up()[0] == machine.taken() == []


def test_only_hosts_keys_that_were_read_inside_them_are_trusted(keeper: Keeper, machine: Notebook) -> None:
    file = machine.settings.state / "known_hosts"
    assert file.read_text() == "i-a ssh-ed25519 key-of-pooled-a\n"
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()
    assert keeper.bring_up()[0] == ["wrote known_hosts"]


def test_a_host_that_has_lost_its_processes_is_started(keeper: Keeper, machine: Notebook) -> None:
    """Podman believes that it runs: without the first step the start would do nothing."""
    machine.there["pooled-a"] = Container("pooled-a", "i-a", "", lost="id-a")
    assert keeper.bring_up()[0] == ["found pooled-a without processes", "started pooled-a"]
    assert machine.taken() == ["settle", "start", "rules", "boot"]


def test_the_next_emulator_knows_what_was_done(
    keeper: Keeper, account: FakeAccount, machine: Notebook
) -> None:
    another = Keeper(account.read, lambda _settings: machine)
    another.arm(machine.settings)
    assert another.reconcile() == machine.taken() == []


def test_a_changed_rule_is_applied(keeper: Keeper, account: FakeAccount, machine: Notebook) -> None:
    account.port = 23
    assert keeper.reconcile() == ["applied the security groups of pooled-a"]
    assert machine.taken() == ["rules"]
    assert keeper.reconcile() == []


def test_a_rule_that_could_not_be_applied_is_tried_again(
    keeper: Keeper, account: FakeAccount, machine: Notebook
) -> None:
    account.port, machine.broken = 23, "rules"
    with pytest.raises(MachineError, match="Failed to rules"):
        keeper.reconcile()
    machine.broken = ""
    assert keeper.reconcile() == ["applied the security groups of pooled-a"]


def test_another_run_of_the_container_gets_its_rules(keeper: Keeper, machine: Notebook) -> None:
    """Somebody restarted it by hand: its network namespace is a new one, without rules."""
    machine.there["pooled-a"] = Container("pooled-a", "i-a", "run by hand")
    assert keeper.reconcile() == ["applied the security groups of pooled-a"]


def test_a_stopped_host_keeps_its_volume(keeper: Keeper, account: FakeAccount, machine: Notebook) -> None:
    account.instances = (replace(HOST, state="stopped"),)
    assert keeper.reconcile() == ["stopped pooled-a, as its instance is"]
    assert machine.settings.volume_file("vol-1").exists()
    account.instances = (HOST,)
    machine.taken()
    assert keeper.reconcile() == ["started pooled-a"]
    assert machine.taken() == ["start", "rules"]


def test_a_host_that_runs_is_shown_a_new_volume(
    keeper: Keeper, account: FakeAccount, machine: Notebook
) -> None:
    second = Volume("vol-2", 1)
    account.instances, account.volumes = (
        (replace(HOST, volumes=(VOLUME, second)),),
        frozenset({"vol-1", "vol-2"}),
    )
    assert keeper.reconcile() == ["created vol-2", "linked the volumes of pooled-a"]
    assert machine.taken() == ["losetup --find", "show 2"]
    links = sorted(path.name[-4:] for path in (machine.settings.host_dir("i-a") / "by-id").iterdir())
    assert links == ["vol1", "vol2"]


def test_a_volume_grows_and_never_shrinks(keeper: Keeper, account: FakeAccount, machine: Notebook) -> None:
    file = machine.settings.volume_file("vol-1")
    for size, changes in ((3, ["enlarged vol-1"]), (2, [])):
        account.instances = (replace(HOST, volumes=(replace(VOLUME, size=size),)),)
        assert keeper.reconcile() == changes
        assert file.stat().st_size == 3 * 1024**3
    # Sparse: only what is written takes room.
    assert file.stat().st_blocks == 0


@pytest.mark.parametrize("deleted", [False, True])
def test_a_terminated_instance_leaves_what_its_volume_says(
    keeper: Keeper, account: FakeAccount, machine: Notebook, deleted: bool
) -> None:
    account.instances = ()
    if deleted:
        account.volumes = frozenset()
    changes = keeper.reconcile()
    assert changes == ["removed pooled-a, whose instance is terminated"] + ["deleted vol-1"] * deleted
    assert machine.taken() == ["remove", "losetup --detach"]
    assert machine.settings.volume_file("vol-1").exists() is not deleted
    assert not machine.settings.host_dir("i-a").exists()


def test_symlinks_and_files_that_are_not_wanted_go(machine: Notebook, tmp_path: Path) -> None:
    directory = tmp_path / "tree"

    def write(contents: Mapping[str, str], symlinks: bool = False) -> bool:
        return machine.write_tree(directory, contents, symlinks=symlinks)

    assert write({"a/b": "1", "c": "2"})
    assert not write({"a/b": "1", "c": "2"})
    assert write({"c": "3"})
    assert [path.name for path in directory.rglob("*") if path.is_file()] == ["c"]
    assert write({"l": "../x"}, symlinks=True)
    assert not write({"l": "../x"}, symlinks=True)
    assert write({"l": "../y"}, symlinks=True)
    assert str((directory / "l").readlink()) == "../y"


def test_a_command_that_fails_is_a_sentence(machine: Notebook) -> None:
    real = Machine(machine.settings)
    with pytest.raises(MachineError, match=r"^Failed to look: sorry$"):
        real.run("look", "sh", "-c", "echo first >&2; echo sorry >&2; exit 3")
    with pytest.raises(MachineError, match=r"^Failed to look: exit code 3$"):
        real.run("look", "sh", "-c", "exit 3")
    with pytest.raises(MachineError, match=r"^Failed to look: .*No such file"):
        real.run("look", "/no/such/command")
    assert real.run("look", "cat", stdin="said") == "said"
    assert real.run("look", "sh", "-c", "echo done; exit 2", accept=(0, 2)) == "done\n"


def test_name_servers_are_read() -> None:
    text = (
        "search x\nnameserver 192.0.2.1\nnameserver 127.0.0.53\nnameserver fe80::1\n#nameserver 192.0.2.9\n"
    )
    assert resolvers([text, "nameserver 192.0.2.2\n"]) == ["192.0.2.1", "192.0.2.2"]
