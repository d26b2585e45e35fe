"""Comparing methods: runs, results, statistics, pictures."""
