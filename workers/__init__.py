"""The work: Celery tasks and the watchman drain the lanes through one engine."""
