"""A history by hand that keeps every promise, and for each invariant one that breaks it alone."""

import json
import time

import pytest

from chaos.checker import Expectations, Run, answer_to, check, check_run
from chaos.effects import Effect, Ledger, read_effects
from chaos.truth import Record, Truth, load_truth, save_truth

CLIENT, ONE, TWO = "client-0-10", "server-0-20", "server-1-21"
TOPIC = "s.requests"


class Story:
    """A small run: a call of each mode, two servers, a drain; `calls` steps of 1 s each."""

    def __init__(self, **expect):
        self.events = []
        self.effects = []
        self.records = []
        self.expect = expect
        self.note(0.0, ONE, "assigned", partitions=[0])
        self.note(0.0, TWO, "assigned", partitions=[1])
        self.call("a1", 1.0, offset=0)
        self.call("b1", 2.0, offset=1, mode="amo")
        self.call("c1", 3.0, offset=2, mode="eo", idem="k")
        self.call("d1", 4.0, offset=3, mode="keyed", key="x")
        self.call("d2", 5.0, offset=4, mode="keyed", key="x")

    def note(self, at, process, event, **fields):
        line = {"at": at, "process": process, "event": event, **fields}
        self.events.append(line)
        return line

    def invoke(self, call, at, *, mode="alo", key=None, idem=None, offset=0, args=None, acked=True):
        self.note(
            at, CLIENT, "invoke",
            call=call, client="i1", method="s.m", key=key, mode=mode, idempotent=mode == "alo",
            args=args or f"args {idem or call}", idem=idem, deadline=at + 5,
        )  # fmt: skip
        if acked:
            self.note(at + 0.1, CLIENT, "acked", call=call, topic=TOPIC, partition=0, offset=offset)
            self.records.append(Record(TOPIC, 0, offset, "request", call, "i1"))

    def start(self, call, at, *, server=ONE, offset=0, key=None, idem=None):
        self.note(
            at, server, "start",
            call=call, attempt=1, key=key, topic=TOPIC, partition=0, offset=offset,
            remaining=4.0, age=1.0,
        )  # fmt: skip
        pid = int(server.rpartition("-")[2])
        self.effects.append(Effect(call, key, idem, pid, at + 0.01, len(self.effects)))

    def finish(self, call, at, *, server=ONE):
        self.note(at, server, "finish", call=call, outcome="ok")

    def end(self, call, at, outcome="ok", *, args=None, idem=None, **fields):
        reply = answer_to(args or f"args {idem or call}") if outcome == "ok" else None
        what = {"reply": reply, "code": None, "certainty": None, "server": None, **fields}
        return self.note(at, CLIENT, "end", call=call, outcome=outcome, **what)

    def call(self, call, at, *, offset, mode="alo", key=None, idem=None):
        self.invoke(call, at, mode=mode, key=key, idem=idem, offset=offset)
        self.start(call, at + 0.2, offset=offset, key=key, idem=idem)
        self.finish(call, at + 0.3)
        self.records.append(Record("rpc.replies.app", 0, offset, "reply", call, "i1"))
        self.note(at + 0.35, ONE, "committed", partition=0, offset=offset + 1)
        self.end(call, at + 0.4, idem=idem)

    def check(self, *, truth=True):
        committed = [
            event["offset"]
            for event in self.events
            if event["event"] == "committed" and event["partition"] == 0
        ]
        run = Run(
            self.events,
            effects=self.effects,
            truth=Truth(self.records, {(TOPIC, 0): max(committed)}) if truth else None,
            expect=Expectations(**self.expect),
        )
        return check(run)


def found(story, **how):
    return {violation.invariant for violation in story.check(**how)}


def fault(story, name, begin, end=None, **args):
    story.note(begin, "nemesis-0-1", "fault", name=name, phase="on", args=args)
    if end is not None:
        story.note(end, "nemesis-0-1", "fault", name=name, phase="off", args=args)


def test_a_history_that_keeps_every_promise_has_no_violation():
    assert Story().check() == []
    assert Story().check(truth=False) == []


def never_ends(story):
    story.invoke("e1", 6.0, acked=False)
    story.note(30.0, ONE, "exit")


def ends_twice(story):
    story.end("a1", 1.5)


def ends_late(story):
    story.invoke("e1", 6.0, acked=False)
    story.end("e1", 11.8, "error", code="DEADLINE_EXCEEDED", certainty="UNKNOWN")


