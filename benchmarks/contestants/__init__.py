"""Who is measured: b24oauth, its peers and bare HTTP clients, each in a file of its own and a process of its own."""

from benchmarks.contestants.base import CONTESTANTS, Client, Contestant, Target

__all__ = ["CONTESTANTS", "Client", "Contestant", "Target"]
