"""Many scenes at once: what a night has to do, how long it takes, what became of it.

night ──► forecast, plan_map     before: what is to do, its cost, where it lies
report ─► pages, night_metrics   after: what became of every scene, for people and for Prometheus
upkeep                           between: products that are damaged, old or superseded
"""
