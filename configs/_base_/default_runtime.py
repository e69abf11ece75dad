custom_imports = dict(imports=["pcb.detection"])
# For mmdet's own training, which does not tell the loss which epoch is running; `pcb train` does.
custom_hooks = [dict(type="LossEpochUpdateHook")]
# At the end of every epoch; dict(interval=500, by_epoch=False) adds one every 500 iterations of it.
checkpoint_config = dict(interval=1, by_epoch=True)
