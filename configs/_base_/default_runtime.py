custom_imports = dict(imports=["pcb.detection"])
# Tells the loss which epoch is running, so that PCB starts when it should.
custom_hooks = [dict(type="LossEpochUpdateHook")]
