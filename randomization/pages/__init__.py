"""
Pages to read and print: one HTML file each, with drawings made here and nothing fetched from outside.

Pure: they are given what they show, and return text.
"""
