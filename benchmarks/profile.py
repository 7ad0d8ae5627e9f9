"""`make profile`: the stages of one call on both sides, and where the processor time goes.

    python -m benchmarks.profile [--bootstrap HOST:PORT] [--query 'frames=false'] [--seconds 4]

The stages are the times between joints of a call, by the clock that all processes of a machine
share: medians of the calls of one run, 1 in flight by `result()` and 512 by `.future` and by
`await`. What the driver's threads do (drained: a batch was taken for a request; written; read;
fetched: an answer was parsed) is known by moment, not by call: with many in flight these stages are
those of the batch that a call will have been in. Of librdkafka's threads nothing is known: what
they take stands in the hand-over. Shares of processor time are samples of py-spy, taken in runs
without stamps.
"""

import json
import statistics
import tempfile
from bisect import bisect_left, bisect_right
from contextlib import ExitStack
from pathlib import Path

import click

from benchmarks import report
from benchmarks.process import python
from benchmarks.sampling import groups_table, sample, top_table
from transports.kafka.broker import Broker

RUNS = [("call", 1), ("future", 512), ("aio", 512)]

JOINTS = [
    # what happens between the joint before and this one; where; the joint
    ("encode, register, make the message", "client", "request.send"),
    ("send(): into the driver's queue", "client", "request.queued"),
    ("wait to be sent", "client", "drained"),
    ("request onto the wire", "client", "written"),
    ("wire, broker, and the answer to a fetch read", "server", "read"),
    ("parse the answer", "server", "fetched"),
    ("hand over to the receiving thread", "server", "request.received"),
    ("wait for its turn in the batch", "server", "request.taken"),
    ("decode, admit, hand over to a worker", "server", "handler.begin"),
    ("handler", "server", "handler.end"),
    ("encode the reply, end the job", "server", "reply.send"),
    ("send(): into the driver's queue", "server", "reply.queued"),
    ("wait to be sent", "server", "drained"),
    ("reply onto the wire", "server", "written"),
    ("wire, broker, and the answer to a fetch read", "client", "read"),
    ("parse the answer", "client", "fetched"),
    ("hand over to the reader", "client", "reply.received"),
    ("wait for its turn in the batch", "client", "reply.taken"),
    ("decode, match, hand over to the caller, decode the result", "client", "call.end"),
]
AFTER = {"drained", "written"}  # the next such moment; of the others the last one before
LATER = [
    ("request acknowledged, from send", "request.send", "request.acknowledged"),
    ("reply acknowledged, from send", "reply.send", "reply.acknowledged"),
    ("all of the call", "call.begin", "call.end"),
]


def paths(stamps):
    """Return for each call that has come through all joints the moments at them, in order."""
    calls = {**stamps["client"]["calls"], **stamps["server"]["calls"]}
    for call_id, began in calls["call.begin"].items():
        at, since = [began], began
        for index, (_, side, joint) in enumerate(JOINTS):
            moments = stamps[side]["moments"].get(joint)
            if joint in calls:
                at.append(calls[joint].get(call_id))
                if joint.endswith(".send"):
                    since = at[-1]
            elif moments and joint in AFTER:  # perhaps within `send`, by the thread that sends
                since = _next(moments, since)
                at.append(since and max(since, at[-1]))
            elif moments:
                at.append(_last(moments, _known(calls, call_id, index)))
            else:
                at.append(at[-1])
            if at[-1] is None:
                break
        else:
            yield at


def _known(calls, call_id, index):
    """Return the moment of the next joint that is noted by call."""
    for _, _, joint in JOINTS[index:]:
        if joint in calls:
            return calls[joint].get(call_id)
    return None


def _next(moments, at):
    index = bisect_left(moments, at)
    return moments[index] if index < len(moments) else None


def _last(moments, at):
    index = 0 if at is None else bisect_right(moments, at)
    return moments[index - 1] if index else None


def stages(stamps):
    """Return the median microseconds of each stage, and of what spans several."""
    durations = [[] for _ in JOINTS]
    for at in paths(stamps):
        for each, before, after in zip(durations, at, at[1:], strict=False):
            each.append(after - before)
    calls = {**stamps["client"]["calls"], **stamps["server"]["calls"]}
    spans = []
    for _, first, last in LATER:
        ends = calls[last]
        spans.append([ends[i] - at for i, at in calls[first].items() if i in ends])
    for each, (_, side, joint) in zip(durations, JOINTS, strict=True):
        if joint not in calls and not stamps[side]["moments"].get(joint):
            each.clear()  # nobody noted it: what it took stands in the next stage
    return [statistics.median(each) * 1e6 if each else None for each in (*durations, *spans)]


def run_stages(url, seconds, payload, folder):
    """Return by run the stages of its calls."""
    with ExitStack() as stack:
        sides = {}
        for side in ("server", "client"):
            sides[side] = python("benchmarks.stamped", side, url)
            stack.callback(sides[side].close)
        found = {}
        for style, in_flight in [RUNS[0], *RUNS]:  # the first one warms up
            stamps = {}
            what = {"style": style, "in_flight": in_flight, "payload": payload, "seconds": seconds}
            sides["client"].ask(**what, stamps=str(folder / "client"))
            sides["server"].ask(stamps=str(folder / "server"))
            for side in sides:
                stamps[side] = json.loads((folder / side).read_text())
            found[f"{style} {in_flight}"] = stages(stamps)
        return found


def stage_table(found, url, *, markdown):
    """Return the stages as a table."""
    title = f"median microseconds of each stage ({url})"
    shown = report.new_table(title, markdown=markdown)
    shown.add_column("stage")
    shown.add_column("on the")
    for run in found:
        shown.add_column(run, justify="right")
    rows = [(name, side) for name, side, _ in JOINTS] + [(name, "") for name, _, _ in LATER]
    for index, (name, side) in enumerate(rows):
        cells = [its[index] for its in found.values()]
        if not any(cells):
            continue
        shown.add_row(
            name,
            side,
            *(f"{us:,.0f}" if us is not None else "-" for us in cells),
            end_section=not markdown and index == len(JOINTS) - 1,
        )
    return shown


@click.command(help=__doc__)
@click.option("--bootstrap", envvar="BOOTSTRAP", help="a broker that runs; default: one of our own")
@click.option(
    "--query", default="", help="of the transport's URL, as frames=false&client=confluent"
)
@click.option("--seconds", default=4.0, show_default=True, help="of each run")
@click.option("--payload", default=100, show_default=True, help="bytes of argument and result")
@click.option("--stages/--no-stages", default=True, help="measure the stages")
@click.option("--samples/--no-samples", default=True, help="sample where processor time goes")
@click.option("--markdown", is_flag=True, help="print the tables as they stand in the docs")
@click.option("--top", default=30, show_default=True, help="functions shown for each side")
def main(*, bootstrap, query, seconds, payload, stages, samples, top, markdown):
    console = report.console(markdown=markdown)
    with ExitStack() as stack:
        if bootstrap is None:
            bootstrap = stack.enter_context(Broker(fast_start=False, heap="1g")).bootstrap
        url = f"kafka://{bootstrap}" + (f"?{query}" if query else "")
        if stages:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            found = run_stages(url, seconds, payload, folder)
            console.print(stage_table(found, query or "default", markdown=markdown))
        if samples:
            for side, profile in sample(url, seconds, payload).items():
                console.print(
                    groups_table(side, profile, markdown=markdown),
                    top_table(side, profile, top, markdown=markdown),
                )


if __name__ == "__main__":
    main()
