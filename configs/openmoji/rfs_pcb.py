# Softmax with repeat factor sampling (RFS) and PCB, scaled like softmax_pcb.py.
_base_ = ["rfs.py", "../_base_/pcb/scaled.py"]
model = dict(roi_head={{_base_.pcb.softmax}})
