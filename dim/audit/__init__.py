"""The audit: what a reported number on a dataset would hide, and subsets on which it hides less."""

from dim.audit.dataset import audit_dataset
from dim.audit.findings import AUDIT_VERSION, Audit, Finding, Thresholds
from dim.audit.table import print_audit, print_verdicts

__all__ = [
    "AUDIT_VERSION",
    "Audit",
    "Finding",
    "Thresholds",
    "audit_dataset",
    "print_audit",
    "print_verdicts",
]
