custom_imports = dict(imports=["pcb.detection"])
# Tells the loss which epoch is running, so that PCB starts when it should.
custom_hooks = [dict(type="LossEpochUpdateHook")]
log_config = dict(interval=10)  # iterations between records
fp16 = dict()  # on a GPU: dict(loss_scale="dynamic")
