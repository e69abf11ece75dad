# Softmax with PCB and the published momentum, for comparison. On such a short schedule rare classes
# keep most of their first, untrained prediction.
_base_ = "softmax_pcb.py"
model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(momentum=0.99))))
