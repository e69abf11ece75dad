# Softmax with PCB and the published momentum, for comparison: on a schedule this short, rare
# classes keep most of their first, untrained prediction.
_base_ = "softmax_pcb.py"
model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(momentum=0.99))))
