"""ATIS: questions about flights."""
