# Softmax with PCB; momentum and start epoch scaled from the published 24 epochs to this schedule.
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
        bbox_head=dict(
            loss_cls=dict(
                alpha=0.4,
                # Published: 17 of 24, right after the first drop of the learning rate.
                start_epoch=4,
                # pcb.scaled_momentum(27): the rarest class has 3 images, each of which gives 3
                # calls in each of the 3 epochs before PCB acts.
                momentum=0.92,
            )
        ),
    )
)