def gets_the_reply_of_another(story):
    story.invoke("e1", 6.0, offset=5)
    story.start("e1", 6.2, offset=5)
    story.finish("e1", 6.3)
    story.end("e1", 6.4, args="args a1")


def not_executed_but_started(story):
    story.invoke("e1", 6.0, offset=5)
    story.start("e1", 6.2, offset=5)
    story.finish("e1", 6.3)
    story.end("e1", 6.4, "error", code="UNAVAILABLE", certainty="NOT_EXECUTED")


def not_executed_but_has_an_effect(story):
    story.invoke("e1", 6.0, acked=False)
    story.effects.append(Effect("e1", None, None, 20, 6.2, 99))
    story.end("e1", 6.4, "error", code="UNAVAILABLE", certainty="NOT_EXECUTED")


def ok_without_a_start(story):
    story.invoke("e1", 6.0, offset=5)
    story.end("e1", 6.4)


def executed_without_a_start(story):
    story.invoke("e1", 6.0, acked=False)
    story.end("e1", 6.4, "error", code="INTERNAL", certainty="EXECUTED")


def ok_without_an_effect(story):
    story.invoke("e1", 6.0, offset=5)
    story.start("e1", 6.2, offset=5)
    story.effects.pop()
    story.finish("e1", 6.3)
    story.end("e1", 6.4)


def acknowledged_and_lost(story):
    story.invoke("e1", 6.0, offset=5)
    story.note(6.5, ONE, "committed", partition=0, offset=6)
    story.end("e1", 11.0, "error", code="DEADLINE_EXCEEDED", certainty="UNKNOWN")


def acknowledged_and_never_seen(story):
    story.invoke("e1", 6.0, offset=5)
    story.end("e1", 11.0, "error", code="DEADLINE_EXCEEDED", certainty="UNKNOWN")


def at_most_once_runs_twice(story):
    story.start("b1", 6.2, server=TWO, offset=1)


def effectively_once_has_two_effects(story):
    story.effects.append(Effect("c1", None, "k", 21, 6.2, 99))


def one_key_gets_two_replies(story):
    story.invoke("c2", 6.0, offset=5, mode="eo", idem="k", args="others")
    story.end("c2", 6.4, args="others")


def starts_expired_work(story):
    story.invoke("e1", 6.0, offset=5)
    story.end("e1", 11.0, "error", code="DEADLINE_EXCEEDED", certainty="UNKNOWN")
    story.start("e1", 12.5, offset=5)
    story.finish("e1", 12.6)


def overtakes_within_a_key(story):
    story.invoke("d3", 6.0, offset=5, mode="keyed", key="x")
    story.invoke("d4", 6.1, offset=6, mode="keyed", key="x")
    for call, at, offset in (("d4", 6.2, 6), ("d3", 6.4, 5)):
        story.start(call, at, offset=offset, key="x")
        story.finish(call, at + 0.1)
        story.end(call, at + 0.2)


def runs_two_of_a_key_at_once(story):
    story.invoke("d3", 6.0, offset=5, mode="keyed", key="x")
    story.invoke("d4", 6.1, offset=6, mode="keyed", key="x")
    story.start("d3", 6.2, offset=5, key="x")
    story.start("d4", 6.25, offset=6, key="x")
    story.finish("d3", 6.3)
    story.finish("d4", 6.3)
    story.end("d3", 6.4)
    story.end("d4", 6.4)


def commits_what_still_runs(story):
    story.invoke("e1", 6.0, offset=5)
    story.start("e1", 6.2, offset=5)
    story.note(6.25, ONE, "committed", partition=0, offset=6)
    story.finish("e1", 6.3)
    story.end("e1", 6.4)


def commits_backwards(story):
    story.note(6.0, ONE, "committed", partition=0, offset=2)


def starts_what_another_owns(story):
    story.note(5.9, TWO, "assigned", partitions=[0])
    story.invoke("e1", 6.0, offset=5)
    story.start("e1", 6.2, offset=5)
    story.finish("e1", 6.3)
    story.end("e1", 6.4)


def writes_where_it_may_not(story):
    story.expect["topics"] = ["s.", "rpc.replies."]
    story.records.append(Record("secrets", 0, 0, "reply", "a1", "i1"))


def holds_too_much(story):
    story.expect["bounds"] = {"pending": 10}
    story.note(6.0, CLIENT, "gauge", pending=11)


