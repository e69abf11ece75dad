# 24 epochs with 16 images per iteration: two on each of eight GPUs.
runner = dict(type="EpochBasedRunner", max_epochs=24)
auto_scale_lr = dict(base_batch_size=16)  # for `pcb doctor`; the learning rate is never scaled
optimizer = dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4)
optimizer_config = dict(grad_clip=None)
lr_config = dict(
    policy="step", step=[16, 22], warmup="linear", warmup_iters=500, warmup_ratio=0.001
)
fp16 = dict(loss_scale="dynamic")  # half precision on a GPU, single precision on a CPU
log_config = dict(interval=50)  # iterations between log records
