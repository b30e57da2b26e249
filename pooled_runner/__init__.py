# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scripted runs of the playbooks.

cli reads the command line (request) and prints the outcome (tables). commands has one file for each verb.
execute runs ansible-playbook through ansible-runner; events folds its events into a state, and progress shows
that state on stderr. interrupt stops a run and every process below it.
"""
