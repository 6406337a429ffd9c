"""Experiments: base.py holds every knob, the others small deltas of it."""
