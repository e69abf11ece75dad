"""Training in its own process. Stand-ins replace the process, so that nothing is trained."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

from pcb.detection import load_config
from pcb.detection.engine.settings import comparable_settings
from pcb.runs.folder import RunFolder
from pcb.runs.settings import plain
from pcb.storage.writing import handing_over, writing_alone
from pcb.study import launch, run_state
from pcb.study.run_state import trainer
from tests.support.patience import PATIENCE
from tests.support.stand_in import write_command

pytestmark = pytest.mark.slow

CONFIG = "tests/configs/tiny_pcb.py"


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Replace `python -m pcb train ...` by a script; call the fixture with its body."""

    def write(body: str) -> None:
        script = write_command(tmp_path / "python", f"import json, sys, time\n{body}\n")
        monkeypatch.setattr(launch.sys, "executable", str(script))

    return write


@pytest.fixture
def finished(monkeypatch):
    """Count a run as finished once its folder contains a file `finished`."""
    monkeypatch.setattr(
        run_state, "_has_last_checkpoint", lambda run: (run.path / "finished").exists()
    )


def wait_until_ended(run: RunFolder) -> None:
    deadline = time.monotonic() + PATIENCE
    while trainer(run):
        assert time.monotonic() < deadline, "the process did not end"
        time.sleep(0.02)


def test_command_has_all_settings(stand_in, tmp_path):
    stand_in("print(json.dumps(sys.argv[1:]))")
    options = {"runner.max_epochs": 1, "data.train.ann_file": 'a\'b "c".json'}
    run = launch.start_training(CONFIG, tmp_path / "run", seed=3, cfg_options=options)
    wait_until_ended(run)
    module, name, command, config, *rest = json.loads((run.path / "train.out").read_text())
    assert [module, name, command] == ["-m", "pcb", "train"]
    assert Path(config).samefile(CONFIG)
    given = ["--work-dir", str(run.path), "--seed", "3", "--resume", "--cfg-options"]
    assert rest[:-1] == given and json.loads(rest[-1]) == options


def test_several_processes_are_started_by_torchrun(stand_in, tmp_path, monkeypatch):
    stand_in("print(json.dumps(sys.argv[1:]))")
    run = launch.start_training(CONFIG, tmp_path / "run", gpus=8)
    wait_until_ended(run)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=8", "-m", "pcb"]
    assert json.loads((run.path / "train.out").read_text())[:7] == [*start, "train"]

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for gpus, message in ((8, "`gpus` is 8, but .* only 2 GPUs"), (0, "at least 1, got 0")):
        with pytest.raises(ValueError, match=message):
            launch.start_training(CONFIG, tmp_path / "other", gpus=gpus)
    assert not (tmp_path / "other").exists()


