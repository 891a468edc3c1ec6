"""The pages of the service, a line each: the path, and the folder under web/pages/ whose index.html is there.

What a page loads is in its folder, and comes from /static/<folder>/.
"""

PAGES = {
    "/": "chat",
}