def grows(story):
    story.expect["slopes"] = {"rss": 1000}
    for number in range(120):
        story.note(6.0 + number / 4, ONE, "gauge", rss=number * 100)


def takes_what_comes_after_sigterm(story):
    story.note(6.0, ONE, "draining")
    story.invoke("e1", 8.0, offset=5)
    story.start("e1", 8.2, offset=5)
    story.finish("e1", 8.3)
    story.end("e1", 8.4)
    story.note(8.5, ONE, "exit")


def does_not_go(story):
    story.note(6.0, ONE, "draining")
    story.note(60.0, ONE, "exit")


def answers_another_incarnation(story):
    story.records.append(Record("rpc.replies.app", 0, 9, "reply", "a1", "i2"))


def ends_what_it_never_invoked(story):
    story.end("zz", 6.0, "error", certainty="UNKNOWN")


def fails_after_the_last_fault(story):
    story.expect["tail"] = 2
    fault(story, "cut", 0.5, 3.5)
    story.invoke("e1", 6.0, acked=False)
    story.end("e1", 6.4, "error", code="UNAVAILABLE", certainty="UNKNOWN")


def collapses_under_overload(story):
    story.expect["tail"] = 0
    for number in range(100):
        story.call(f"n{number:02}", 10 + number / 10, offset=5 + number)
    fault(story, "overload", 20.0, 30.0)
    story.call("z1", 25.0, offset=105)


def stands_elsewhere_than_told(story):
    story.records = [record._replace(offset=7) for record in story.records if record.offset == 4]


def makes_too_few_calls(story):
    story.expect["min_calls"] = 6


def sees_no_fault(story):
    story.expect["faults"] = ["cut"]


def provokes_no_duplicate(story):
    story.expect["duplicates"] = 1


def succeeds_too_seldom(story):
    story.expect["min_ok"] = 0.9
    story.invoke("e1", 6.0, acked=False)
    story.end("e1", 6.4, "error", code="UNAVAILABLE", certainty="UNKNOWN")


def answers_twice(story):
    story.note(1.15, ONE, "taken", call="a1")
    for at in (1.32, 1.33):
        story.note(at, ONE, "replied", call="a1")
    for call, at in (("b1", 2), ("c1", 3), ("d1", 4), ("d2", 5)):
        story.note(at + 0.15, ONE, "taken", call=call)
        story.note(at + 0.32, ONE, "replied", call=call)


def runs_and_never_answers(story):
    for call, at in (("a1", 1), ("b1", 2), ("c1", 3), ("d1", 4), ("d2", 5)):
        story.note(at + 0.32, ONE, "replied", call=call)
    story.invoke("e1", 6.0, offset=5)
    story.start("e1", 6.2, offset=5)
    story.finish("e1", 6.3)
    story.end("e1", 11.0, "error", code="DEADLINE_EXCEEDED", certainty="UNKNOWN")


def repeats_what_may_not_be_repeated(story):
    story.invoke("e1", 6.0, offset=5, mode="keyed")
    for attempt in (1, 2):
        story.start("e1", 6 + 0.2 * attempt, offset=5)
        story.events[-1]["attempt"] = attempt
        story.finish("e1", 6.1 + 0.2 * attempt)
    story.end("e1", 11.0, "error", code="DEADLINE_EXCEEDED", certainty="UNKNOWN")


def starts_what_nobody_invoked(story):
    story.start("zz", 6.2, offset=5)
    story.finish("zz", 6.3)


def does_not_tell_where_it_stands(story):
    story.invoke("d3", 6.0, offset=5, mode="keyed", key="x")
    story.start("d3", 6.2, key="x")
    for field in ("topic", "partition", "offset"):
        del story.events[-1][field]
    story.finish("d3", 6.3)
    story.note(6.35, ONE, "committed", partition=0, offset=6)
    story.end("d3", 6.4)


