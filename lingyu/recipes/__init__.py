"""Recipes that rebuild a known system on a corpus of samples/, and check that the result does what the system did.

A recipe is a params.yaml with only what differs (lingyu/params/rewrite.py) and a section `recipe` about itself. It runs in a folder of
its own, .lingyu/recipes/NAME, with the DVC cache of the project.
"""
