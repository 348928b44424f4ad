"""The study: every selection method on the same recorded candidates, scripts and verdicts of a labelled pool."""

from selection.study.record import SCHEMA_VERSION, StudyRecord
from selection.study.run import Size, StudySettings, study

__all__ = ["SCHEMA_VERSION", "Size", "StudyRecord", "StudySettings", "study"]