BROKEN = [
    ("I2", answers_twice),
    ("I3", repeats_what_may_not_be_repeated),
    ("I5", runs_and_never_answers),
    ("I15", starts_what_nobody_invoked),
    ("I1", never_ends),
    ("I1", ends_twice),
    ("I1", ends_late),
    ("I2", gets_the_reply_of_another),
    ("I3", not_executed_but_started),
    ("I3", not_executed_but_has_an_effect),
    ("I4", ok_without_a_start),
    ("I4", executed_without_a_start),
    ("I4", ok_without_an_effect),
    ("I5", acknowledged_and_lost),
    ("I5", acknowledged_and_never_seen),
    ("I6", at_most_once_runs_twice),
    ("I7", effectively_once_has_two_effects),
    ("I7", one_key_gets_two_replies),
    ("I8", starts_expired_work),
    ("I9", overtakes_within_a_key),
    ("I9", runs_two_of_a_key_at_once),
    ("I10", commits_what_still_runs),
    ("I10", commits_backwards),
    ("I11", starts_what_another_owns),
    ("I12", writes_where_it_may_not),
    ("I13", holds_too_much),
    ("I13", grows),
    ("I14", takes_what_comes_after_sigterm),
    ("I14", does_not_go),
    ("I15", answers_another_incarnation),
    ("I15", ends_what_it_never_invoked),
    ("I16", fails_after_the_last_fault),
    ("I17", collapses_under_overload),
    ("I19", stands_elsewhere_than_told),
    ("V", makes_too_few_calls),
    ("V", sees_no_fault),
    ("V", provokes_no_duplicate),
    ("V", succeeds_too_seldom),
    ("V", does_not_tell_where_it_stands),
]


@pytest.mark.parametrize(
    ("invariant", "breaks"), BROKEN, ids=lambda value: getattr(value, "__name__", value)
)
def test_each_broken_promise_is_found_and_no_other_is_accused(invariant, breaks):
    story = Story()
    breaks(story)

    assert found(story) == {invariant}


def test_every_invariant_has_a_history_that_breaks_it():
    wanted = {f"I{number}" for number in range(1, 20)} - {"I18"} | {"V"}

    assert {invariant for invariant, _ in BROKEN} == wanted


def test_a_violation_tells_the_call_and_its_events():
    story = Story()
    ends_late(story)

    text = str(story.check()[0])

    assert text.startswith("I1 e1: ended 0.300 s after it must have")
    assert "client-0-10 end call=e1 outcome=error code=DEADLINE_EXCEEDED" in text


def test_of_a_partition_without_a_word_on_its_commits_nothing_is_unseen():
    story = Story()
    for call, at in (("e1", 6.0), ("e2", 7.0)):
        story.invoke(call, at, acked=False)
        story.note(at + 0.1, CLIENT, "acked", call=call, topic=TOPIC, partition=1, offset=0)
        story.end(call, at + 5, "error", code="DEADLINE_EXCEEDED", certainty="UNKNOWN")

    assert found(story, truth=False) == set()


def test_a_client_that_was_stopped_may_be_later_by_that_time():
    story = Story(tail=0)
    ends_late(story)
    fault(story, "suspend", 7.0, 8.0, pid=10)

    assert story.check() == []


def test_a_client_that_was_killed_ends_nothing():
    story = Story(tail=0)
    never_ends(story)
    fault(story, "kill", 7.0, pid=10)

    assert story.check() == []


def test_what_was_committed_by_a_server_that_died_at_once_may_have_been_refused():
    story = Story(tail=0)
    acknowledged_and_lost(story)
    fault(story, "kill", 6.6, pid=20)

    assert story.check() == []


def test_what_was_taken_by_a_server_that_died_later_may_have_been_refused_to_nobody():
    story = Story(tail=0)
    acknowledged_and_lost(story)
    story.note(6.05, ONE, "taken", call="e1", offset=0)
    fault(story, "kill", 9.5, pid=20)

    assert story.check() == []


@pytest.mark.parametrize(("at", "broken"), [(10.9, {"I10"}), (11.1, set())])
def test_what_ran_for_somebody_who_waits_no_longer_needs_no_reply(at, broken):
    story = Story(tail=0)
    story.invoke("e1", 6.0, acked=False)
    place = {"topic": TOPIC, "partition": 1, "offset": 5}
    story.note(6.2, ONE, "start", call="e1", attempt=1, key=None, remaining=4.0, age=1.0, **place)
    story.note(6.4, ONE, "replied", call="another", topic="rpc.replies.a", partition=0, offset=9)
    story.note(at, ONE, "committed", partition=1, offset=6)
    story.end("e1", 11.05, "error", code="DEADLINE_EXCEEDED", certainty="UNKNOWN")
    found = {violation.invariant for violation in story.check() if violation.subject == "e1"}

    assert found & {"I10"} == broken


