"""The one room that reads config.*: from knobs to the parts of a run.

networks   S and D, and their state before the first step
step       the training step, and the combinations it refuses
data       which images train, validate and test, and what is known of them
inference  from a trained run to masks and diagnoses
trained    what a run keeps of its training
run        everything the loop needs
"""
