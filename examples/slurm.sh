#!/bin/bash
#SBATCH --job-name=embedonce
#SBATCH --array=1-8
#SBATCH --cpus-per-task=16
#SBATCH --gres=gpu:1
#SBATCH --time=24:00:00
#SBATCH --requeue
# Submit from the checkout: sbatch examples/slurm.sh. Submitting it again continues; so does --array=3 for one part.
PARTS=8
.venv/bin/python cli.py extract-teacher --data-dir videos --cache-dir results/teacher_cache \
    --part "$SLURM_ARRAY_TASK_ID/$PARTS" || [ $? -eq 3 ]
