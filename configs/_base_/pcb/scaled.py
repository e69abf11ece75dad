# PCB, scaled from 24 epochs with a pretrained backbone to 5 epochs from scratch.
_base_ = "published.py"
scaled = dict(
    identity_init=True,
    bbox_head=dict(
        loss_cls=dict(
            # Published: epoch 17 of 24, right after the first drop of the learning rate.
            start_epoch=4,
            # pcb.scaled_momentum(27): the rarest class has 3 images. Each image gives 3 calls of
            # the loss per epoch, in 3 epochs before PCB acts.
            momentum=0.92,
        )
    ),
)
pcb = dict(softmax=scaled, seesaw=scaled, eqlv2=scaled)
del scaled  # a key of the config would look like a setting
