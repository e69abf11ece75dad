# Seesaw with repeat factor sampling and PCB, scaled like softmax_pcb.py.
_base_ = ["seesaw.py", "../_base_/pcb/scaled.py"]
model = dict(roi_head={{_base_.pcb.seesaw}})
