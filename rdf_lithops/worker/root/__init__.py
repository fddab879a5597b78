"""Processes that have ROOT in them: ``parent`` has it warm and forks a ``slot`` per request; ``execute`` runs its graph."""
