# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets in files and vault files, which are on the controller like the run's vault password."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, match_encrypt_secret
from ansible.plugins.action import ActionBase
from ansible_collections.pooled.postgres.plugins.module_utils._secrets import api, model
from ansible_collections.pooled.postgres.plugins.module_utils._secrets.errors import SecretsError, VaultError

_NO_LOCALHOST = (
    "Failed to load secrets: the inventory has no localhost to hold them. Add localhost as in"
    " inventory/aws/hosts.yml."
)
_ADVICE = "give it by --vault-password-file, --vault-id or ANSIBLE_VAULT_PASSWORD_FILE"


class RunVault:
    """The vault secrets of this run. They work as with `ansible-vault`."""

    def __init__(self, vault: VaultLib) -> None:
        self.vault = vault

    def check(self, path: Path) -> None:
        """Raise VaultError if the run has no vault password."""
        if not self.vault.secrets:
            raise VaultError(f"Failed to open {path}: this run has no vault password; {_ADVICE}")

    def decrypt(self, path: Path, content: bytes) -> tuple[bytes, Any]:
        """Return the plain text, and the vault secret that decrypted it. Raises VaultError."""
        if not self.vault.is_encrypted(content):
            raise VaultError(
                f"Failed to open {path}: it is not encrypted; run `ansible-vault encrypt {path}`"
            )
        try:
            plain, vault_id, secret = self.vault.decrypt_and_get_vault_id(content)
        except AnsibleError as error:
            raise VaultError(
                f"Failed to open {path}: none of this run's vault passwords fits; {_ADVICE}"
            ) from error
        return plain, (vault_id, secret)

    def encrypt(self, path: Path, plain: bytes, key: Any) -> bytes:
        """Return the encrypted text. Raises VaultError."""
        try:
            vault_id, secret = key or match_encrypt_secret(
                self.vault.secrets, encrypt_vault_id=C.DEFAULT_VAULT_ENCRYPT_IDENTITY
            )
            encrypted: bytes = self.vault.encrypt(plain, secret, vault_id=vault_id)
        except AnsibleError as error:
            raise VaultError(f"Failed to encrypt {path}: {error}") from error
        return encrypted


class ActionModule(ActionBase):  # type: ignore[misc]
    """Do what the module documents. The module itself handles Secrets Manager: it has boto3."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        super().run(tmp, task_vars)
        spec = {name: {"type": "raw"} for name in model.AWS_OPTIONS} | copy.deepcopy(model.ARGUMENT_SPEC)
        params = self.validate_argument_spec(spec, required_if=model.REQUIRED_IF)[1]
        variable = params.pop("variable")
        params["return_values"] = params["return_values"] or bool(variable)
        if variable and "localhost" not in (task_vars or {})["groups"]["all"]:
            return {"failed": True, "msg": _NO_LOCALHOST}
        if params["backend"] == "aws":
            result = self._secrets_manager(params, task_vars)
        else:
            result = self._on_controller(params)
        if params["return_values"] and not result.get("failed"):
            result["_ansible_no_log"] = True
            self._name_new(result)
        if variable and not result.get("failed"):
            values = {**(task_vars or {})["hostvars"]["localhost"].get(variable, {}), **result.pop("secrets")}
            # As add_host does: a variable in memory. Facts may go to a fact cache.
            result["add_host"] = {"host_name": "localhost", "host_vars": {variable: values}, "groups": []}
        return result

    def _name_new(self, result: dict[str, Any]) -> None:
        """Print the names of new secrets: no_log hides the diff together with the values."""
        for what in ("created", "restored"):
            if result[what]:
                verb = "would be " if self._task.check_mode else ""
                self._display.display(
                    f"Secrets {verb}{what}: {', '.join(result[what])}", color=C.COLOR_CHANGED
                )

    def _on_controller(self, params: dict[str, Any]) -> dict[str, Any]:
        try:
            result = model.ensure(self._store(params), params, self._task.check_mode)
        except SecretsError as error:
            return {"failed": True, "msg": str(error)}
        if not self._task.diff:
            del result["diff"]
        return result

    def _store(self, params: dict[str, Any]) -> model.Store:
        if params["backend"] == "vault":
            return api.VaultStore(params["vault_file"], RunVault(self._loader._vault))
        return api.FileStore(params["directory"])

    def _secrets_manager(self, params: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        if params["return_values"] and self._connection.transport != "local":
            return {
                "failed": True,
                "msg": "Failed to read secrets: their values would cross the network and show in -vvv; run"
                " the task on this machine, with `delegate_to: localhost`",
            }
        arguments = {name: value for name, value in self._task.args.items() if name != "variable"}
        arguments["return_values"] = params["return_values"]
        result: dict[str, Any] = self._execute_module(
            module_name="pooled.postgres.secrets", module_args=arguments, task_vars=task_vars
        )
        return result
