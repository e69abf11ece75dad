"""A loss updates its state once for each batch it trains on, whatever the training loop."""

import copy
import gc
import io
import warnings
import weakref

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from pcb import CrossEntropyLoss, EQLv2Loss, PairwiseClassBalance, SeesawLoss

C, FEATURES, BATCH = 5, 4, 16


def batches(num, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num):
        labels = torch.randint(C, (BATCH,), generator=generator)
        labels[:C] = torch.arange(C)
        yield torch.randn(BATCH, FEATURES, generator=generator), labels


def states(module):
    """Return a copy of all buffers, including those that checkpoints leave out."""
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.fixture
def make_training(make_loss, make_balance):
    """Make a model and a criterion, identical on every call."""

    def make(**settings):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, C))
        return model, make_loss(make_balance(**settings), background=False)

    return make


@pytest.fixture
def total_of(total):
    """Compute the loss of a batch as a single tensor."""
    return lambda model, criterion, x, y: total(criterion(model(x), y))


@torch.no_grad()
def no_grad_validation(model, criterion):
    model.eval()
    for x, y in batches(3, seed=9):
        criterion(model(x), y)


@torch.inference_mode()
def inference_validation(model, criterion):
    model.eval()
    for x, y in batches(3, seed=9):
        criterion(model(x), y)


def evaluation_of_the_criterion(model, criterion):
    model.eval()
    criterion.eval()
    for x, y in batches(3, seed=9):
        criterion(model(x), y)


def cached_predictions(model, criterion):
    """Compute the loss without gradients from logits that still require them."""
    predictions = [(model(x), y) for x, y in batches(3, seed=9)]
    with torch.no_grad():
        for logits, y in predictions:
            criterion(logits, y)


@pytest.mark.parametrize(
    "validate",
    [
        no_grad_validation,
        inference_validation,
        evaluation_of_the_criterion,
        cached_predictions,
    ],
)
def test_validation_changes_nothing(make_training, total_of, validate):
    outcomes = []
    for validates in (False, True):
        model, criterion = make_training()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for epoch in (1, 2, 3):
            criterion.balance.set_epoch(epoch)
            model.train()
            criterion.train()
            for x, y in batches(4, seed=epoch):
                optimizer.zero_grad()
                total_of(model, criterion, x, y).backward()
                optimizer.step()
            if validates:
                validate(model, criterion)
        outcomes.append((states(criterion), criterion.balance._calls, model.state_dict()))
    assert outcomes[0][0]["balance.instance_count"].sum() == 3 * 4 * BATCH
    assert_same(*outcomes)


def test_validation_has_the_balanced_loss_of_what_was_learned(make_training, total_of):
    model, criterion = make_training()
    (x, y), (other_x, other_y) = batches(2)
    total_of(model, criterion, x, y)
    expected = total_of(model, copy.deepcopy(criterion).eval(), other_x, other_y)
    with torch.no_grad():
        value = total_of(model, criterion, other_x, other_y)
    assert criterion.balance.is_active()
    assert_same(value, expected.detach())


@pytest.mark.parametrize("frozen", ["parameters", "logits"])
def test_a_frozen_classifier_is_not_observed(make_training, total_of, frozen):
    model, criterion = make_training()
    before = states(criterion)
    (x, y), *_ = batches(1)
    if frozen == "parameters":
        model.requires_grad_(False)
        total_of(model, criterion, x, y)
    else:
        criterion(model(x).detach(), y)
    assert_same(states(criterion), before)


def test_a_balance_in_eval_mode_is_frozen(make_training, total_of):
    model, criterion = make_training()
    criterion.balance.eval()
    (x, y), *_ = batches(1)
    total_of(model, criterion, x, y)
    assert criterion.balance.instance_count.sum() == 0


def test_every_micro_batch_of_an_accumulated_step_is_observed(make_training, total_of):
    model, criterion = make_training()
    for x, y in batches(4):
        (total_of(model, criterion, x, y) / 4).backward()
    assert (criterion.balance.update_count == 4).all()


# Gradient checkpointing.


@pytest.fixture(params=[True, False], ids=["early_stop", "whole"])
def recomputation(request):
    """Let non-reentrant recomputation stop early, before it reaches the loss, or not."""
    with set_checkpoint_early_stop(request.param):
        yield


