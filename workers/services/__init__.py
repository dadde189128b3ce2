"""Load, decide (domain), call, record: plain functions, with no Celery in sight."""
