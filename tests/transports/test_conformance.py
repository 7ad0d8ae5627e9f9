"""The conformance suite itself: it passes a sound transport, and each of its tests can fail."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from transports.conformance import TransportConformance

HERE = Path(__file__).parent
BROKEN = HERE / "broken_transports.py"
SOUND = "TestSoundReceiver"

CAUGHT_BY = {
    "test_messages_are_equal_at_both_ends": [
        "KeepsOneOfEachHeader",
        "TakesAnEmptyKeyForNone",
        "loses_some",
        "duplicates",
    ],
    "test_a_body_of_900_kb_is_equal_at_both_ends": ["Truncates"],
    "test_a_receipt_says_where_the_message_stands": ["GivesTheWrongReceipt"],
    "test_on_sent_is_called_exactly_once": ["TellsTwice", "TellsNoErrors", "RaisesErrors"],
    "test_a_partition_that_is_not_there_is_told_through_on_sent": ["TellsNoErrors", "RaisesErrors"],
    "test_a_message_too_large_is_told_and_harms_no_other": ["EndsWithTheFirstRefusal"],
    "test_messages_with_one_key_stay_in_order": ["swaps_neighbours", "loses_some"],
    "test_messages_to_one_partition_stay_in_order": ["swaps_neighbours", "duplicates"],
    "test_one_key_goes_to_one_partition_whoever_sends": ["RoutesKeysByItsOwnLights"],
    "test_messages_without_a_key_are_spread": ["SendsAllToOnePartition"],
    "test_partitions_to_avoid_are_avoided_as_long_as_there_are_others": ["AvoidsNothing"],
    "test_a_message_goes_where_its_key_says_though_that_is_to_be_avoided": ["AvoidsWithKeysToo"],
    "test_a_message_to_be_appended_once_arrives_once": ["RefusesWhatMustBeOnce", "duplicates"],
    "test_a_topic_is_prepared_for_dead_letters_too": ["PreparesNoDeadLetters"],
    "test_many_threads_may_send": ["HearsTheMainThreadOnly"],
    "test_what_one_transport_sends_another_receives": ["IsAnIsland"],
    "test_prepare_may_be_repeated_and_run_by_many_at_once": ["PreparesOnce"],
    "test_prepare_raises_for_a_partition_that_is_not_there": ["PreparesAnything"],
    "test_what_was_sent_before_the_first_receiver_arrives": ["BeginsAtTheEnd"],
    "test_a_shared_receiver_gets_what_is_sent_to_its_address": ["NamesAnotherTopic"],
    "test_shared_receivers_split_and_each_message_goes_to_one": [
        "Broadcasts",
        "SendsAllToOnePartition",
    ],
    "test_what_was_not_acknowledged_goes_to_another_receiver": ["AcksWhatItHandsOut"],
    "test_what_was_acknowledged_is_not_delivered_again": ["LosesAcks", "AcksWhatItHandsOut"],
    "test_acknowledging_in_any_order_settles_all": ["AcksInOrderOnly"],
    "test_a_gap_among_the_acknowledged_is_delivered_again": ["AcksCumulatively"],
    "test_acknowledging_twice_and_from_many_threads_is_once": ["AcksTheNextTheSecondTime"],
    "test_acknowledging_after_close_does_nothing": ["AcksAfterClose"],
    "test_what_one_receiver_left_the_other_goes_on_with": ["NeverLeaves"],
    "test_unacknowledged_messages_are_bounded": ["HasNoBound", "StaysAtItsBound"],
    "test_what_nobody_had_is_not_redelivered": ["SuspectsEverything"],
    "test_what_a_receiver_had_and_did_not_acknowledge_is_redelivered": ["SuspectsNothing"],
    "test_what_comes_behind_what_is_redelivered_is_not": ["SuspectsWhoeverComesSecond"],
    "test_a_receiver_that_closes_in_order_is_charged_with_no_crash": ["ChargesWhoeverCloses"],
    "test_to_begin_what_nobody_died_of_changes_nothing": ["SettlesWhatBegins", "OwnsNothing"],
    "test_a_message_is_owned_while_it_is_held_and_not_after_close": ["OwnsForEver", "OwnsNothing"],
    "test_only_what_is_lost_and_not_settled_can_be_given_back": [
        "LosesNothing",
        "TakesBackWhatIsHeld",
        "TakesNothingBack",
    ],
    "test_commit_tells_once_that_an_acknowledgement_is_durable": ["NeverCommits", "CommitsTwice"],
    "test_commit_tells_that_a_message_is_no_longer_ours": ["CommitsAnything", "NeverCommits"],
    "test_a_group_counts_the_receivers_that_share_a_topic": ["CountsNobody", "CountsForEver"],
    "test_a_private_inbox_is_in_no_group": ["CountsInboxes"],
    "test_a_group_tells_below_which_offset_everything_is_settled": [
        "TellsWhatWasTaken",
        "TellsNoProgress",
    ],
    "test_the_group_of_a_topic_that_is_not_there_is_refused": ["KnowsAnyGroup"],
    "test_an_inbox_gets_all_and_only_what_is_sent_after_it_opened": [
        "InboxFromTheBeginning",
        "OpensLate",
    ],
    "test_the_address_of_an_inbox_names_its_partition": ["NamesNoPartition"],
    "test_an_inbox_opens_on_the_partition_asked_for": ["OpensAnyPartition"],
    "test_two_inboxes_on_one_partition_both_get_everything": ["InboxesCompete"],
    "test_an_inbox_is_not_bounded_by_what_it_does_not_acknowledge": ["BoundsTheInbox"],
    "test_an_inbox_on_a_partition_that_is_not_there_is_refused": ["OpensAnyPartition"],
    "test_packed_messages_come_out_each_by_itself_and_equal": ["PacksWithoutHeaders"],
    "test_a_private_inbox_gets_packed_messages_as_any": ["PacksWithoutHeaders"],
    "test_packed_messages_and_others_of_one_thread_stay_in_order": ["PacksTwoAndTwo"],
    "test_messages_with_one_key_stay_in_order_whoever_packs_them": ["PacksTwoAndTwo"],
    "test_a_message_that_is_to_be_appended_once_may_be_packed": ["RefusesWhatMustBeOnce"],
    "test_what_is_not_acknowledged_comes_again_and_what_is_does_not": [
        "LosesAcks",
        "AcksCumulatively",
    ],
    "test_each_of_them_is_committed_by_itself": ["NeverCommits", "CommitsTwice"],
    "test_receive_returns_as_soon_as_something_arrives": ["SleepsThrough", "DoesNotWait"],
    "test_close_ends_a_receive_that_waits": ["SleepsThrough"],
    "test_receive_waits_no_longer_than_asked": ["WaitsTooLong", "DoesNotWait"],
    "test_a_closed_receiver_is_empty_and_closes_again": [
        "ClosesOnce",
        "DeliversAfterClose",
        "SleepsThrough",
    ],
    "test_a_closed_transport_tells_senders_through_on_sent": ["TellsNoErrors", "RaisesErrors"],
    "test_a_closed_transport_opens_and_prepares_nothing": ["OpensAgain"],
    "test_closing_a_transport_closes_its_receivers_within_the_timeout": ["OpensAgain"],
    "test_close_leaves_no_send_without_an_outcome": ["ForgetsTheLast", "TellsTwice"],
    "test_a_with_statement_closes": ["StaysOpenAfterWith"],
    "test_age_is_the_time_since_the_message_was_appended": [
        "CountsFromTheEpoch",
        "ComesFromTheFuture",
    ],
    "test_the_broker_s_time_is_known_from_the_first_receipt_on_and_passes": [
        "KnowsNoTime",
        "StandsStill",
    ],
    "test_age_counts_the_wait_for_a_receiver": ["SaysItIsFresh"],
    "test_client_id_is_a_name": ["HasNoName"],
}
PAIRS = [(broken, test) for test, catches in CAUGHT_BY.items() for broken in catches]


def run_suite(*arguments, **environment):
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *arguments],
        cwd=HERE.parents[1],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """Run the pairs and the sound one; return per class and test why it failed, "" if it did not.

    A test with parameters has failed when it fails with each of them.
    """
    report = tmp_path_factory.mktemp("broken") / "report.xml"
    wanted = [f"{BROKEN}::Test_{broken}::{test}" for broken, test in PAIRS]
    done = run_suite(f"--junitxml={report}", *wanted, f"{BROKEN}::{SOUND}")
    assert report.exists(), done.stdout + done.stderr
    found: dict[tuple[str, str], str] = {}
    for case in ET.parse(report).iter("testcase"):
        failure = case.find("failure")
        suite, test = case.attrib["classname"].rpartition(".")[2], case.attrib["name"]
        place = (suite, test.partition("[")[0])
        said = "" if failure is None else failure.attrib["message"]
        found[place] = min(found[place], said) if place in found else said
    return found


@pytest.mark.parametrize(("broken", "test"), PAIRS)
def test_a_broken_transport_fails_the_test_of_what_it_breaks(verdicts, broken, test):
    said = verdicts[f"Test_{broken}", test]

    # By a judgement of the suite, or by what the broken one raised; not by a slip of its own.
    verdict = said.startswith(("AssertionError: ", "assert ", "Failed: "))
    assert verdict or "PromiseBrokenError" in said, said


def test_the_wrapping_by_itself_breaks_nothing(verdicts):
    failed = {test: said for (suite, test), said in verdicts.items() if suite == SOUND and said}

    assert failed == {}


def test_every_test_of_the_suite_has_been_seen_to_fail():
    suite = {name for name in dir(TransportConformance) if name.startswith("test_")}

    assert suite == CAUGHT_BY.keys()


def test_a_third_party_runs_the_suite_by_url():
    done = run_suite("--pyargs", "transports.conformance", RPC_CONFORMANCE_URL="memory://by-url")

    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_without_a_url_the_suite_says_what_to_set():
    done = run_suite(
        "--pyargs", "transports.conformance", "-k", "client_id", RPC_CONFORMANCE_URL=""
    )

    assert done.returncode == 1
    assert "set RPC_CONFORMANCE_URL to the URL of the transport under test" in done.stdout