def flooded(story, *, failing_from):
    """Have a hundred calls before an overload and as many after, of which the later ones fail."""
    story.expect |= {"tail": 0, "recovery": 2.0, "goodput": 0.0}
    fault(story, "overload", 20.0, 30.0)
    for number in range(100):
        story.call(f"n{number:02}", 10 + number / 10, offset=5 + number)
    for number in range(100):
        at = 30 + number / 10
        if at < failing_from:
            story.call(f"p{number:02}", at, offset=105 + number)
        else:
            story.invoke(f"p{number:02}", at, acked=False)
            story.end(f"p{number:02}", at + 0.4, "error", code="UNAVAILABLE", certainty="UNKNOWN")


def test_calls_that_still_fail_long_after_an_overload_are_told():
    story = Story()
    flooded(story, failing_from=35.0)

    assert found(story) == {"I17"}


def test_calls_that_fail_once_the_next_fault_comes_are_not_held_against_an_overload():
    story = Story()
    flooded(story, failing_from=35.0)
    fault(story, "cut", 34.9, 41.0)

    assert found(story) == set()


def test_calls_that_failed_as_often_before_an_overload_are_not_held_against_it():
    story = Story(tail=0, recovery=2.0, goodput=0.0)
    fault(story, "overload", 20.0, 30.0)
    for number in range(40):
        at = 10 + number / 4 if number < 20 else 35 + number / 4
        story.invoke(f"n{number:02}", at, acked=False)
        story.end(f"n{number:02}", at + 0.1, "error", code="UNAVAILABLE", certainty="UNKNOWN")
        if number >= 5:  # five have succeeded already
            story.call(f"p{number:02}", at, offset=number)

    assert found(story) == set()


def test_a_client_that_ended_in_order_before_the_last_fault_did_has_nothing_to_show():
    story = Story(tail=2)
    fault(story, "cut", 6.0, 9.0)
    for event in ("invoke", "end"):
        of = {"invoke": {"deadline": 9.0, "args": "", "mode": "alo", "idempotent": True}}
        rest = of.get(event, {"outcome": "error", "certainty": "UNKNOWN"})
        story.note(7.0, "client-100-11", event, call="f1", **rest)
    story.note(8.0, "client-100-11", "exit")
    for number in range(3):
        story.call(f"z{number}", 10.0 + number, offset=5 + number)

    assert found(story) == set()


def test_a_dead_letter_is_an_end_for_a_request():
    story = Story()
    acknowledged_and_lost(story)
    story.records.append(Record("s.dead-letters", 0, 0, "request", "e1", "i1"))

    assert story.check() == []


def test_a_server_that_a_fault_kept_from_knowing_may_run_what_another_owns():
    story = Story(tail=0)
    starts_what_another_owns(story)
    fault(story, "suspend", 3.0, 5.5, pid=20)

    assert story.check() == []


def test_at_most_once_work_stays_with_its_server_when_its_partition_goes():
    story = Story()
    story.invoke("e1", 6.0, offset=5, mode="amo")
    story.note(6.1, ONE, "committed", partition=0, offset=6)
    story.note(6.15, TWO, "assigned", partitions=[0])
    story.start("e1", 6.2, offset=5)
    story.finish("e1", 6.3)
    story.end("e1", 6.4)

    assert story.check() == []


def test_the_next_owner_may_start_again_what_was_started():
    story = Story()
    story.note(5.9, ONE, "revoked", partitions=[0])
    story.note(6.0, TWO, "assigned", partitions=[0])
    story.start("d1", 6.2, server=TWO, offset=3, key="x")
    story.finish("d1", 6.3, server=TWO)

    assert story.check() == []


def test_at_most_once_work_is_committed_before_it_ends():
    story = Story()
    story.invoke("e1", 6.0, offset=5, mode="amo")
    story.note(6.1, ONE, "committed", partition=0, offset=6)
    story.start("e1", 6.2, offset=5)
    story.note(6.25, ONE, "committed", partition=0, offset=6)
    story.finish("e1", 6.3)
    story.end("e1", 6.4)

    assert story.check() == []


def test_stores_that_die_with_their_server_promise_for_each_server_alone():
    story = Story(durable_dedup=False)
    effectively_once_has_two_effects(story)
    assert story.check() == []

    story.effects.append(story.effects[-1])
    assert found(story) == {"I7"}


