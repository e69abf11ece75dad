# PCB as published: the changes of a _pcb config to `model.roi_head` of its plain baseline.
refinement = dict(
    type="IterativeRoIHead",
    n_iter=3,
    mlp_layers=2,
    iter_loss_weight=[0.2, 0.2, 0.6],
    reg_iter=2,
    use_layer_norm=False,
)
# Epoch 17 of 24 is the first after the first drop of the learning rate.
balance = dict(start_epoch=17, momentum=0.99)
pcb = dict(
    softmax=dict(refinement, bbox_head=dict(loss_cls=dict(balance, alpha=0.4))),
    seesaw=dict(refinement, bbox_head=dict(loss_cls=dict(balance, alpha=0.05))),
    eqlv2=dict(
        refinement, use_layer_norm=True, bbox_head=dict(loss_cls=dict(balance, alpha_pcb=0.2))
    ),
)
del refinement, balance  # keys of the config would look like settings
