"""
What the service costs, beside what its parts cost by themselves.

``python -m benchmarks`` measures everything in one run against one PostgreSQL and prints ratios: a
number of another day or another machine says nothing here. README.md says what each number means.
"""
