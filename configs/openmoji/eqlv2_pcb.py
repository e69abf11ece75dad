# EQL v2 with PCB, scaled like softmax_pcb.py.
_base_ = ["eqlv2.py", "../_base_/pcb/scaled.py"]
model = dict(roi_head={{_base_.pcb.eqlv2}})
