"""Names of the files that hold students and training runs. Imports no torch: command-line defaults use them."""

BEST_STUDENT = "best_student.pt"
TRAINING_STATE = "training_state.pt"
