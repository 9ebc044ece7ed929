"""SNIPS: requests to a voice assistant."""
