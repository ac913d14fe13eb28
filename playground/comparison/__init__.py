"""Several ways to decode side by side: the engine of the Compare page and of `compare`."""

from playground.comparison.contract import Kind, Real
from playground.comparison.engine import MAX_SPECS, Comparison, LaneResult, Loaded
from playground.comparison.kinds import kind_of

__all__ = ["MAX_SPECS", "Comparison", "Kind", "LaneResult", "Loaded", "Real", "kind_of"]
