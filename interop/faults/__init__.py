"""Plays of faults, of hostile input, of permission and of erasure, against the real binary."""
