"""The doors out: everything on a page, and the whole catalog, in forms that other programs read.

One module a form. ``through.py`` says which page has which door and writes the files.
"""