def test_a_folder_is_checked_with_all_its_witnesses(tmp_path):
    story = Story()
    lines = {}
    for event in story.events:
        rest = {name: value for name, value in event.items() if name != "process"}
        lines.setdefault(event["process"], []).append(json.dumps(rest))
    for process, written in lines.items():
        (tmp_path / f"{process}.jsonl").write_text("\n".join(written) + '\n{"torn')
    save_truth(Truth(story.records, {(TOPIC, 0): 5}), tmp_path / "truth.json")
    (tmp_path / "run.json").write_text('{"min_calls": 6, "faults": ["cut"]}')

    verdict = check_run(tmp_path)

    assert (verdict.calls, verdict.outcomes, verdict.passed) == (5, {"ok": 5}, False)
    assert str(verdict).splitlines() == [
        "FAILED: 5 calls (5 ok)",
        "V: 2 violations",
        "V calls: 5 were made, not 6",
        "V cut: a scheduled fault was never seen",
    ]


def test_the_truth_is_the_same_when_it_is_read_back(tmp_path):
    truth = Truth([Record("t", 0, 1, "reply", "ab", "i")], {("t", 0): 2})
    save_truth(truth, tmp_path / "truth.json")

    assert load_truth(tmp_path / "truth.json") == truth


def test_effects_are_kept_in_their_order_with_who_did_them(tmp_path):
    path = tmp_path / "effects.sqlite"
    first, second = Ledger(path), Ledger(path)
    first.append("a", key="k")
    second.append("b", idem="i")
    first.append("c")
    first.close()
    second.close()

    effects = read_effects(path)

    assert [(effect.call, effect.key, effect.idem) for effect in effects] == [
        ("a", "k", None),
        ("b", None, "i"),
        ("c", None, None),
    ]
    assert [effect.seq for effect in effects] == sorted(effect.seq for effect in effects)


def test_a_million_events_are_checked_in_seconds():
    story = Story()
    for number in range(166_000):
        story.call(f"x{number}", 10 + number / 100, offset=5 + number, key=str(number % 100))
    began = time.process_time()

    violations = story.check()

    assert violations == []
    assert len(story.events) > 800_000
    assert time.process_time() - began < 30  # about 5 s on a quiet machine


def framed(story, parts=(0, 1)):
    """Let two requests of one key stand in one record, and be started in the order of `parts`."""
    for call, part in zip(("f1", "f2"), parts, strict=True):
        story.call(call, 6.0 + (call == "f2"), offset=5, mode="keyed", key="y")
        for event in story.events:
            if event.get("call") == call and "offset" in event:
                event["part"] = part
    story.records = [
        record._replace(part=parts[record.call == "f2"])
        if record.kind == "request" and record.call in {"f1", "f2"}
        else record
        for record in story.records
    ]
    return story


def test_messages_of_one_frame_are_told_apart():
    assert found(framed(Story())) == set()


@pytest.mark.parametrize(("replayed", "broken"), [(True, set()), (False, {"I9"})])
def test_what_one_owner_refused_the_next_may_run_if_it_repeats_what_came_behind(replayed, broken):
    story = Story()
    story.invoke("d3", 6.0, offset=5, mode="keyed", key="x")
    story.invoke("d4", 6.1, offset=6, mode="keyed", key="x")
    story.start("d4", 6.2, offset=6, key="x")
    story.finish("d4", 6.25)
    story.start("d3", 6.4, server=TWO, offset=5, key="x")
    story.finish("d3", 6.45, server=TWO)
    if replayed:
        story.start("d4", 6.5, server=TWO, offset=6, key="x")
        story.finish("d4", 6.55, server=TWO)
    story.end("d3", 6.6)
    story.end("d4", 6.6)

    assert found(story) & {"I9"} == broken


def test_a_second_record_of_a_request_that_was_started_has_no_order():
    story = Story()
    story.invoke("d3", 6.0, offset=5, mode="keyed", key="x")
    story.invoke("d4", 6.1, offset=7, mode="keyed", key="x")
    for call, at, offset in (("d3", 6.2, 5), ("d4", 6.3, 7), ("d3", 6.4, 6)):
        story.start(call, at, offset=offset, key="x")
        story.finish(call, at + 0.05)
        story.end(call, 6.6)

    assert "I9" not in found(story)


def test_the_order_of_one_key_within_a_frame_is_looked_at():
    assert found(framed(Story(), parts=(1, 0))) == {"I9"}


def test_a_request_that_stands_in_another_part_than_was_told_is_found():
    story = framed(Story())
    story.records = [record._replace(part=0) for record in story.records]

    assert "I19" in found(story)
