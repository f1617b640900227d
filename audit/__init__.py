"""The post and the book, measured: `python -m audit`, or `make audit`.

claims.toml holds what post and book say, and the rule for each verdict; the modules here measure.
"""
