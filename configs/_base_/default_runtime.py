custom_imports = dict(imports=["pcb.detection"])
# Needed for mmdet's own training, which does not pass the epoch to the loss; `pcb train` does.
custom_hooks = [dict(type="LossEpochUpdateHook")]
# At the end of every epoch. dict(interval=500, by_epoch=False) adds one every 500 iterations.
checkpoint_config = dict(interval=1, by_epoch=True)
