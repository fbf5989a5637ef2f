"""Which options of search-cache the function search() does not take: those of the cache, which is its argument, of
output files, and of near-duplicates."""

NOT_TAKEN = ("cache_dir", "duplicates", "threshold", "json", "html", "overwrite")
