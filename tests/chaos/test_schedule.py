from chaos.schedule import BROKER, LONGEST, NETWORK, PROCESS, SHORTEST, kinds, schedule


def test_a_seed_repeats_a_schedule_and_another_differs():
    first = schedule(7, 600, brokers=3)

    assert schedule(7, 600, brokers=3) == first
    assert schedule(8, 600, brokers=3) != first


def test_every_kind_of_fault_comes_in_a_long_run_and_a_quarter_of_it_is_quiet():
    periods = schedule(3, 3600, brokers=3)

    assert {step.name for period in periods for step in period.steps} == set(kinds(3))
    quiet = sum(not period.steps for period in periods) / len(periods)
    assert 0.18 < quiet < 0.32


def test_periods_are_bounded_and_fill_the_time():
    periods = schedule(1, 100, brokers=1)

    assert all(SHORTEST <= period.seconds <= LONGEST for period in periods)
    assert 100 <= sum(period.seconds for period in periods) < 100 + LONGEST


def test_two_faults_at_once_are_of_processes_and_of_the_network_and_never_two_brokers():
    for seed in range(50):
        for period in schedule(seed, 300, brokers=3):
            names = [step.name for step in period.steps]
            assert len(names) <= 2
            assert sum(name in PROCESS for name in names) <= 1
            assert sum(name in NETWORK + BROKER for name in names) <= 1


def test_a_choice_of_faults_has_no_others():
    periods = schedule(5, 200, brokers=1, only=["cut", "kill-server"])

    assert {step.name for period in periods for step in period.steps} == {"cut", "kill-server"}
