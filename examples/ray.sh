#!/bin/sh
# On the first machine: ray start --head. On each other one: ray start --address HEAD:6379. Then, on the first machine:
.venv/bin/python cli.py extract-teacher --data-dir s3://BUCKET/videos --cache-dir s3://BUCKET/cache \
    --engine ray --ray-address auto
