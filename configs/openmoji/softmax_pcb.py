# Softmax with PCB; momentum and start epoch scaled from the published 24 epochs to this schedule.
_base_ = ["softmax.py", "../_base_/pcb/scaled.py"]
model = dict(roi_head={{_base_.pcb.softmax}})
