"""Trainings in processes of their own: which there can be, starting, watching, stopping them."""
