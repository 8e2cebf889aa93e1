"""The verbs of `thermal-sr` that need no orchestrator, one a module; `flows.cli` gathers them.

A verb imports at its top only what is quick to import, so that `--help` and a wrong option answer at once.

    options      what verbs share: arguments, consoles, exit codes
    plan, info   look before you run                verify, evaluate   is it whole, is it right
    settings     every setting                      train_prior        a prior from archives
    redo         take scenes, make products, again  catalog            the table of all products
    prune        old products, listed and deleted   rerun              made again, are the pixels equal
    diff         what another recipe changed        ls                 scenes by how they ended
    series       temperatures along time            explain            what a place of a product leans on
    export       a product as another file          networks, compare, benchmark   what networks cost and do
"""
