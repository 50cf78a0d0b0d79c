"""Search in the browser: words by Pagefind, meaning by a compressed index, no server."""
