"""Decide from what is known of two people whether they are one (Fellegi and Sunter, 1969).

`prepare` once, `blocking_keys` to find candidates, `compare` each, `judge` all. Pure: no database,
no clock; weights and thresholds are data (`load_weights`).
"""

from patient_index.matching.blocking import blocking_keys
from patient_index.matching.comparison import Comparison, FieldEvidence, compare
from patient_index.matching.records import MatchRecord, prepare
from patient_index.matching.verdict import Decision, Verdict, judge
from patient_index.matching.weights import Thresholds, Weights, load_weights

__all__ = [
    "Comparison",
    "Decision",
    "FieldEvidence",
    "MatchRecord",
    "Thresholds",
    "Verdict",
    "Weights",
    "blocking_keys",
    "compare",
    "judge",
    "load_weights",
    "prepare",
]
