"""The pages of the service: the path, and the folder under web/pages/ with its index.html.

The resources of a page are in its folder, and are served from /static/<folder>/.
"""

PAGES = {
    "/": "chat",
    "/nvc": "nvc",
    "/docs": "docs",
    "/documents": "documents",
}
