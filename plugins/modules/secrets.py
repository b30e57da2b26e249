#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets
short_description: Generate missing secrets, and read them
version_added: 0.1.0
description:
  - Generates the secrets that are missing, each of 32 letters and digits, and keeps them in files, in a vault
    file or in AWS Secrets Manager.
  - It never changes a secret that exists.
  - Simultaneous runs lose no secret. All of them return the value that was stored first.
options:
  names:
    description:
      - Names of the secrets, for example of the users whose passwords they are.
      - With V(files) a name must be a valid file name of at most 200 bytes that does not begin with a dot.
      - With V(aws) a name consists of letters, digits and C(/_+=.@-).
    type: list
    elements: str
    required: true
  backend:
    description:
      - The store of the secrets.
      - V(files) is a directory on the machine that runs the playbook, with a file for each secret.
      - V(vault) is a single YAML file there, encrypted as by C(ansible-vault) with the run's vault password.
      - V(aws) is AWS Secrets Manager.
    type: str
    choices: [files, vault, aws]
    default: files
  state:
    description:
      - V(absent) removes the secrets.
      - In Secrets Manager it removes only those with the tag C(Stack) and the value of O(stack). They
        can be restored for seven days, unless O(force) is set.
    type: str
    choices: [present, absent]
    default: present
  return_values:
    description:
      - Return the values of the secrets, see RV(secrets). Set C(no_log) on such a task.
      - In check mode a secret that would be generated or restored has a random value that the module does
        not store.
      - With O(backend=aws) the task must run on a local connection.
    type: bool
    default: false
  variable:
    description:
      - Add the values to this variable of localhost, a dictionary by name, for the rest of the run.
      - They stay in memory. No fact cache, log or result shows them.
    type: str
  directory:
    description:
      - The directory of the files, with O(backend=files). A missing directory is created with mode C(0700).
      - The directory and the files must be closed to everyone but their owner.
    type: path
  vault_file:
    description:
      - The file, with O(backend=vault). Other entries stay in it, but comments do not.
      - It stays encrypted with the vault secret that decrypted it. A new file is encrypted with the one that
        C(ANSIBLE_VAULT_ENCRYPT_IDENTITY) names, else with the first vault secret of the run.
      - The file can also be read without this module, for example by C(vars_files).
    type: path
  prefix:
    description: The prefix of the names in Secrets Manager, for example the name of the stack and a slash.
    type: str
    default: ""
  stack:
    description: The value of the tag C(Stack) of new secrets, with O(backend=aws).
    type: str
  force:
    description: With O(backend=aws) and O(state=absent), delete for good without a recovery window.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - pooled.postgres.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: The diff names secrets and never shows a value.
notes:
  - With O(backend=files) and O(backend=vault) everything happens on the controller, whatever the host of
    the task.
  - Only O(backend=aws) uses the options of AWS modules.
  - It calls C(secretsmanager:BatchGetSecretValue), C(secretsmanager:GetSecretValue) and, to create, restore
    or remove a secret, C(secretsmanager:CreateSecret) and C(secretsmanager:TagResource),
    C(secretsmanager:RestoreSecret), or C(secretsmanager:DescribeSecret) and C(secretsmanager:DeleteSecret).
seealso:
  - plugin: ansible.builtin.password
    plugin_type: lookup
  - name: Deletion of secrets
    description: About the recovery window.
    link: https://docs.aws.amazon.com/secretsmanager/latest/userguide/manage_delete-secret.html
author:
  - Pooled Postgres maintainers (@pooled-postgres)
"""

EXAMPLES = r"""
- name: Generate the password of the application
  pooled.postgres.secrets:
    names: [myuser]
    directory: .state/aws/secrets
  delegate_to: localhost

- name: Read the password of the application
  pooled.postgres.secrets:
    names: [myuser]
    backend: vault
    vault_file: secrets.vault.yml
    return_values: true
  delegate_to: localhost
  no_log: true
  register: found # found.secrets.myuser

- name: Generate the password of the application in Secrets Manager
  pooled.postgres.secrets:
    names: [myuser]
    backend: aws
    prefix: pooled/
    stack: pooled
    region: ap-southeast-1
  delegate_to: localhost

- name: Remove the password of the application, which can be restored for seven days
  pooled.postgres.secrets:
    names: [myuser]
    backend: aws
    prefix: pooled/
    stack: pooled
    region: ap-southeast-1
    state: absent
  delegate_to: localhost
"""

RETURN = r"""
created:
  description: Names of secrets that were generated.
  returned: success
  type: list
  elements: str
  sample: [myuser]
restored:
  description: Names of secrets that were scheduled for deletion and were restored, with their values.
  returned: success
  type: list
  elements: str
  sample: []
removed:
  description: Names of secrets that were removed.
  returned: success
  type: list
  elements: str
  sample: []
secrets:
  description: The values by name.
  returned: if O(return_values) and O(state=present)
  type: dict
  sample: {myuser: x8hAyZdVIhN1FG9h2ZyT0DUKUdC2GqTB}
"""

import copy

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.pooled.postgres.plugins.module_utils._secrets import model
from ansible_collections.pooled.postgres.plugins.module_utils._secrets.errors import SecretsError
from ansible_collections.pooled.postgres.plugins.module_utils._secrets.manager import ManagerStore


def main() -> None:
    """Handle Secrets Manager. The action plugin of the same name handles files and vault files."""
    module = AnsibleAWSModule(
        argument_spec=copy.deepcopy(model.ARGUMENT_SPEC),
        required_if=model.REQUIRED_IF,
        supports_check_mode=True,
    )
    params = module.params
    if params["backend"] != "aws":
        module.fail_json(msg=f"Failed to use the backend {params['backend']}: only the action plugin has it")
    try:
        store = ManagerStore(
            module.client("secretsmanager"), params["prefix"], params["stack"], params["force"]
        )
        result = model.ensure(store, params, module.check_mode)
    except SecretsError as error:
        module.fail_json(msg=str(error))
    for name, value in result.get("secrets", {}).items():
        # Ansible would mask this part, and the masked value would become the password.
        if any(hidden in value for hidden in module.no_log_values):
            module.fail_json(
                msg=f"Failed to return secret {params['prefix']}{name}: a credential of AWS is part of it"
            )
    for name in store.strangers:
        module.warn(
            f"Secret {params['prefix']}{name} stays: it lacks the tag Stack={params['stack']}, so this"
            " stack did not create it"
        )
    if not module._diff:
        del result["diff"]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
