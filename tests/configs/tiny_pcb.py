# The demo's model with PCB on the 8 classes of OpenMoji-LT tiny, for a few iterations.
_base_ = "../../configs/openmoji/softmax_pcb.py"
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=8, loss_cls=dict(num_classes=8, start_epoch=2)),
        mask_head=dict(num_classes=8),
    )
)
data = dict(samples_per_gpu=8, workers_per_gpu=0)
runner = dict(max_epochs=2)
lr_config = dict(step=[1], warmup=None)
log_config = dict(interval=1)
