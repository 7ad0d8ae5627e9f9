import stat
import subprocess

import pytest

from transports.kafka.broker.archive import archive_flags
from transports.kafka.broker.prepare import prepare
from transports.kafka.broker.progress import silent

pytestmark = pytest.mark.kafka


def test_kafkas_classes_come_from_the_archive(tmp_path):
    runtime = prepare(silent)
    log = tmp_path / "classes"
    logged = runtime._replace(flags=(*runtime.flags, f"-Xlog:class+load:file={log}"))

    subprocess.run(logged.command("64m", "kafka.Kafka"), capture_output=True, check=False)

    loaded = {
        line.split("] ")[-1].split(" ")[0]: line.endswith("source: shared objects file")
        for line in log.read_text().splitlines()
    }
    assert loaded["kafka.Kafka$"]
    assert sum(loaded.values()) > 0.9 * len(loaded)


def test_a_java_that_makes_no_archive_does_without_and_is_not_asked_again(tmp_path):
    runtime = prepare(silent)
    java = tmp_path / "java"
    java.write_text(
        "#!/bin/sh\n"
        'for word in "$@"; do [ "$word" = -Xshare:dump ] && exit 1; done\n'
        f'exec {runtime.java} "$@"\n'
    )
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    runtime, steps = runtime._replace(java=java, flags=()), []

    flags = archive_flags(runtime, tmp_path / "archives", steps.append)
    again = archive_flags(runtime, tmp_path / "archives", steps.append)

    assert flags == again == ()
    assert len(steps) == 1
