from transports.kafka.broker.log_tail import log_tail


def test_the_end_of_a_log_is_told_without_the_frames_of_stack_traces():
    log = (
        "12:00 [main] ERROR Exiting\n"
        "org.apache.kafka.common.KafkaException: Socket server failed to bind\n"
        "\tat kafka.network.Acceptor.open(SocketServer.scala:1)\n"
        "\tat kafka.Kafka.main(Kafka.scala)\n"
        "Caused by: java.net.BindException: Address already in use\n"
        "\tat java.base/sun.nio.ch.Net.bind0(Native Method)\n"
        "\t... 13 more\n\n"
    )

    assert log_tail(log) == (
        "12:00 [main] ERROR Exiting\n"
        "org.apache.kafka.common.KafkaException: Socket server failed to bind\n"
        "Caused by: java.net.BindException: Address already in use"
    )


def test_only_the_last_twenty_lines_are_told():
    log = "\n".join(f"line {i}" for i in range(100))

    assert log_tail(log).splitlines() == [f"line {i}" for i in range(80, 100)]


def test_an_empty_log_has_an_empty_end():
    assert log_tail("") == ""
