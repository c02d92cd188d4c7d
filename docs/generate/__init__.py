"""Generator of the documentation: parts made from the code, and the source tree of the site.

`python -m docs.generate` writes the whole tree: the pages of `docs/`, with every line
`<!-- generate: NAME -->` replaced by what `parts.PARTS[NAME]` returns.
"""
