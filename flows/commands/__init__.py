"""The verbs of `thermal-sr` that run scenes or ask the orchestrator, one a module; `flows.cli` gathers them.

Prefect and torch take seconds to import, so a verb imports them itself when it is called.
"""
