"""Measurements. Figures are compared within one run only: machines are noisy."""
