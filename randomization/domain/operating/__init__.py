"""
Operating characteristics of a design: what can be guessed of it, how far it strays, what it needs.

``sources`` says how each design gives out arms, ``walks`` follows or samples it slot by slot, and the
other modules ask one question each. Pure: no Django, no clock, no secret. Every number has its
definition in ``definitions``, and docs/design-report.md tells how to read them.
"""
