"""Properties of all losses: identities, gradients, precision, invalid input."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pcb import CrossEntropyLoss


@pytest.mark.parametrize("background", [True, False])
def test_without_strength_it_is_the_plain_loss(
    make_loss, make_balance, make_batch, total, background
):
    logits, labels = make_batch(background=background)
    outcomes = []
    for balance in (None, make_balance(alpha=0.0), make_balance(start_epoch=2)):
        loss = make_loss(balance, background).double()
        for _ in range(2):  # Seesaw and EQL v2 change from call to call
            value = total(loss(logits, labels))
            (gradient,) = torch.autograd.grad(value, logits)
            outcomes.append((value.detach(), gradient))
    plain = outcomes[:2]
    for others in (outcomes[2:4], outcomes[4:]):
        torch.testing.assert_close(others, plain, rtol=0, atol=0)


def test_the_first_of_several_iterations_is_the_plain_loss(
    make_loss, make_balance, make_batch, total
):
    logits, labels = make_batch()
    plain = make_loss().double()
    balanced = make_loss(make_balance(num_iterations=3)).double()
    values = [total(plain(logits, labels)), total(balanced(logits, labels, iteration=0))]
    torch.testing.assert_close(*values)
    assert total(balanced(logits, labels, iteration=2)) != total(plain(logits, labels))


def test_a_single_iteration_has_the_full_strength(make_loss, make_balance, make_batch, total):
    logits, labels = make_batch()
    values = [
        total(make_loss(make_balance(num_iterations=k)).double()(logits, labels, iteration=k - 1))
        for k in (1, 3)
    ]
    torch.testing.assert_close(*values)


def test_a_diagonal_matrix_gives_the_one_hot_label(make_loss, make_balance, make_batch, total):
    """Without confusion, there is nothing to counter."""
    logits, labels = make_batch()
    balanced = make_loss(make_balance(alpha=1.0)).double()
    balanced.balance.observe = lambda *_: None
    balanced.balance.instance_count.fill_(1)
    balanced.balance.confusion.copy_(torch.eye(5))
    plain = make_loss().double()
    if isinstance(plain, CrossEntropyLoss):
        # The divergence is averaged over all samples; average the cross-entropy alike.
        plain_value = plain(logits, labels, avg_factor=len(labels))
        value = balanced(logits, labels, avg_factor=len(labels))
    else:
        plain_value, value = total(plain(logits, labels)), total(balanced(logits, labels))
    torch.testing.assert_close(value, plain_value)
    gradients = [torch.autograd.grad(x, logits)[0] for x in (value, plain_value)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("background", [True, False])
def test_gradient_with_balance(make_loss, make_balance, make_batch, total, background):
    logits, labels = make_batch(num=12, background=background)
    loss = make_loss(make_balance(momentum=0.0), background).double()
    loss(logits, labels)  # fills the matrix
    loss.eval()  # the observed state is constant in the gradient
    # So are Seesaw's factors: neither mmdet nor the paper differentiates them.
    if hasattr(loss, "log_factors"):
        factors = loss.log_factors(logits[labels < 5, :5].detach(), labels[labels < 5])
        loss.log_factors = lambda *_: factors
    assert torch.autograd.gradcheck(lambda x: total(loss(x, labels)), logits)


def test_batch_without_positives_or_without_anything(make_loss, make_balance, make_batch, total):
    loss = make_loss(make_balance()).double()
    logits, labels = make_batch()
    names = _names(loss(logits, labels))  # contains every class, which opens the gate
    negatives = loss(logits, torch.full_like(labels, 5))
    assert total(negatives) > 0
    empty = logits[:0].detach().requires_grad_()
    nothing = loss(empty, labels[:0])
    total(nothing).backward()
    assert total(nothing) == 0
    # Logs are averaged over processes, so every process must return the same terms.
    assert _names(negatives) == _names(nothing) == names


def test_a_value_that_is_not_finite_affects_only_one_step(
    make_loss, make_balance, make_batch, total
):
    logits, labels = make_batch()
    loss = make_loss(make_balance()).double()
    loss(logits, labels)
    broken = logits.detach().clone()
    broken[0, 1], broken[1, 2] = torch.nan, torch.inf
    loss(broken.requires_grad_(), labels)
    assert all(value.isfinite().all() for value in loss.state_dict().values())
    assert total(loss(logits, labels)).isfinite()


def _names(losses):
    return set(losses) if isinstance(losses, dict) else None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(make_loss, make_balance, make_batch, total, dtype):
    logits, labels = make_batch(dtype=torch.float32)
    half = logits.detach().to(dtype).requires_grad_()
    value = total(make_loss(make_balance().float())(half, labels))
    assert value.dtype == torch.float32
    again = total(make_loss(make_balance().float())(half.float(), labels))
    torch.testing.assert_close(value, again, rtol=0, atol=0)
    value.backward()
    assert half.grad.dtype == dtype and half.grad.isfinite().all()


def test_double_precision_stays(make_loss, make_balance, make_batch, total):
    logits, labels = make_batch()
    assert total(make_loss(make_balance())(logits, labels)).dtype == torch.float64


@pytest.mark.parametrize("background", [True, False])
def test_label_out_of_range_is_named(make_loss, make_batch, background):
    logits, labels = make_batch(background=background)
    labels[3] = 14
    with pytest.raises(ValueError, match=f"lie in .0, {4 + background}., got 14"):
        make_loss(None, background)(logits, labels)


def test_invalid_labels_do_not_change_the_state(make_loss, make_balance, make_batch):
    loss = make_loss(make_balance())
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    logits, labels = make_batch()
    labels[0] = -1
    with pytest.raises(ValueError, match="got -1"):
        loss(logits, labels)
    torch.testing.assert_close(dict(loss.state_dict()), before)


def test_validation_changes_nothing(make_loss, make_balance, make_batch):
    loss = make_loss(make_balance()).eval()
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss(*make_batch())
    torch.testing.assert_close(dict(loss.state_dict()), before)


def test_wrong_widths_are_named(make_loss, make_balance):
    with pytest.raises(ValueError, match=r"\(N, \d\) for 5 classes and background.* got \(1, 9\)"):
        make_loss()(torch.zeros(1, 9), torch.tensor([0]))
    with pytest.raises(ValueError, match="num_classes=4, but the loss has num_classes=5"):
        make_loss(make_balance(num_classes=4))


def test_scores_are_probabilities(make_loss, make_batch):
    for background in (True, False):
        scores = make_loss(None, background).scores(make_batch(background=background)[0])
        assert scores.shape == (32, 5 + background)
        assert scores.min() >= 0 and scores.max() <= 1


class Waits(TorchDispatchMode):
    """Counts operations for which the host would wait for a GPU: they return numbers or sizes."""

    NAMES = ("_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "bincount", "equal")

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        masks = any(i is not None and i.dtype == torch.bool for i in self._indices(function, args))
        self.count += function.overloadpacket.__name__ in self.NAMES or masks
        return function(*args, **(kwargs or {}))

    @staticmethod
    def _indices(function, args):
        return args[1] if function.overloadpacket.__name__ in ("index", "index_put_") else ()


def test_host_waits_at_most_three_times_in_a_training_step(make_loss, make_balance, make_batch):
    """A step calls the loss in each of three refinement iterations, with the same labels."""
    loss = make_loss(make_balance(num_iterations=3)).double()
    loss._check_range = lambda _labels: None  # only on the CPU
    logits, labels = make_batch()
    counts = []
    for _ in range(3):  # steps
        step_labels = labels.clone()
        with Waits() as waits:
            for iteration in range(3):
                loss(logits, step_labels, iteration=iteration)
        counts.append(waits.count)
    assert loss.balance.current_strength() == 0.4
    assert counts[-1] <= 3 and counts[0] > 0


def test_labels_that_change_in_place_are_read_again(make_loss, make_balance, make_batch, total):
    """Also if PyTorch cannot notice it, because NumPy changes them."""
    loss, fresh = (make_loss(make_balance()).double().eval() for _ in range(2))
    logits, labels = make_batch()
    array = labels.numpy().copy()
    shared = torch.from_numpy(array)
    loss(logits, shared)
    array[:] = array[::-1].copy()
    torch.testing.assert_close(total(loss(logits, shared)), total(fresh(logits, shared.clone())))
