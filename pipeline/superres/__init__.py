"""The science: arrays and tensors only; no file, no clock, no orchestrator.

    enhance      the method on one page: from a scene in kelvin to finer pixels on demand
    detail       where the network's detail comes from: this scene, a prior, or nowhere
    sensing/     what a sensor sees          bases/       what needs no learning
    networks/    what is trained             training/    how
    applying/    how it is applied           prior/       what other scenes teach
    judging/     how far it is trusted, and how wrong a pixel may be

A room imports only from rooms below it; pyproject.toml has the order, and a linter keeps it.
"""
