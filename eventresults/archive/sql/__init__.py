"""Asking an archive in SQL: DuckDB inside this process, which may read the archive's files and nothing else."""
