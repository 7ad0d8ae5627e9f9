from chaos.checker import check_run
from chaos.history import Writer
from chaos.report import failed_calls, report
from chaos.run import Plan
from chaos.workload import answer_to, digest


def call(writer, name, method, **end):
    writer.write(
        "invoke",
        call=name,
        client="c",
        method=method,
        mode="alo",
        idempotent=True,
        key=None,
        idem=None,
        args=digest(name),
        deadline=1e12,
    )
    fields = dict.fromkeys(("code", "certainty", "reply", "server"))
    writer.write("end", call=name, **fields | end)


def test_a_report_counts_outcomes_faults_and_latencies(tmp_path):
    client, server = Writer(tmp_path, "client", 0), Writer(tmp_path, "server", 0)
    server.write("start", call="a", key=None, topic="t", partition=0, offset=0)
    call(client, "a", "echo", outcome="ok", reply=answer_to(digest("a")), server=7)
    call(client, "b", "once", outcome="error", code="UNAVAILABLE", certainty="UNKNOWN")
    server.write("fault", name="cut", phase="on", args={})
    for count in range(100):
        server.write("gauge", rss=count << 20, threads=5, fds=9, pending=0)

    page = report(Plan(seed=5), tmp_path, check_run(tmp_path))

    assert "python -m chaos --brokers 1 --minutes 1 --rate 100 --seed 5" in page
    assert "| ok | 1 |" in page
    assert "| UNAVAILABLE UNKNOWN | 1 |" in page
    assert "| cut | 1 |" in page
    assert "| echo | 1 |" in page
    assert "MiB" in page


def test_calls_that_had_to_succeed_are_told_by_method_and_code_and_when_they_were_made(tmp_path):
    nemesis, clients = Writer(tmp_path, "nemesis", 0), [Writer(tmp_path, "client", n) for n in "01"]
    nemesis.write("fault", name="cut", phase="on", args={})
    told = {"outcome": "error", "code": "UNAVAILABLE", "certainty": "UNKNOWN"}
    call(clients[0], "a", "echo", outcome="ok")
    call(clients[0], "b", "echo", **told, message="nobody serves")
    call(clients[1], "c", "once", **told, message="nobody serves")
    call(clients[1], "d", "echo", **told, message="no reply")

    failed = failed_calls(tmp_path, ["echo"])

    assert list(failed) == ["echo: UNAVAILABLE UNKNOWN"]
    echo = failed["echo: UNAVAILABLE UNKNOWN"]
    assert (echo.calls, echo.message) == (2, "nobody serves")
    assert 0 < echo.first < echo.last < 5
    assert str(echo._replace(first=1.23, last=4.0)) == (
        "2 calls, begun 1.2 to 4.0 s after the first fault; the first: nobody serves"
    )