@pytest.fixture
def write_in_terminal(tmp_path):
    """Start a process that writes to the folder as if it was started in a terminal."""

    started = []

    def start(purpose: str) -> subprocess.Popen:
        code = (
            "import sys; from pcb.storage.writing import writing_alone\n"
            "with writing_alone(*sys.argv[1:]): print('writes', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "run"), purpose]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()


def test_training_in_a_terminal_can_be_followed_and_stopped(tmp_path, write_in_terminal):
    run = RunFolder(tmp_path / "run")
    training = write_in_terminal("training")
    assert trainer(run)
    assert launch.start_training(CONFIG, run.path).path == run.path
    assert not (run.path / "train.out").exists()

    class Output(io.StringIO):
        """Stops the training as soon as the output says that it is followed."""

        def write(self, text: str) -> int:
            if "waiting until it ends" in text:
                launch.stop_training(run)
            return super().write(text)

    error = rf"before the last epoch\. See the output of process {training.pid} in its terminal on"
    with pytest.raises(RuntimeError, match=error), contextlib.redirect_stdout(Output()):
        launch.follow(run)
    assert training.wait(PATIENCE) < 0 and not trainer(run)


def test_prediction_is_no_training_and_excludes_one(tmp_path, write_in_terminal, stand_in):
    prediction = write_in_terminal("prediction")
    run = RunFolder(tmp_path / "run")
    assert not trainer(run) and not launch.stop_training(run)
    stand_in("print('started')")
    message = rf"process {prediction.pid} on .* \(prediction\) is writing to {run.path}: "
    with pytest.raises(ValueError, match=message):
        launch.start_training(CONFIG, run.path)
    assert not run.output_file.exists()


def test_running_training_with_other_settings_is_refused_or_replaced(stand_in, tmp_path):
    stand_in("print(sys.argv, flush=True); time.sleep(3600)")
    run = launch.start_training(CONFIG, tmp_path / "run")
    try:
        first = trainer(run).process
        options = {"optimizer.lr": 0.5}
        with pytest.raises(
            ValueError, match=r"different settings \(optimizer\.lr, processes, seed\)"
        ):
            launch.start_training(CONFIG, run.path, 1, options, gpus=2)
        launch.start_training(CONFIG, run.path, 1, options, replace=True)
        assert trainer(run)
        assert trainer(run).process != first
    finally:
        launch.stop_training(run)
    wait_until_ended(run)


def test_follow_prints_every_line_but_few_progress_lines(stand_in, finished, tmp_path, capsys):
    stand_in(
        "for i in range(100): print(f'epoch {i}')\n"
        "print('a warning', file=sys.stderr, flush=True)\n"
        f"open({str(tmp_path / 'run' / 'finished')!r}, 'w')\n"
        "print('no newline', end='')"
    )
    run = launch.start_training(CONFIG, tmp_path / "run")
    launch.follow(run, every=1000)
    assert sorted(capsys.readouterr().out.split("\n")) == ["", "a warning", "epoch 0", "no newline"]


def test_error_has_the_last_lines_of_the_output(stand_in, tmp_path):
    stand_in(
        "print('first'); [print('line', i) for i in range(59)]\n"
        "print('pcb: error: why'); print('torchrun says it at length')"
    )
    run = launch.start_training(CONFIG, tmp_path / "run")
    with pytest.raises(RuntimeError, match=r"before the last epoch(?s:.*)pcb: error: why") as error:
        launch.follow(run)
    assert "line 0" in str(error.value) and "first" not in str(error.value)
    assert str(error.value).endswith("why")


def test_interrupted_cell_prints_that_training_goes_on(stand_in, tmp_path):
    manager, client = start_new_kernel(startup_timeout=PATIENCE)
    stand_in("print('epoch 1', flush=True); time.sleep(3600)")
    run = launch.start_training(CONFIG, tmp_path / "run")
    shown = []

    def see(message: dict) -> None:
        shown.append(message)
        if "epoch 1" in message["content"].get("text", ""):
            manager.interrupt_kernel()  # as JupyterLab's button does

    code = "from pcb.study import launch; from pcb.runs.folder import RunFolder\n"
    code += f"launch.follow(RunFolder({str(run.path)!r}))"
    try:
        answer = client.execute_interactive(code, output_hook=see, timeout=PATIENCE)
        assert trainer(run)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        launch.stop_training(run)
    wait_until_ended(run)
    assert answer["content"]["status"] == "ok"  # and no traceback
    _, sentence = "".join(m["content"].get("text", "") for m in shown).splitlines()
    assert sentence.startswith(
        f"Training continues in {run.path}. To follow the training, run this cell again"
    )


def test_interrupted_cell_prints_that_training_has_ended(tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "_follow", interrupt)
    launch.follow(RunFolder(tmp_path / "run"))
    assert capsys.readouterr().out.startswith(f"Training in {tmp_path / 'run'} has ended")


def test_second_start_follows_the_first(stand_in, tmp_path):
    stand_in("print('training', flush=True); time.sleep(3600)")
    run = launch.start_training(CONFIG, tmp_path / "run")
    try:
        assert trainer(run)
        before = trainer(run)
        launch.start_training(CONFIG, tmp_path / "run")
        assert trainer(run) == before
    finally:
        assert launch.stop_training(run)
    wait_until_ended(run)
    assert not launch.stop_training(run)


def test_start_during_another_start_follows_that_one(stand_in, tmp_path, monkeypatch):
    stand_in("print('started')")
    run = RunFolder(tmp_path / "run").create()
    wanted = plain(comparable_settings(load_config(CONFIG), 0, 1))
    with handing_over(run.path, "training", json.dumps(wanted)):  # before there is a process
        assert launch.start_training(CONFIG, run.path).path == run.path
        with pytest.raises(ValueError, match=r"different settings \(seed\)"):
            launch.start_training(CONFIG, run.path, seed=1)
        monkeypatch.setattr(launch, "state_of", lambda run: run_state.RunState(run, "stopped"))
        assert launch.start_training(CONFIG, run.path).path == run.path  # both saw nothing running
    assert not run.output_file.exists()


def test_training_that_is_being_started_is_stopped_once_it_has_a_process(tmp_path):
    run = RunFolder(tmp_path / "run").create()
    with handing_over(run.path, "training", "{}") as lock:
        process = subprocess.Popen(["sleep", "3600"], stdin=lock.descriptor, start_new_session=True)
        threading.Timer(0.5, lock.taken_by, args=(process.pid,)).start()
        assert launch.stop_training(run)
        assert process.wait(PATIENCE) == -signal.SIGTERM


def test_training_on_another_machine_is_not_stopped(tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    with writing_alone(run.path, "training"):
        monkeypatch.setattr("socket.gethostname", lambda: "login2")
        with pytest.raises(ValueError, match=f"from this machine: stop process {os.getpid()} on"):
            launch.stop_training(run)


def test_lock_file_of_an_earlier_version_is_ignored(stand_in, tmp_path):
    run = RunFolder(tmp_path / "run").create()
    (run.path / "train.lock").write_text('123\n{"seed": 5}\n')
    stand_in("print('started')")
    wait_until_ended(launch.start_training(CONFIG, run.path))
    assert run.output_file.read_text() == "started\n"


WRITE = """
import os, sys, time
from pcb.storage.writing import writing_alone
with writing_alone(sys.argv[sys.argv.index("--work-dir") + 1], "training"):
    if os.fork() == 0:  # like a data-loading worker, which may outlive its process
        time.sleep(3600)
    print("epoch 1", flush=True)
    time.sleep({seconds})
print("the reason", flush=True)
"""


def wait_for_output(run: RunFolder) -> None:
    deadline = time.monotonic() + PATIENCE
    while "epoch 1" not in run.output_file.read_text():
        assert time.monotonic() < deadline, "the process did not take the lock over"
        time.sleep(0.02)


def test_training_holds_the_lock_until_it_ends(stand_in, tmp_path):
    stand_in(WRITE.format(seconds=3600))
    run = launch.start_training(CONFIG, tmp_path / "run")
    process = trainer(run).process
    try:
        wait_for_output(run)
        assert trainer(run).process == process and run_state.state_of(run).is_launched
        os.kill(process, signal.SIGKILL)
        wait_until_ended(run)  # though its child lives
    finally:
        os.killpg(process, signal.SIGKILL)


def test_output_after_the_last_write_is_printed(stand_in, tmp_path):
    stand_in(WRITE.format(seconds=0).replace("time.sleep(3600)", "os._exit(0)"))
    run = launch.start_training(CONFIG, tmp_path / "run")
    with pytest.raises(RuntimeError, match="the reason"):
        launch.follow(run)


def test_training_whose_launcher_died_keeps_the_lock_and_can_be_stopped(stand_in, tmp_path):
    """torchrun is such a launcher: its processes have their own sessions."""
    stand_in(
        "import subprocess\n"
        f"command = [{sys.executable!r}, '-c', {WRITE.format(seconds=3600)!r}, *sys.argv]\n"
        "subprocess.Popen(command, start_new_session=True).wait()"
    )
    run = launch.start_training(CONFIG, tmp_path / "run", gpus=2)
    wait_for_output(run)
    assert trainer(run).process != trainer(run).launched
    os.kill(trainer(run).launched, signal.SIGKILL)
    assert trainer(run) and launch.start_training(CONFIG, run.path, gpus=2).path == run.path
    assert launch.stop_training(run)
    wait_until_ended(run)


def test_launcher_whose_training_process_died_can_be_stopped(stand_in, tmp_path):
    stand_in(
        "import subprocess\n"
        f"command = [{sys.executable!r}, '-c', {WRITE.format(seconds=3600)!r}, *sys.argv]\n"
        "subprocess.Popen(command, start_new_session=True).wait(); time.sleep(3600)"
    )
    run = launch.start_training(CONFIG, tmp_path / "run", gpus=2)
    wait_for_output(run)
    os.kill(trainer(run).process, signal.SIGKILL)
    assert launch.stop_training(run)
    wait_until_ended(run)


def test_training_outlives_its_starter(tmp_path):
    run = RunFolder(tmp_path / "run").create()
    code = (
        "import sys; from pcb.study import launch; sys.executable = sys.argv[1];"
        f"launch.start_training({CONFIG!r}, {str(run.path)!r})"
    )
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nsleep 3600\n")
    script.chmod(0o755)
    subprocess.run([sys.executable, "-c", code, str(script)], check=True, start_new_session=True)
    assert trainer(run)
    process = trainer(run).process
    assert os.getsid(process) == process
    assert launch.stop_training(run)
    wait_until_ended(run)


def test_unknown_option_starts_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"did you mean runner\.max_epochs"):
        launch.start_training(CONFIG, tmp_path / "run", cfg_options={"runner.max_epoch": 1})
    assert not (tmp_path / "run").exists()


@pytest.fixture
def trained(tmp_path):
    """A folder as a finished training of CONFIG leaves it, as far as `launch` reads it."""
    from pcb.detection.checkpoint import save_checkpoint
    from pcb.detection.config.loading import save_config

    run = RunFolder(tmp_path / "run").create()
    save_config(load_config(CONFIG), run.config_file)
    run.write_environment({"seed": 0})
    save_checkpoint(run.checkpoint, {"meta": {"epoch": 2, "iter": 6}})
    return run


def test_finished_training_is_not_started_again(trained, stand_in, capsys):
    stand_in("print('started')")
    run = launch.start_training(CONFIG, trained.path)
    launch.follow(run)
    assert "has finished: nothing to do" in capsys.readouterr().out
    assert not (run.path / "train.out").exists()


def test_interrupted_training_is_resumed(trained, stand_in):
    from pcb.detection.checkpoint import save_checkpoint

    save_checkpoint(trained.checkpoint, {"meta": {"epoch": 1, "iter": 3}})
    stand_in("print(*sys.argv)")
    wait_until_ended(launch.start_training(CONFIG, trained.path))
    assert "--resume" in (trained.path / "train.out").read_text()


def test_checkpoint_without_a_config_is_not_resumed_as_something_else(trained, stand_in):
    stand_in("print(*sys.argv)")
    trained.config_file.unlink()
    with pytest.raises(ValueError, match=r"unknown, because config\.py is missing"):
        launch.start_training(CONFIG, trained.path)
    wait_until_ended(launch.start_training(CONFIG, trained.path, replace=True))
    assert "--replace" in trained.output_file.read_text()


def test_other_settings_are_refused_or_replaced(trained, stand_in):
    stand_in("print(*sys.argv)")
    options = {"optimizer.lr": 0.5}
    with pytest.raises(ValueError, match=r"different settings \(optimizer\.lr, seed\)"):
        launch.start_training(CONFIG, trained.path, seed=1, cfg_options=options)
    assert not (trained.path / "train.out").exists()
    wait_until_ended(launch.start_training(CONFIG, trained.path, 1, options, replace=True))
    words = (trained.path / "train.out").read_text()
    assert "--resume" not in words and "--replace" in words