def train(model, criterion, step, num=3):
    """Yield the loss, the gradients and the state of each step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for x, y in batches(num):
        optimizer.zero_grad()
        value = step(x.requires_grad_(), y)
        value.backward()
        yield value.detach(), [p.grad.clone() for p in model.parameters()], states(criterion)
        optimizer.step()


def test_non_reentrant_checkpoint_changes_nothing(make_training, total_of, recomputation):
    outcomes = []
    for checkpoints in (False, True):
        model, criterion = make_training()

        def loss(x, y, model=model, criterion=criterion):
            return total_of(model, criterion, x, y)

        def step(x, y, loss=loss, checkpoints=checkpoints):
            return checkpoint(loss, x, y, use_reentrant=False) if checkpoints else loss(x, y)

        outcomes.append(list(train(model, criterion, step)))
    assert_same(*outcomes)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint_around_the_model_only(make_training, total_of, reentrant):
    outcomes = []
    for checkpoints in (False, True):
        model, criterion = make_training()

        def step(x, y, model=model, criterion=criterion, checkpoints=checkpoints):
            def run(x):
                return checkpoint(model, x, use_reentrant=reentrant) if checkpoints else model(x)

            return total_of(run, criterion, x, y)

        outcomes.append(list(train(model, criterion, step)))
    assert_same(*outcomes)


def test_reentrant_checkpoint_updates_at_the_end_of_the_backward_pass(make_training, total_of):
    """The state is updated once; value and gradient belong to the state before the step."""
    model, criterion = make_training()

    def loss(x, y):
        return total_of(model, criterion, x, y)

    for x, y in batches(3):
        before = copy.deepcopy(criterion).eval()
        expected = total_of(model, before, x, y)
        gradients = torch.autograd.grad(expected, list(model.parameters()))
        model.zero_grad()
        value = checkpoint(loss, x.requires_grad_(), y, use_reentrant=True)
        assert_same(states(criterion), states(before))
        value.backward()
        assert_same(value.detach(), expected.detach())
        torch.testing.assert_close([p.grad for p in model.parameters()], list(gradients))
        before.train()
        total_of(model, before, x, y)
        assert_same(states(criterion)["balance.confusion"], states(before)["balance.confusion"])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.5 * parameter.grad
    assert (criterion.balance.update_count == 3).all()


def refinement(model, criterion, total, run):
    """Return a step of three iterations, each run by ``run``."""

    def step(x, y):
        values, shift = [], torch.zeros(())
        for iteration in range(3):

            def of_iteration(x, shift, iteration=iteration):
                logits = model(x + shift)
                return total(criterion(logits, y, iteration=iteration)), logits.mean()

            value, shift = run(of_iteration, x, shift)
            values.append(value)
        return sum(values)

    return step


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradients_of_checkpointed_iterations_match_their_values(
    make_training, total, reentrant, recomputation
):
    """The state changes and the gate opens between an iteration and its recomputation."""
    model, criterion = make_training()
    criterion.balance.num_iterations = 3

    def run(function, *inputs):
        return checkpoint(function, *inputs, use_reentrant=reentrant)

    plain_model, plain_criterion = copy.deepcopy((model, criterion))
    if reentrant:  # all iterations see the state before the step
        plain_criterion.eval()
    plain = refinement(plain_model, plain_criterion, total, lambda f, *inputs: f(*inputs))
    checkpointed = refinement(model, criterion, total, run)
    for x, y in batches(3):
        outcomes = []
        for parameters, step in ((model, checkpointed), (plain_model, plain)):
            parameters.zero_grad()
            value = step(x.clone().requires_grad_(), y)
            value.backward()
            outcomes.append((value.detach(), [p.grad.clone() for p in parameters.parameters()]))
        torch.testing.assert_close(*outcomes)
        if reentrant:
            plain_criterion.load_state_dict(criterion.state_dict())
        else:
            assert_same(states(criterion), states(plain_criterion))
    assert (criterion.balance.update_count == 9).all()


def test_gate_opens_before_the_recomputation(make_training, total_of, recomputation):
    """The second batch contains the last class; the first batch had the plain loss."""
    outcomes = []
    for checkpoints in (False, True):
        model, criterion = make_training()
        values = []
        for x, y in batches(2):
            y = y.clamp(max=C - 2) if not values else y

            def loss(x, y=y, model=model, criterion=criterion):
                return total_of(model, criterion, x, y)

            x.requires_grad_()
            values.append(checkpoint(loss, x, use_reentrant=False) if checkpoints else loss(x))
        assert criterion.balance.is_active()
        sum(values).backward()
        outcomes.append(([p.grad for p in model.parameters()], states(criterion)))
    assert_same(*outcomes)


@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize("inner", [False, True])
def test_nested_checkpoints(make_training, total_of, outer, inner, recomputation):
    """Each outer checkpoint calls the loss twice."""
    model, criterion = make_training()

    def loss(x, y):
        return total_of(model, criterion, x, y)

    def both(x, y):
        return sum(checkpoint(loss, part, y, use_reentrant=inner) for part in (x, 2 * x))

    for x, y in batches(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from the inner one, which runs without gradients
            checkpoint(both, x.requires_grad_(), y, use_reentrant=outer).backward()
    assert (criterion.balance.update_count == 4).all()


def test_checkpointed_validation_changes_nothing(make_training, total_of):
    model, criterion = make_training()
    before = states(criterion)
    for reentrant in (False, True):
        for x, y in batches(1):
            with torch.no_grad():
                checkpoint(
                    lambda x, y=y: total_of(model, criterion, x, y),
                    x.requires_grad_(),
                    use_reentrant=reentrant,
                )
    assert_same(states(criterion), before)


# Other uses of autograd.


def test_second_backward_and_second_derivative(make_training, total, make_balance):
    model, criterion = make_training()
    (x, y), *_ = batches(1)
    value = total(criterion(model(x), y))
    value.backward(retain_graph=True)
    value.backward()
    assert (criterion.balance.update_count == 1).all()
    logits = torch.randn(BATCH, C, dtype=torch.float64, requires_grad=True)
    observed = total(criterion(logits, y))
    (first,) = torch.autograd.grad(observed, logits, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), logits)
    assert second.abs().sum() > 0 and second.isfinite().all()


def test_logits_modified_in_place_are_an_error():
    model = nn.Linear(FEATURES, C)
    (x, y), *_ = batches(1)
    logits = model(x)
    value = EQLv2Loss(C)(logits, y)  # saves its logits
    logits.sigmoid_()
    with pytest.raises(RuntimeError, match="modified in place"):
        value.backward()


def test_a_loss_is_freed_with_its_last_reference(make_training, total):
    """No memory waits for the garbage collector; otherwise GPUs would run out of it."""
    model, criterion = make_training()
    (x, y), *_ = batches(1)
    gc.collect()
    gc.disable()
    try:
        logits = model(x)
        value = total(criterion(logits, y))
        alive = weakref.ref(logits)
        del logits
        value.backward()
        del value
        assert alive() is None
    finally:
        gc.enable()


def test_copies_and_saved_files_of_a_loss(make_training, total_of):
    model, criterion = make_training()
    (x, y), *_ = batches(1)
    value = total_of(model, criterion, x, y)  # keeps the graph alive
    copied = copy.deepcopy(criterion)
    file = io.BytesIO()
    torch.save(criterion, file)
    file.seek(0)
    read = torch.load(file, weights_only=False)
    value.backward()
    for other in (copied, read):
        assert_same(states(other), states(criterion))
        total_of(model, other, x, y)
        assert (other.balance.update_count == 2).all()
    assert (criterion.balance.update_count == 1).all()


def test_mixed_precision(make_training, total_of):
    model, criterion = make_training()
    for x, y in batches(2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = total_of(model, criterion, x, y)
        value.backward()
        assert value.dtype == torch.float32
    assert criterion.balance.instance_count.sum() == 2 * BATCH


@pytest.mark.slow
def test_compiled_step():
    outcomes = []
    for compiles in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(FEATURES, C)
        criterion = SeesawLoss(C, PairwiseClassBalance(C, alpha=0.4))

        def step(x, y, model=model, criterion=criterion):
            return sum(criterion(model(x), y).values())

        step = torch.compile(step, backend="eager") if compiles else step
        values = []
        for x, y in batches(3):
            value = step(x, y)
            value.backward()
            values.append(value.detach())
        with torch.no_grad():
            step(x, y)
        outcomes.append((values, states(criterion), [p.grad for p in model.parameters()]))
    torch.testing.assert_close(*outcomes)
    assert (criterion.balance.update_count == 3).all()


def test_a_loss_without_state_works_with_torch_func():
    """``torch.func`` rejects the hooks that losses with state need."""
    (_, y), *_ = batches(1)
    logits = torch.randn(BATCH, C)
    gradient = torch.func.grad(CrossEntropyLoss(C))(logits, y)
    expected = torch.func.grad(nn.CrossEntropyLoss())(logits, y)
    torch.testing.assert_close(gradient, expected)
