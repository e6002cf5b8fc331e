"""The Celery result backend."""
