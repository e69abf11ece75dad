# LVIS's 2x schedule (24 epochs, steps at 16 and 22), scaled down. It uses AdamW because training
# starts from scratch.
runner = dict(type="EpochBasedRunner", max_epochs=5)
optimizer = dict(type="AdamW", lr=1e-3, weight_decay=0.05, fused=True)
optimizer_config = dict(grad_clip=dict(max_norm=10.0))
lr_config = dict(policy="step", step=[3], warmup="linear", warmup_iters=100, warmup_ratio=0.01)
fp16 = dict()  # single precision; for half precision on a GPU: dict(loss_scale="dynamic")
log_config = dict(interval=10)  # iterations between log records
