"""The processor, on which a run's results depend."""

import platform

from pcb.runs.processor import cpu_model


def test_processor_is_named(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel\t\t: 17\nmodel name\t: Abacus 1 \nflags\t: x\n")
    assert cpu_model(cpuinfo) == "Abacus 1"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: \nCPU implementer\t: 0x41\n")  # as on ARM
    assert cpu_model(cpuinfo) == platform.machine()
