"""Sampled pianos and the rooms they stand in: what a training corpus is played on."""
