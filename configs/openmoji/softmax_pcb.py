# Softmax with PCB.
_base_ = "softmax.py"
model = dict(
    roi_head=dict(
        type="IterativeRoIHead",
        n_iter=3,
        mlp_layers=2,
        iter_loss_weight=[0.2, 0.2, 0.6],
        reg_iter=2,
        use_layer_norm=False,
        identity_init=True,
        bbox_head=dict(loss_cls=dict(alpha=0.4, start_epoch=7, momentum=0.95)),
    )
)
