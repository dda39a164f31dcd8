"""Adapters for web frameworks; each module needs its framework."""
